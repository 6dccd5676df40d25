"""Self-supervised learning on medical volumes and whole-slide images."""

from importlib.metadata import version

__version__ = version("medssl")
