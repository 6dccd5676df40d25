"""How many rows to keep, as a share or a number."""

from medssl.errors import DataError


def check(fraction: float, budget: int | None) -> None:
    """Refuse what can be no share and no number.

    Raises:
        ValueError: If it is.
    """
    if not 0 < fraction <= 1:
        msg = f"fraction must be in (0, 1], got {fraction}"
        raise ValueError(msg)
    if budget is not None and budget < 1:
        msg = f"budget must be at least 1, got {budget}"
        raise ValueError(msg)


def rows_to_keep(fraction: float, budget: int | None, rows: int) -> int:
    """Return the budget if there is one, or the share of so many rows, at least one.

    Raises:
        DataError: If there are not that many.
    """
    if budget is None:
        return max(1, round(fraction * rows))
    if budget > rows:
        msg = f"the budget is {budget} rows, but there are only {rows} to choose from; lower it"
        raise DataError(msg)
    return budget
