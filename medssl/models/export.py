"""Exports: the parts of a model worth keeping, as a folder that is never unpickled.

`weights.safetensors` holds each part under its name, `card.json` says what they are,
`subjects.parquet` who was seen in training, by pseudonym and by digest of the images.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from medssl.errors import DataError
from medssl.similarity.hamming import is_near, nearest

FORMAT = 1
SEEN = ("subject_id", "digest")
HASH = "dhash"  # of the whole volume, where it is known: near copies have near hashes


class Coverage(NamedTuple):
    """Which tensors of a module an export filled, and which of either found no match.

    Args:
        loaded: Of the same name and shape.
        missing: Of the module alone; they stay as they were.
        reshaped: Of the same name and another shape; they stay as they were.
        unused: Of the export alone.
        filled: Share of the module's numbers that now are the export's.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]
    unused: tuple[str, ...]
    filled: float


def write_export(
    folder: Path,
    parts: Mapping[str, nn.Module],
    card: Mapping[str, Any],
    *,
    subjects: pa.Table,
    history: pa.Table | None = None,
) -> None:
    """Write the parts, their card and tables under a temporary name, then rename the folder.

    Args:
        folder: The export; an export that is there is replaced, anything else is refused.
        parts: What to keep, by name.
        card: What they are; the format and the parts' names are added to it.
        subjects: `subject_id`, `digest` and, if it is known, the hash of each case seen in
            training; no other column is kept.
        history: The logged numbers, if they are to be kept beside.

    Raises:
        DataError: If the folder is there and is no export.
    """
    check_replaceable(folder)
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    weights = {
        f"{part}.{key}": value.detach().cpu().contiguous()
        for part, module in parts.items()
        for key, value in module.state_dict().items()
    }
    save_file(weights, temporary / "weights.safetensors")
    pq.write_table(_seen(subjects), temporary / "subjects.parquet")
    if history is not None:
        pq.write_table(history, temporary / "history.parquet")
    card = {"format": FORMAT, "parts": sorted(parts), **card}
    (temporary / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    replaced = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        folder.rename(replaced)
    temporary.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that is there, holds something, and is no export.

    Raises:
        DataError: If writing an export there would delete what somebody else wrote.
    """
    if folder.exists() and not is_export(folder) and (folder.is_file() or any(folder.iterdir())):
        msg = f"{folder} is there and is no export (no card.json); choose another output"
        raise DataError(msg)


def is_export(folder: Path) -> bool:
    """Return whether the folder holds a finished export."""
    return (folder / "card.json").is_file()


def read_card(folder: Path) -> dict[str, Any]:
    """Return what an export says of itself.

    Raises:
        DataError: If the folder is no export of this format.
    """
    if not is_export(folder):
        msg = f"{folder} is no export: expected a folder with card.json, as `pretrain` writes it"
        raise DataError(msg)
    card: dict[str, Any] = json.loads((folder / "card.json").read_text())
    if card.get("format") != FORMAT:
        msg = f"{folder}/card.json: expected format {FORMAT}, got {card.get('format')!r}"
        raise DataError(msg)
    return card


def load_part(folder: Path, part: str, module: nn.Module, *, min_coverage: float = 1.0) -> Coverage:
    """Fill a module from one part of an export where name and shape agree.

    Args:
        folder: The export.
        part: Which of its parts.
        module: What to fill; is as it was if an error is raised.
        min_coverage: Smallest share of the module's numbers that the export must fill.

    Raises:
        DataError: If the export has no such part, or fills less; the message holds the table.
    """
    saved = _read_part(folder, part)
    own = module.state_dict()
    shared = sorted(own.keys() & saved.keys())
    fitting = [key for key in shared if own[key].shape == saved[key].shape]
    total = sum(value.numel() for value in own.values())
    coverage = Coverage(
        loaded=tuple(fitting),
        missing=tuple(sorted(own.keys() - saved.keys())),
        reshaped=tuple(key for key in shared if key not in fitting),
        unused=tuple(sorted(saved.keys() - own.keys())),
        filled=sum(own[key].numel() for key in fitting) / max(total, 1),
    )
    if coverage.filled < min_coverage or not fitting:
        msg = (
            f"{part!r} in {folder} fills {coverage.filled:.1%} of {type(module).__name__}, "
            f"expected at least {min_coverage:.1%}; give the architecture that the export's "
            f"card names, or lower min_coverage if this is meant\n{coverage_table(coverage)}"
        )
        raise DataError(msg)
    module.load_state_dict({**own, **{key: saved[key] for key in fitting}})
    return coverage


def coverage_table(coverage: Coverage) -> str:
    """Return how many tensors of each module were loaded, reshaped, missing and unused."""
    kinds = ("loaded", "reshaped", "missing", "unused")
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(kinds, 0))
    for kind in kinds:
        for key in getattr(coverage, kind):
            counts[_owner(key)][kind] += 1
    width = max(map(len, ("module", *counts)))
    head = f"{'module':<{width}}" + "".join(f"{kind:>10}" for kind in kinds)
    rows = [
        f"{module:<{width}}" + "".join(f"{row[kind]:>10}" for kind in kinds)
        for module, row in counts.items()
    ]
    return "\n".join([head, *rows])


def check_unseen(folder: Path, cases: pa.Table) -> None:
    """Refuse cases of whose subject, or a copy of whose image, the export's weights know.

    Args:
        folder: The export.
        cases: A manifest's table, or whatever has `subject_id` and `digest` of what to evaluate;
            where it and the export have hashes, near copies are refused as well.

    Raises:
        DataError: With how many cases were seen, and the first few.
    """
    read_card(folder)
    seen = pq.read_table(folder / "subjects.parquet")
    for key in SEEN:
        known = pc.is_in(cases[key], value_set=seen[key].combine_chunks().drop_null())
        if count := pc.sum(known).as_py():
            first = sorted(set(cases[key].filter(known).to_pylist()))[:3]
            msg = (
                f"{count} of {len(cases)} cases to evaluate have a {key} that {folder} was trained "
                f"on, such as {', '.join(first)}; evaluate on other subjects, or train again "
                "without them (index splits by subject; pretrain reads `train` alone)"
            )
            raise DataError(msg)
    _check_no_near_copy(folder, seen, cases)


def knows_hashes(folder: Path) -> bool:
    """Return whether an export holds the hash of any case that was seen in training."""
    seen = pq.read_table(folder / "subjects.parquet")
    return HASH in seen.column_names and seen[HASH].null_count < len(seen)


def _check_no_near_copy(folder: Path, seen: pa.Table, cases: pa.Table) -> None:
    if HASH not in cases.column_names or HASH not in seen.column_names:
        return
    known = [one for one in seen[HASH].to_pylist() if one is not None]
    if not known or not len(cases):
        return
    hashes, trained_on = (
        np.array([np.frombuffer(one, np.uint64) for one in column])
        for column in (cases[HASH].to_pylist(), known)
    )
    bits, _ = nearest(hashes, trained_on)
    if (copies := np.flatnonzero(is_near(bits, hashes.shape[1]))).size:
        first = [
            f"{cases['case_id'][row].as_py()} ({bits[row]} bits)" for row in copies[:3].tolist()
        ]
        msg = (
            f"{len(copies)} of {len(cases)} cases to evaluate are near copies of what {folder} was "
            f"trained on, such as {', '.join(first)}; evaluate on others, or train again without "
            "them"
        )
        raise DataError(msg)


def seen_cases(cases: pa.Table, earlier: Iterable[Path] = ()) -> pa.Table:
    """Return subject, digest and hash of the cases, and of all that went into earlier exports.

    Rows are sorted and distinct; a hash is null where it is not known.
    """
    tables = [cases, *(pq.read_table(folder / "subjects.parquet") for folder in earlier)]
    joined = pa.concat_tables([_seen(table) for table in tables])
    distinct = joined.group_by([*SEEN, HASH]).aggregate([])
    return distinct.select([*SEEN, HASH]).sort_by([(key, "ascending") for key in SEEN])


def _seen(table: pa.Table) -> pa.Table:
    known = table.select(SEEN).replace_schema_metadata()
    hashes = table[HASH] if HASH in table.column_names else pa.nulls(len(table), pa.binary())
    return known.append_column(HASH, hashes)


def _read_part(folder: Path, part: str) -> dict[str, Tensor]:
    known = read_card(folder)["parts"]
    if part not in known:
        msg = f"{folder} has no part {part!r}: expected one of {known}"
        raise DataError(msg)
    prefix = f"{part}."
    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
        return {key.removeprefix(prefix): file.get_tensor(key) for key in keys}


def _owner(key: str) -> str:
    """Return the module that a tensor belongs to, at most two levels down."""
    *owners, _ = key.split(".")
    return ".".join(owners[:2]) or "(itself)"
