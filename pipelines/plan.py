"""Propose how to train on a cohort: an index in, a `plan.yaml` for people to edit out.

medssl plan configs/plan/default.yaml --set index=outputs/index --set output=outputs/plan
"""

import textwrap
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.plan import Plan, Planned
from medssl.data.fingerprint import Fingerprint, measure
from medssl.data.manifest import read_manifest
from medssl.data.planning import Proposal, propose
from medssl.errors import DataError
from pipelines._files import write_json
from pipelines._layouts import source_of
from pipelines._planned_configs import config_of

HEAD = (
    "Proposed by `medssl plan` from {cases} train cases. Edit it, then name it as `cache`'s plan."
)

TRAIN_HEAD = (
    "{template} with what `medssl plan` proposed for crops, batch and encoder. Edit it, then run "
    "`medssl {stage}` on it."
)


def run(cfg: Plan) -> None:
    """Measure the train cases, derive a plan, write both down."""
    manifest = read_manifest(cfg.index / "manifest.parquet").split("train")
    if len(manifest) == 0:
        msg = f"{cfg.index}: its manifest lists no train case; see split in the config of `index`"
        raise DataError(msg)
    cfg.output.mkdir(parents=True, exist_ok=True)
    with build(cfg.tracker).run(f"plan {cfg.output.name}", config=dump(cfg)) as tracked:
        fingerprint = measure(manifest, source_of(cfg.index).image, cfg.looks)
        proposal = propose(
            fingerprint,
            memory_bytes=int(cfg.memory_gib * 2**30),
            base_channels=cfg.base_channels,
        )

        planned = plan_of(proposal)
        texts = {"plan.yaml": commented(planned, proposal, num_cases=len(manifest))}
        for stage, template in cfg.templates.items():
            head = comment(TRAIN_HEAD.format(template=template, stage=stage))
            texts[f"{stage}.yaml"] = head + config_of(stage, template, planned)
        write_json(fingerprint.summary(), cfg.output / "fingerprint.json")
        for name, text in texts.items():
            write_yaml(text, cfg.output / name)
        draw(fingerprint, cfg.output / "fingerprint.png")
        for name in (*texts, "fingerprint.json"):
            tracked.artifact(cfg.output / name)
        tracked.artifact(cfg.output / "fingerprint.png", folder="figures")
    print(texts["plan.yaml"])
    print(f"plan of {len(manifest)} cases: {cfg.output}")


def plan_of(proposal: Proposal) -> Planned:
    """Return what is proposed, without the reasons, as `cache` reads it."""
    return Planned(
        preprocessing=proposal.preprocessing,
        spatial_dims=proposal.spatial_dims,
        crop_vox=proposal.crop_vox,
        batch_size=proposal.batch_size,
        channels=proposal.channels,
    )


def commented(planned: Planned, proposal: Proposal, *, num_cases: int) -> str:
    """Return the plan as YAML, each key under a comment that says why."""
    tree: dict[str, Any] = yaml.safe_load(dump(planned))
    blocks = [comment(HEAD.format(cases=num_cases))]
    for key, value in tree.items():
        blocks.append(comment(f"{key}: {proposal.reasons[key]}"))
        # Lists on one line, maps one key a line, as people write them.
        flow = None if isinstance(value, dict | list) else False
        blocks.append(yaml.safe_dump({key: value}, default_flow_style=flow, sort_keys=False))
    return "".join(blocks)


def comment(text: str) -> str:
    """Return a text as the lines of a YAML comment."""
    return textwrap.indent(textwrap.fill(text, 96), "# ") + "\n"


def write_yaml(text: str, path: Path) -> None:
    """Write the text so that it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text)
    temporary.replace(path)


def draw(fingerprint: Fingerprint, path: Path) -> None:
    """Draw how spacings and shapes are spread over the cases, an axis a column."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    rows = {"spacing in mm": fingerprint.spacing_mm, "voxels": fingerprint.shape}
    for number, (unit, values) in enumerate(rows.items()):
        for axis, letter in enumerate("RAS"):
            axes = figure.add_subplot(2, 3, 3 * number + axis + 1)
            axes.hist(values[:, axis], bins=30)
            axes.set_xlabel(f"{unit} along {letter}")
            axes.set_ylabel("cases")
    temporary = path.with_name(f".{path.name}.part")
    figure.savefig(temporary, dpi=100, format="png")
    temporary.replace(path)
