"""The command line: `medssl STAGE [CONFIG] [--set KEY=VALUE ...] [--show]`.

Flags do not grow: what a stage can be told stands in its config. Only the stage that was
asked for is imported, and none to show a config.
"""

import argparse
import errno
import importlib
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from medssl.config.load import dump, load
from medssl.config.schema import schema, stages
from medssl.errors import DataError, MedsslError, ShortfallError
from pipelines._output import check_output, unwritable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage; 0 if all went well, 1 if a goal was missed, 2 if there is something to fix."""
    parser = argparse.ArgumentParser(prog="medssl", description=__doc__)
    parser.add_argument("stage", choices=stages())
    parser.add_argument("config", type=Path, nargs="?")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--show", action="store_true", help="print the resolved config and stop")
    args = parser.parse_args(argv)

    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        config: Any = load(schema(args.stage), args.config, args.overrides)
        if args.show:
            print(dump(config), end="")
        else:
            _run(args.stage, config)
    except ShortfallError:  # the lines that `bench` printed say by how much
        return 1
    except MedsslError as error:
        print(f"medssl: {error}", file=sys.stderr)
        return 2
    except (OSError, sqlite3.OperationalError) as error:
        if not _is_of_a_full_disk(error):
            raise
        what = "the disk is full; free some space, then the same command goes on from here"
        print(f"medssl: {what}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("medssl: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _run(stage: str, config: Any) -> None:
    """Run a stage; where its output cannot be written, that is the user's to fix."""
    output: Path | None = getattr(config, "output", None)
    if output is not None:
        check_output(output)
    try:
        importlib.import_module(f"pipelines.{stage}").run(config)
    except OSError as error:
        said = None if output is None or _is_of_a_full_disk(error) else unwritable(error, output)
        if said is None:
            raise
        raise DataError(said) from error


def _is_of_a_full_disk(error: OSError | sqlite3.OperationalError) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return error.errno == errno.ENOSPC


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave through every open block, so that runs end as failed and nothing is half-written."""
    msg = "medssl: terminated by SIGTERM; the same command goes on from here"
    print(msg, file=sys.stderr)
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
