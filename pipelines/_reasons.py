"""Why a row is kept or not: rows hold the number of their reason, a byte each."""

import numpy as np

# The first three are kept.
REASONS = ("kept", "labeled", "in_target", "represented", "filtered", "blank", "evaluated")
KEPT, LABELED, IN_TARGET, REPRESENTED, FILTERED, BLANK, EVALUATED = map(
    np.uint8, range(len(REASONS))
)
