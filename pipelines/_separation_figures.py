"""What both codes tell, as figures: the scores, and the codes themselves in a plane."""

import re
from collections.abc import Iterator

import numpy as np

from medssl.config.stages.separation import Separation
from medssl.evaluation.figures import Dots, Points, clouds, dots
from medssl.evaluation.separation import plane
from pipelines._questions import Question
from pipelines._separated import CODES, Line
from pipelines._spaces import LEVELS, Space
from pipelines._vectors import Setting, named


def draw(
    cfg: Separation, lines: list[Line], asked: list[Question], of_arms: list[Space]
) -> list[str]:
    """Draw the scores, and the scored cases in both codes of each arm's first draw.

    Returns the files' names.
    """
    cfg.output.mkdir(parents=True, exist_ok=True)
    _draw_scores(cfg, lines)
    return ["separation.png", *_draw_codes(cfg, asked, of_arms)]


def _draw_scores(cfg: Separation, lines: list[Line]) -> None:
    """Draw a panel an attribute: a row for each code of each arm."""
    panels = {}
    for name in dict.fromkeys(line.attribute for line in lines):
        own = [line for line in lines if line.attribute == name and line.level == LEVELS[0]]
        points = {
            " ".join(filter(None, (line.arm, named(line.setting), code))): getattr(line, code)
            for line in own
            for code in CODES
        }
        title = f"{name} ({own[0].belongs})\n{own[0].measure}"
        panels[title] = Dots(points, {}, chance=own[0].chance)
    title = (
        f"What probes read from either code of unseen cases, {100 * cfg.confidence:g} % interval "
        "over subjects and draws"
    )
    dots(cfg.output / "separation.png", panels=panels, title=title)


def _draw_codes(cfg: Separation, asked: list[Question], of_arms: list[Space]) -> Iterator[str]:
    """Draw the codes of each arm's first draw, colored by an attribute of either code."""
    shown = [
        next((one for one in asked[1:] if one.belongs == code and one.kind == "class"), asked[0])
        for code in reversed(CODES)
    ]
    firsts: dict[tuple[str, Setting], list[Space]] = {}
    for space in of_arms:
        if space.level == LEVELS[0]:
            own = firsts.setdefault((space.arm, space.setting), [])
            if not own or own[0].draw == space.draw:
                own.append(space)
    for (arm, setting), own in firsts.items():
        place = ".".join(filter(None, (arm, named(setting))))
        safe = re.sub(r"[^\w.-]", "_", place)
        path = cfg.output / f"codes_{safe}.png"
        rows = {
            question.name: {space.code: _cloud(question, space) for space in own}
            for question in shown
        }
        clouds(path, rows=rows, title=f"{place}: unseen cases, two principal components")
        yield path.name


def _cloud(question: Question, space: Space) -> Points:
    """Return the scored cases in a plane, those that take part colored by their class."""
    found = plane(space.fitted, space.scored)
    label = np.full(len(found), -1)
    label[question.scored.rows] = question.scored.labels
    return Points(found, label, question.classes)
