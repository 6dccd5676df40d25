"""Say what this machine can do, and what is missing: nothing in, a table out.

medssl doctor
medssl doctor --set config=configs/pretrain/vicreg.yaml
medssl doctor --set config=configs/finetune/segmentation.yaml --set stage=finetune

It ends with status 2 if something is missing that medssl cannot do without; a warning says
what will be slow or stop short, and what to do about it.
"""

from collections.abc import Sequence

from medssl.config.stages.doctor import Doctor
from medssl.errors import ConfigError
from pipelines._machine import (
    Finding,
    accelerators,
    decoders,
    disk,
    memory,
    packages,
    processors,
    shared_memory,
    store,
)


def run(cfg: Doctor) -> None:
    """Look at the machine, then try a config on it."""
    findings = [
        packages(),
        *accelerators(),
        processors(),
        memory(),
        shared_memory(),
        disk(cfg.folder),
        *store(cfg.store, cfg.folder),
        *decoders(),
    ]
    show(findings)
    if lacking := [f"  {one.subject}: {one.found}" for one in findings if one.state == "FAIL"]:
        msg = "\n".join(["this machine lacks what medssl needs:", *lacking])
        raise ConfigError(msg)
    if cfg.config is not None:
        # What trains is loaded only now: the table above must appear where that fails, too.
        from pipelines._trial import try_config

        print(f"\n{cfg.config}, tried on noise:")
        show(try_config(cfg.stage, cfg.config))


def show(findings: Sequence[Finding]) -> None:
    """Print a row a finding, and under it what to do."""
    width = max(len(one.subject) for one in findings)
    for one in findings:
        print(f"{one.state:<5} {one.subject:<{width}}  {one.found}")
        if one.advice:
            print(f"{'':<5} {'':<{width}}  -> {one.advice}")
