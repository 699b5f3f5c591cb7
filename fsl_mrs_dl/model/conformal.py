"""How wide intervals must be: conformal prediction from a network's errors on simulated scans.

Scores (truth - estimate) / expected error are taken apart by metabolite, by the tenth of the range of the estimate, and
by whether the expected error is small, middling or large (Mondrian conformal prediction). Quantiles of the scores of a
cell are the ends of its intervals, in expected errors. A level leaves open how much of what is missed lies below the
interval and how much above: it is shared out so that the intervals hold the truth equally often in every tenth of the
truth as well, and are narrow.
"""

import numpy as np

from .calibration import CELLS, CLASSES, LEVELS, MAX_FACTOR, Calibration, Intervals, cells_of
from .unshrink import TENTHS, learn_correction, tenths_of

SURENESS = (0.2, 0.5)
"""Quantiles of the expected errors at which the classes part."""

SHARES = np.linspace(0.1, 0.9, 9)
"""Shares of the missed scans whose truth lies below the interval, from which one is chosen for each cell."""

ENOUGH_ROWS = 200
"""Errors that a cell's quantiles are taken from; a cell with fewer takes those of its neighbours too."""

LEANING_ROWS = 500
"""Errors of a cell below which its intervals lie evenly about the estimate: of few, a choice would be of chance."""

FEWEST_ROWS = 20
"""Errors of a metabolite below which its intervals are not known at all."""

LEFT_ALONE = 0.005
"""Distance of a coverage from its level that does not count in the choice of shares."""

WIDTH_WEIGHT = 0.01
"""What intervals wider by the whole of their width cost beside squares of distances of coverages."""

CLIPPED = 3.0
"""Standardised errors beyond this count as this in correlations: a few wild ones would decide them."""


def open_errors(estimate, truth):
    """Whether there is anything to err about: not where a metabolite is the largest, 1 by definition, in both."""
    return (estimate < 1) | (truth < 1)


def calibrate_errors(metabolites, estimate, truth, spread, source, own_spread=None):
    """Calibration of what a model says about scans of known contents.

    Args:
        metabolites: names.
        estimate, truth: (scan, metabolite) concentrations relative to the largest.
        spread: (scan, metabolite) logarithms of the expected errors.
        source: what the scans were, in words.
        own_spread: (scan, metabolite) the same as far as estimates shrink for them; None where that is all.

    Returns:
        Calibration. A metabolite that none of the scans holds has no intervals.
    """
    intervals = _intervals(estimate, truth, spread)
    own_spread = spread if own_spread is None else own_spread
    correction = learn_correction(estimate, truth, own_spread)
    corrected = None if correction is None else _intervals(correction(estimate, own_spread), truth, spread)
    return Calibration(tuple(metabolites), intervals, len(estimate), source, correction, corrected)


def _intervals(estimate, truth, spread):
    """Intervals of all metabolites, arguments as of `calibrate_errors`."""
    kept = open_errors(estimate, truth)
    known = (truth > 0).any(0) & (kept.sum(0) >= FEWEST_ROWS)
    found = []
    for place, rows in enumerate(kept.T):
        columns = (values[rows, place] for values in (estimate, truth, spread))
        found.append(_of_one(*columns) if known[place] else (None,) * 5)
    blank = Intervals(*map(tuple, zip(*found)), tuple(map(tuple, np.eye(len(known)).tolist())))
    with np.errstate(divide="ignore", invalid="ignore"):
        standard = np.nan_to_num((estimate - truth) / blank.around(estimate, spread).sd, posinf=0, neginf=0)
    standard = standard.clip(-CLIPPED, CLIPPED)
    moments = standard.T @ standard + np.diag(np.where((standard == 0).all(0), 1.0, 0.0))
    size = np.sqrt(np.diagonal(moments))
    rounded = np.round(moments / size[:, None] / size, 9)
    return Intervals(*map(tuple, zip(*found)), tuple(map(tuple, rounded.tolist())))


