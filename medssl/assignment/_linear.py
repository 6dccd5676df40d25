"""Linear assignment, exactly, in compiled loops.

Source: Jonker, Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse Linear
Assignment Problems", Computing 38, 1987; without its ways to begin faster.
"""

import numpy as np

from medssl.compiled import compiled


@compiled
def linear(affinity: np.ndarray) -> np.ndarray:
    """Return the permutation of the largest sum; rows are placed one by one by shortest paths."""
    n = len(affinity)
    row_price, column_price = np.zeros(n + 1), np.zeros(n + 1)
    row_of = np.zeros(n + 1, np.int64)  # of each column, counted from 1; 0 is none
    least, way, used = np.empty(n + 1), np.empty(n + 1, np.int64), np.empty(n + 1, np.bool_)
    for row in range(1, n + 1):
        row_of[0] = row
        column = 0
        least[:], way[:], used[:] = np.inf, 0, False
        while row_of[column] != 0:
            used[column] = True
            column = _nearest(affinity, row_price, column_price, row_of, column, least, way, used)
        while column != 0:
            row_of[column] = row_of[way[column]]
            column = way[column]
    found = np.empty(n, np.int64)
    for column in range(1, n + 1):
        found[row_of[column] - 1] = column - 1
    return found


@compiled
def _nearest(
    affinity: np.ndarray,
    row_price: np.ndarray,
    column_price: np.ndarray,
    row_of: np.ndarray,
    column: int,
    least: np.ndarray,
    way: np.ndarray,
    used: np.ndarray,
) -> int:
    """Return the nearest column that no path has reached, and move all prices as far."""
    row, delta, nearest = row_of[column], np.inf, 0
    for other in range(1, len(least)):
        if used[other]:
            continue
        cost = -affinity[row - 1, other - 1] - row_price[row] - column_price[other]
        if cost < least[other]:
            least[other], way[other] = cost, column
        if least[other] < delta:
            delta, nearest = least[other], other
    for other in range(len(least)):
        if used[other]:
            row_price[row_of[other]] += delta
            column_price[other] -= delta
        else:
            least[other] -= delta
    return nearest
