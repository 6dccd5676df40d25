"""What the stage `fetch` can be told."""

from pathlib import Path

from medssl.config.schema import SILENT, Tracker, config

__all__ = ["Fetch"]


@config
class Fetch:
    """A public data set, from where its card says.

    `mirror` is a folder with a folder for each set; without one it is the folder that the
    environment variable MEDSSL_MIRROR names, and without that the card's URLs are used.
    """

    card: Path
    output: Path
    mirror: Path | None = None
    tracker: Tracker = SILENT
