"""Undoing shrinkage: a map of a network's estimates that takes from them what they miss on the average of scans.

A network that cannot see a metabolite well says something nearer to what is usual: what is small is overestimated,
what is large underestimated. That makes single estimates as near to the truth as they can be, and means over scans of
the same contents wrong. The map moves an estimate by how large it is and by how large an error the network itself
expects, by at most `REACH` such errors, and for errors below their median in proportion to their square, as shrinkage
does. Of all such maps it is the one of the least mean absolute error on simulated scans whose mean error is small in
every tenth of the range of the truth.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array

from ..basis.basis_files import MAX_METABOLITES
from ..errors import ConfigError

TENTHS = 10
"""Parts of the range [0, 1] of concentrations relative to the largest."""

GRID = np.linspace(0, 1, TENTHS + 1)
SURE = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.97)
"""Quantiles of the expected errors at which the map has a column."""

BIAS = 0.007
"""Largest mean error in a tenth of the truth that is asked for: on other bases it is a little larger."""

MIDDLE = len(SURE) // 2
"""Number of the middle column."""

REACH = 1.5
"""Expected errors that an estimate may be moved by, at most; before the middle column less in proportion."""

MOST = 1 - 1e-6
"""No estimate but the largest of its scan, which is 1 by definition, becomes larger than this."""

FEWEST_SCANS = 5000
"""Estimates of a metabolite below which no map of them is made."""

ROUND = 0.01
"""Errors below this count by their square, so that the loss has a slope everywhere."""

PENALTIES = (10.0, 100.0, 1000.0)
"""Weights of the squares of what mean errors are too large by, one after the other."""


def tenths_of(values):
    """Number of the tenth of [0, 1] that each value lies in."""
    return np.clip((np.asarray(values) * TENTHS).astype(int), 0, TENTHS - 1)


@dataclass(frozen=True)
class Correction:
    """The map of each metabolite; None for one whose estimates stay.

    Attributes:
        knots: ascending logarithms of expected errors, one of each column of `values`.
        values: of an estimate of 0, 0.1 ... 1 (row) and of each expected error (column) the corrected one, before it
            is cut to [0, 1]; between them it is interpolated. Beyond the last column it holds; before the first one
            an estimate is moved less in proportion to the expected error.

    Raises:
        ConfigError: numbers that are no such map.
    """

    knots: tuple[tuple[float, ...] | None, ...]
    values: tuple[tuple[tuple[float, ...], ...] | None, ...]

    def __post_init__(self):
        if len(self.knots) != len(self.values) or len(self.knots) > MAX_METABOLITES:
            raise ConfigError("A correction must have knots and values of the same metabolites.")
        for knots, table in zip(self.knots, self.values):
            if (knots is None) != (table is None):
                raise ConfigError("values of a correction must be null where its knots are.")
            if knots is None:
                continue
            if len(knots) != len(SURE) or not np.isfinite(knots).all() or not (np.diff(knots) > 0).all():
                raise ConfigError(f"knots of a correction must be {len(SURE)} ascending numbers.")
            if len(table) != len(GRID) or any(len(row) != len(SURE) for row in table):
                raise ConfigError(f"values of a correction must be {len(GRID)} rows of {len(SURE)} numbers.")
            if not (np.abs(table) < 10).all():
                raise ConfigError("values of a correction must be numbers near 0 to 1.")

    def __call__(self, concentrations, spread):
        """Corrected estimates.

        Args:
            concentrations: (..., metabolite) relative to the largest, which stays.
            spread: (..., metabolite) logarithms of the expected errors.

        Returns:
            (..., metabolite) array.
        """
        concentrations, spread = np.asarray(concentrations, dtype=float), np.asarray(spread, dtype=float)
        found = concentrations.copy()
        for place, (knots, table) in enumerate(zip(self.knots, self.values)):
            if knots is not None:
                own, parts = _parts(concentrations[..., place], spread[..., place], np.array(knots))
                mapped = sum(np.array(table).ravel()[where] * share for where, share in parts)
                found[..., place] = (own + mapped).clip(0, MOST)
        return np.where(concentrations >= 1, 1.0, found)


def _parts(estimate, spread, knots):
    """What stays of each estimate, and the four values of a map about it: numbers in it, row by row, and shares."""
    row, up = _between(estimate, GRID)
    column, right = _between(spread, knots)
    mapped = np.exp(np.minimum(spread - knots[0], 0))
    parts = []
    for rows, one in ((row, 1 - up), (row + 1, up)):
        for columns, other in ((column, 1 - right), (column + 1, right)):
            parts.append((rows * len(knots) + columns, mapped * one * other))
    return (1 - mapped) * estimate, parts


def _between(values, knots):
    """Number of the knot below each value, and how far it is (0 to 1) to the next one."""
    values = np.clip(values, knots[0], knots[-1])
    below = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
    return below, (values - knots[below]) / (knots[below + 1] - knots[below])


def learn_correction(estimate, truth, spread):
    """Correction of what a network says about scans of known contents.

    Args:
        estimate, truth: (scan, metabolite) concentrations relative to the largest.
        spread: (scan, metabolite) logarithms of the expected errors.

    Returns:
        Correction; None where there are too few scans for any metabolite.
    """
    found = [_map_of(*columns) for columns in zip(estimate.T, truth.T, spread.T)]
    return None if all(knots is None for knots, _ in found) else Correction(*map(tuple, zip(*found)))


def _map_of(estimate, truth, spread):
    """Knots and values of one metabolite's map; (None, None) where there is nothing to learn them from."""
    free = estimate < 1
    if free.sum() < FEWEST_SCANS or not (truth > 0).any():
        return None, None
    # A network may expect the same of many scans: a little apart, all columns still have their place.
    knots = np.quantile(spread[free], SURE) + 1e-6 * np.arange(len(SURE))
    problem = _Problem(estimate, truth, spread, knots)
    values = np.repeat(GRID[:, None], len(SURE), 1)
    reach = REACH * np.exp(knots + np.minimum(knots - knots[MIDDLE], 0))
    bounds = np.stack([values - reach, values + reach], -1).reshape(-1, 2)
    for penalty in PENALTIES:
        options = {"args": (penalty,), "jac": True, "method": "L-BFGS-B", "bounds": bounds}
        values = minimize(problem, np.ravel(values), **options, options={"maxiter": 200}).x
    rows = np.round(values.reshape(len(GRID), len(SURE)), 5)
    return tuple(knots.tolist()), tuple(map(tuple, rows.tolist()))


