"""The limit of similarities that are themselves compared with it."""

from medssl.similarity import Knob

SHARES = Knob(1e-6, 1.0)


def check_least(least: float) -> None:
    """Refuse a limit that no similarity can be at, or that all are at.

    Raises:
        ValueError: If it is one.
    """
    if not 0 < least <= 1:
        msg = f"least must be in (0, 1], got {least}"
        raise ValueError(msg)
