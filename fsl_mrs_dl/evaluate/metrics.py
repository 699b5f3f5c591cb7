"""Errors of concentrations against known contents."""

import numpy as np


def relative_to_largest(concentrations):
    """Concentrations divided by the largest of each scan: (..., metabolite)."""
    concentrations = np.asarray(concentrations, dtype=float)
    return concentrations / concentrations.max(-1, keepdims=True)


def mean_absolute_error(estimates, truth):
    """Mean absolute error of each metabolite, both relative to the largest of each scan.

    Args:
        estimates, truth: (scan, metabolite), in any unit.

    Returns:
        (metabolite,) float64; NaN where an estimate is NaN.
    """
    return np.abs(relative_to_largest(estimates) - relative_to_largest(truth)).mean(0)