class _Problem:
    """What a map of one metabolite costs, and the slope of that, for its values.

    Args:
        estimate, truth, spread: (scan,) as of `learn_correction`.
        knots: (column,) of the map.
    """

    def __init__(self, estimate, truth, spread, knots):
        free = estimate < 1
        self.own, parts = _parts(estimate[free], spread[free], knots)
        where, shares = zip(*parts)
        scans = np.tile(np.arange(free.sum()), len(where))
        size = (free.sum(), len(GRID) * len(knots))
        self.weights = csr_array((np.concatenate(shares), (scans, np.concatenate(where))), shape=size)
        self.back = self.weights.T.tocsr()
        self.truth, self.scans = truth[free], len(truth)
        tenth = tenths_of(truth)
        self.tenth, self.total = tenth[free], np.bincount(tenth, minlength=TENTHS).clip(1)
        # Scans whose estimate stays at 1 have errors too, which the others of a tenth make up for.
        self.rest = np.bincount(tenth, np.where(free, -truth, 1 - truth), TENTHS)

    def __call__(self, values, penalty):
        """Cost and its slope: the mean absolute error, what mean errors are too large by, and rows that fall."""
        wanted = self.own + self.weights @ values
        found = wanted.clip(0, 1)
        error = found - self.truth
        size = np.abs(error)
        cost = np.where(size < ROUND, error**2 / (2 * ROUND) + ROUND / 2, size).sum() / self.scans
        bias = (np.bincount(self.tenth, found, TENTHS) + self.rest) / self.total
        excess = bias - bias.clip(-BIAS, BIAS)
        slope = (error / ROUND).clip(-1, 1) / self.scans + penalty * (excess / self.total)[self.tenth]
        slopes = self.back @ (slope * (found == wanted))
        falls = np.minimum(np.diff(values.reshape(len(GRID), -1), axis=0), 0)
        steep = penalty / 100
        fallen = np.zeros((len(GRID), falls.shape[1]))
        fallen[1:] += steep * falls
        fallen[:-1] -= steep * falls
        cost += penalty / 2 * (excess**2).sum() + steep / 2 * (falls**2).sum()
        return cost, slopes + fallen.ravel()
