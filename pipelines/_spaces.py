"""Codes as `embed` wrote them: the spaces of each cell, on the cases to fit on and to score on."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from medssl.config.stages.separation import Separation
from medssl.data.manifest import Manifest
from pipelines._questions import Question
from pipelines._vectors import Axes, Setting, Source, named, vectors

BOTH = "both"  # the one space of an encoder, which stands for either code
LEVELS = ("representation", "projection")
PROJECTION = "_projection"


@dataclass(frozen=True, kw_only=True)
class Space:
    """Numbers of each case in one space.

    Args:
        arm: The arm.
        draw: Which of its draws.
        setting: The values on the axes that are neither arm nor draw.
        code: `common` or `salient`, or `both` where there is one space.
        level: Whether it is what probes are for or what the objective compares.
        fitted: A row a case to fit on.
        scored: A row a case to score on.
    """

    arm: str
    draw: str
    setting: Setting
    code: str
    level: str
    fitted: Float[np.ndarray, "fitted dim"]
    scored: Float[np.ndarray, "scored dim"]

    @property
    def place(self) -> dict[str, str]:
        """What tells the space from others."""
        return {
            "arm": self.arm,
            "draw": self.draw,
            "setting": named(self.setting),
            "code": self.code,
            "level": self.level,
        }

    @property
    def title(self) -> str:
        """What people call it."""
        return " ".join(filter(None, self.place.values()))

    def of(self, question: Question) -> "Space":
        """Return the numbers of the cases that take part."""
        return replace(
            self,
            fitted=self.fitted[question.fitted.rows],
            scored=self.scored[question.scored.rows],
        )


def spaces(cfg: Separation, fitted: Manifest, scored: Manifest) -> list[Space]:
    """Return the spaces of all cells, in the order in which they are named.

    Raises:
        DataError: If a folder holds no vectors of volumes, or does not fit the others.
    """
    axes = Axes(arm=cfg.arm, draw=cfg.draw)
    read = [
        vectors(cfg.descriptors, cases, split=split, axes=axes)
        for cases, split in ((fitted, cfg.fitted_on), (scored, cfg.scored_on))
    ]
    return [
        space for to_fit, to_score in zip(*read, strict=True) for space in _of(to_fit, to_score)
    ]


def _of(fitted: Source, scored: Source) -> list[Space]:
    names = [column.partition(".")[0] for column in fitted.columns] or [BOTH] * (
        fitted.values.shape[1]
    )
    found = []
    for name in dict.fromkeys(names):
        own = np.array([other == name for other in names])
        found.append(
            Space(
                arm=fitted.arm,
                draw=fitted.draw,
                setting=fitted.setting or (),
                code=name.removesuffix(PROJECTION),
                level=LEVELS[name.endswith(PROJECTION)],
                fitted=fitted.values[:, own],
                scored=scored.values[:, own],
            )
        )
    return found