def _of_one(estimate, truth, spread):
    """Limits of the classes, and low and high factors at each of `LEVELS`, of one metabolite with open errors."""
    limits = np.quantile(spread, SURENESS)
    expected = np.exp(spread)
    scores, cells = (truth - estimate) / expected, cells_of(estimate, spread, limits)
    tenth, rows, inner = tenths_of(truth), [], None
    for level in LEVELS:
        choices = [_choices(scores, cells, cell, level, inner) for cell in range(CELLS * CLASSES)]
        inner = _share_out(choices, level, (estimate, expected, scores, cells, tenth))
        rows += [tuple(float(f"{one:.6g}") for one in ends) for ends in (-inner[:, 0], inner[:, 1])]
    return tuple(limits.tolist()), *rows


def _choices(scores, cells, cell, level, inner):
    """(choice, 2) ends that intervals of a cell may have, in expected errors; the first lie evenly about 0.

    Args:
        scores, cells: (scan,).
        cell: number of the cell.
        level: share of scores that lie between the ends.
        inner: (cell, 2) ends at a lower level, which they must enclose; None where there is none.
    """
    chosen = cells == cell
    lean = chosen.sum() >= LEANING_ROWS
    own_class = cells // CELLS == cell // CELLS
    own_class = own_class if own_class.any() else np.ones_like(own_class)
    for reach in range(1, CELLS):
        if chosen.sum() >= min(ENOUGH_ROWS, own_class.sum()):
            break
        chosen = own_class & (np.abs(cells % CELLS - cell % CELLS) <= reach)
    even = quantile(np.abs(scores[chosen]), level)
    ends = [(-even, even)]
    if lean:
        ordered = np.sort(scores[chosen])
        missed = int((len(ordered) + 1) * (1 - level))
        below = np.floor(missed * SHARES).astype(int)
        low, high = ordered[(below - 1).clip(0)], ordered[np.minimum(len(ordered) - (missed - below), len(ordered) - 1)]
        ends += [pair for pair in zip(low, high) if pair[0] <= 0 <= pair[1]]
    ends = np.clip(ends, -MAX_FACTOR, MAX_FACTOR)
    if inner is None:
        return ends
    low, high = inner[cell]
    ends[0] = min(ends[0, 0], low), max(ends[0, 1], high)
    return ends[(ends[:, 0] <= low) & (ends[:, 1] >= high)]


def _share_out(choices, level, scans):
    """(cell, 2) ends, one of the choices of each cell: coverage even over the tenths of the truth, little width.

    Args:
        choices: of each cell, as `_choices`.
        level: the coverage.
        scans: estimate, expected error, score, cell and tenth of the truth of each scan.
    """
    estimate, expected, scores, cells, tenth = scans
    total = np.bincount(tenth, minlength=TENTHS)
    alone = np.maximum(LEFT_ALONE, np.sqrt(level * (1 - level) / total.clip(1)))
    held, widths = [], []
    for cell, ends in enumerate(choices):
        rows = cells == cell
        low, high = ends[:, :1], ends[:, 1:]
        inside = (scores[rows] >= low) & (scores[rows] <= high)
        held.append(inside @ np.eye(TENTHS)[tenth[rows]])
        low, high = ((estimate[rows] + one * expected[rows]).clip(0, 1) for one in (low, high))
        widths.append((high - low).sum(1))
    picked = [0] * len(choices)
    covered, width = sum(one[0] for one in held), sum(one[0] for one in widths)
    weight = WIDTH_WEIGHT / max(width, 1e-12)
    for _ in range(20):
        before = list(picked)
        for cell in range(len(choices)):
            others, narrow = covered - held[cell][picked[cell]], width - widths[cell][picked[cell]]
            distance = np.abs((others + held[cell]) / total.clip(1) - level) - alone
            squares = np.where(total > 0, distance.clip(0) ** 2, 0).sum(1)
            picked[cell] = int(np.argmin(squares + weight * (narrow + widths[cell])))
            covered, width = others + held[cell][picked[cell]], narrow + widths[cell][picked[cell]]
        if picked == before:
            break
    return np.array([ends[pick] for ends, pick in zip(choices, picked)])


def quantile(scores, level):
    """The score that a new one of the same kind stays below with at least a probability.

    It is the ceil((n + 1) level)-th smallest of n, the finite-sample quantile of conformal prediction.
    """
    place = min(int(np.ceil((len(scores) + 1) * level)), len(scores))
    return min(float(np.partition(scores, place - 1)[place - 1]), MAX_FACTOR)
