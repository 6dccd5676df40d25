"""Fetch a public data set: its card in; its files, checked, and where they are from out.

medssl fetch --set card=data_manifests/msd_hippocampus.yaml --set output=data/msd_hippocampus

Written below the output folder: `data/`, the files, and last `fetch.json`: licence, citation,
and the SHA-256 of every file.
"""

import json
import os
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.fetch import Fetch
from medssl.data.cards import Card, folder_digest, read_card
from medssl.data.download import download
from medssl.data.mirror import VARIABLE
from medssl.data.unpacking import copy_files, listed, sha256, unpack
from medssl.errors import DataError
from medssl.tracking import DatasetRecord
from pipelines._progress import track

DONE = "fetch.json"


def run(cfg: Fetch) -> None:
    """Bring the files, from a mirror if there is one, else from their URLs."""
    card = read_card(cfg.card)
    mirror = _mirror(cfg, card)
    with build(cfg.tracker).run(f"fetch {cfg.output.name}", config=dump(cfg)) as run:
        # Files
        data = cfg.output / "data"
        if mirror is not None:
            digests = _copied(mirror, data)
        else:
            digests = _already(cfg) or _downloaded(card, cfg.output / "download", data)

        # Result
        digest = folder_digest(digests)
        size = sum((data / path).stat().st_size for path in digests)
        _write_record(cfg, card, digests, digest)
        shutil.rmtree(cfg.output / "download", ignore_errors=True)
        profile = {"files": len(digests), "bytes": size}
        run.dataset(DatasetRecord(name=card.name, digest=digest, context="fetch", profile=profile))
    print(f"{card.title}\nlicence: {card.licence}")
    if mirror is not None and card.mirror_digest not in (None, digest):
        print(
            f"warning: {mirror} holds another part of the set than the card was written from: "
            f"digest {digest[:12]}, the card's is {card.mirror_digest[:12]}"
        )
    print(f"fetch: {len(digests)} files, {size / 1e6:.1f} MB: {data}")


def _mirror(cfg: Fetch, card: Card) -> Path | None:
    """Return the set's folder in the mirror, or None where the URLs are to be used."""
    named = cfg.mirror or os.environ.get(VARIABLE)
    if named and (folder := Path(named) / card.mirror).is_dir():
        return folder
    if cfg.mirror is not None:
        msg = (
            f"{cfg.mirror / card.mirror} is no folder: expected the files of {card.name} there; "
            f"put them there (see {card.homepage}) or leave mirror out to use the URLs"
        )
        raise DataError(msg)
    if not card.files or any(file.digest is None for file in card.files):
        why = "gives no digest for some URL" if card.files else "gives no URL"
        msg = (
            f"{cfg.card} {why}, so {card.name} is not downloaded: {card.note or card.title} "
            f"Get it from {card.homepage}, put it into a folder {card.mirror}/ of a mirror, and "
            f"name the mirror with --set mirror=... or in {VARIABLE}"
        )
        raise DataError(msg)
    return None


def _copied(source: Path, data: Path) -> dict[str, str]:
    paths = listed(source)
    if not paths:
        msg = f"{source} holds no files: expected those of the set; see whether it is mounted"
        raise DataError(msg)
    copies = copy_files(source, data, paths)
    return dict(track(copies, total=len(paths), label="fetch", unit="files"))


def _already(cfg: Fetch) -> dict[str, str] | None:
    """Return the digests of an earlier fetch by the same card, if its files are as they were."""
    done = cfg.output / DONE
    if not done.is_file():
        return None
    record = json.loads(done.read_text())
    if record["card_sha256"] != sha256(cfg.card):
        return None
    digests: dict[str, str] = record["files"]
    for path, digest in digests.items():
        file = cfg.output / "data" / path
        if not file.is_file() or sha256(file) != digest:
            return None
    return digests


def _downloaded(card: Card, folder: Path, data: Path) -> dict[str, str]:
    """Download archives to a folder of their own and unpack them, everything else into the data."""
    folder.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    paths = []
    for file in card.files:
        watch = partial(_watched, file.name)
        if file.unpack:
            paths += unpack(download(file, folder, watch=watch), data, kind=file.unpack)
        else:
            paths.append(download(file, data, watch=watch).name)
    return {path: sha256(data / path) for path in paths}


def _watched(name: str, chunks: Iterable[bytes], *, total: int) -> Iterable[bytes]:
    return track(chunks, total=total, label=name, unit="MiB")


def _write_record(cfg: Fetch, card: Card, digests: dict[str, str], digest: str) -> None:
    record: dict[str, Any] = {
        "card": card.name,
        "card_sha256": sha256(cfg.card),
        "title": card.title,
        "licence": card.licence,
        "citation": card.citation,
        "homepage": card.homepage,
        "digest": digest,
        "files": digests,
    }
    done = cfg.output / DONE
    unfinished = done.with_name(f".{done.name}.part")
    unfinished.write_text(json.dumps(record, indent=1) + "\n")
    unfinished.replace(done)
