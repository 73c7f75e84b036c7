"""Numbers that say how good predictions are, with intervals."""

from __future__ import annotations

import numpy as np


def concordance(predicted: np.ndarray, true: np.ndarray) -> float:
    """Concordance correlation coefficient (Lin 1989), in [−1, 1]; 1 means equal, not only in line."""
    covariance = np.mean((predicted - predicted.mean()) * (true - true.mean()))
    spread = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
    return float(2 * covariance / spread)
