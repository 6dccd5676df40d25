"""Files of results, each of which appears whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_json(tree: Mapping[str, Any], path: Path) -> None:
    """Write a tree as JSON that people can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)  # which might be a link to elsewhere
    temporary.write_text(json.dumps(tree, indent=2) + "\n")
    temporary.replace(path)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    pq.write_table(table, temporary)
    temporary.replace(path)
