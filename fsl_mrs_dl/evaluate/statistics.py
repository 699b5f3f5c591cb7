"""Measures of a study: errors of every method with their uncertainty, and which methods differ."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

RESAMPLES = 2000
"""Bootstrap samples of an interval."""

LEVEL = 0.05
"""Level of significance, after correction."""

MARKED = 1.0
"""Distance between two distributions of errors, in their pooled spread, above which the difference is marked."""

MEAN = "mean"
"""Name of the row that stands for all metabolites: the mean absolute error of each scan."""

ALL = "all"
"""Name of the series that holds every scan."""


def groups_of(table):
    """Series of a normalised table -> ids of their scans: all of them, then each series where there are several."""
    scans = table.drop_duplicates("id")
    series = {name: list(part["id"]) for name, part in scans.groupby("series", sort=False)}
    return {ALL: list(scans["id"])} | (series if len(series) > 1 else {})


def metabolites_of(table):
    """Metabolites in the order of the table."""
    return list(dict.fromkeys(table["metabolite"]))


def describe(table, seed):
    """Measures of every method, series and metabolite.

    Args:
        table: of `normalise.normalise`.
        seed: of the bootstrap.

    Returns:
        DataFrame with the columns label, series, metabolite; number (of scans), missing (without an estimate); mae
        with its bootstrap 95 % interval mae_low, mae_high; rmse; bias (mean error); slope, intercept and r2 of the
        regression of estimate on truth; loa_low, loa_high (Bland-Altman 95 % limits of agreement of the errors).
        Rows of `MEAN` have mae, its interval and rmse only, and NaN where the method lacks a metabolite altogether.
    """
    rows, names = [], metabolites_of(table)
    for label, part in table.groupby("label", sort=False):
        wide = part.pivot(index="id", columns="metabolite", values=["truth", "estimate"])
        for series, ids in groups_of(table).items():
            both = (wide[kind].reindex(index=ids, columns=names).to_numpy() for kind in ("truth", "estimate"))
            truth, estimate = both
            key = {"label": label, "series": series}
            rows += [
                key | {"metabolite": name} | _measures(truth[:, index], estimate[:, index], seed)
                for index, name in enumerate(names)
            ]
            rows.append(key | {"metabolite": MEAN} | _overall(estimate - truth, seed))
    return pd.DataFrame(rows)


def _measures(truth, estimate, seed):
    """Measures of one metabolite: arrays (scan,), NaN where there is no estimate."""
    known = np.isfinite(truth) & np.isfinite(estimate)
    truth, estimate = truth[known], estimate[known]
    error = estimate - truth
    values = _size(np.abs(error), error**2, seed) | {"number": int(known.sum()), "missing": int((~known).sum())}
    bias = error.mean() if error.size else np.nan
    spread = error.std(ddof=1) if error.size > 1 else np.nan
    slope = intercept = r2 = np.nan
    if truth.size > 2 and np.ptp(truth) > 1e-9:
        line = stats.linregress(truth, estimate)
        slope, intercept, r2 = line.slope, line.intercept, line.rvalue**2
    return values | {
        "bias": bias,
        "slope": slope,
        "intercept": intercept,
        "r2": r2,
        "loa_low": bias - stats.norm.ppf(0.975) * spread,
        "loa_high": bias + stats.norm.ppf(0.975) * spread,
    }


def _overall(errors, seed):
    """Measures over all metabolites: errors (scan, metabolite)."""
    known = np.isfinite(errors).all(1)
    chosen = errors[known]
    values = _size(np.abs(chosen).mean(1), (chosen**2).mean(1), seed)
    return values | {"number": int(known.sum()), "missing": int((~known).sum())}


def _size(absolute, squares, seed):
    """Mean absolute error with its interval, and root mean square error, of values (scan,)."""
    low, high = bootstrap_interval(absolute, seed)
    mae, rmse = (absolute.mean(), np.sqrt(squares.mean())) if absolute.size else (np.nan, np.nan)
    return {"mae": mae, "mae_low": low, "mae_high": high, "rmse": rmse}


def bootstrap_interval(values, seed):
    """95 % percentile bootstrap interval of a mean; NaN without values.

    The same seed draws the same scans for every method, so that intervals differ by the methods alone. (Efron and
    Tibshirani, An introduction to the bootstrap, 1993, section 13.3.)

    Args:
        values: (scan,).
        seed: of the samples.
    """
    if not len(values):
        return np.nan, np.nan
    chosen = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(np.asarray(values)[chosen].mean(1), (0.025, 0.975))
    return float(low), float(high)


def compare(table):
    """Every pair of methods, for each series and metabolite.

    The tests are one-tailed Wilcoxon signed-rank tests of the paired absolute errors, in both directions, on the scans
    that both methods fitted. p values are corrected by Holm's method within a pair of methods (every series,
    metabolite and direction), and once more over the whole table.

    Args:
        table: of `normalise.normalise`.

    Returns:
        DataFrame with the columns first, second (labels), series, metabolite; number (of scans); mae_first, mae_second
        (on these scans) and mae_difference (first - second); distance, see `distance`, and marked (above `MARKED`);
        p_first (that the first has the smaller errors), p_second; holm_first, holm_second; study_first, study_second;
        better ("first", "second" or "": significant after correction within the pair) and better_in_study.
    """
    names, series = metabolites_of(table), groups_of(table)
    errors = {
        label: part.pivot(index="id", columns="metabolite", values="error").reindex(index=series[ALL], columns=names)
        for label, part in table.groupby("label", sort=False)
    }
    parts = []
    for first, second in combinations(errors, 2):
        rows = [
            {"first": first, "second": second, "series": group} | row
            for group, ids in series.items()
            for row in _cells(errors[first].loc[ids].to_numpy(), errors[second].loc[ids].to_numpy(), names)
        ]
        parts.append(_corrected(pd.DataFrame(rows), "holm"))
    if not parts:
        return pd.DataFrame()
    whole = _corrected(pd.concat(parts, ignore_index=True), "study")
    whole["better"], whole["better_in_study"] = _better(whole, "holm"), _better(whole, "study")
    return whole


def _cells(first, second, names):
    """Comparison of two methods' errors (scan, metabolite): a dictionary a metabolite, and one of their mean."""
    both = np.isfinite(first) & np.isfinite(second)
    for index, name in enumerate(names):
        known = both[:, index]
        one, other = first[known, index], second[known, index]
        yield {"metabolite": name} | _cell(np.abs(one), np.abs(other), distance(one, other))
    # Over the metabolites that both report, on the scans that have all of these.
    shared = both.any(0)
    known = both[:, shared].all(1) if shared.any() else shared[:0]
    one, other = (np.abs(part[: known.size][known][:, shared]) for part in (first, second))
    one, other = (part.mean(1) if part.size else np.zeros(0) for part in (one, other))
    yield {"metabolite": MEAN} | _cell(one, other, distance(one, other))


def _cell(first, second, apart):
    """One comparison of paired absolute errors (scan,)."""
    means = (first.mean(), second.mean()) if first.size else (np.nan, np.nan)
    return {
        "number": int(first.size),
        "mae_first": means[0],
        "mae_second": means[1],
        "mae_difference": means[0] - means[1],
        "distance": apart,
        "marked": bool(apart > MARKED),
        "p_first": signed_rank(first, second),
        "p_second": signed_rank(second, first),
    }


def distance(first, second):
    """Wasserstein distance between two samples of errors in units of their pooled standard deviation.

    Args:
        first, second: (scan,).

    Returns:
        0 for equal samples; infinite for two constants that differ; NaN below two values.
    """
    if min(len(first), len(second)) < 2:
        return np.nan
    apart = stats.wasserstein_distance(first, second)
    degrees = len(first) + len(second) - 2
    pooled = np.sqrt(((len(first) - 1) * np.var(first, ddof=1) + (len(second) - 1) * np.var(second, ddof=1)) / degrees)
    if apart <= 1e-12:
        return 0.0
    return float(apart / pooled) if pooled > 0 else np.inf


def signed_rank(smaller, larger):
    """p value of the one-tailed Wilcoxon signed-rank test that the first of paired values are smaller.

    1 where all pairs are equal; NaN without pairs.
    """
    difference = np.asarray(smaller) - np.asarray(larger)
    if not difference.size:
        return np.nan
    # Equal pairs are left out as Wilcoxon did; scipy would do so too, but then permutes all signs, which takes long.
    difference = difference[np.abs(difference) > 1e-12]
    if not difference.size:
        return 1.0
    return float(stats.wilcoxon(difference, alternative="less").pvalue)


def holm(p_values):
    """p values corrected for their number by Holm's step-down method (Scand J Stat 6:65, 1979).

    Args:
        p_values: array; NaN is no test and stays NaN.
    """
    p_values = np.asarray(p_values, dtype=float)
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    corrected = np.full(p_values.shape, np.nan)
    steps = p_values[order] * np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if order.size else steps
    return corrected


def _corrected(rows, name):
    """Rows of one family of tests with their corrected p values in the columns name_first and name_second."""
    both = holm(rows[["p_first", "p_second"]].to_numpy().ravel()).reshape(-1, 2)
    return rows.assign(**{f"{name}_first": both[:, 0], f"{name}_second": both[:, 1]})


def _better(rows, name):
    """"first", "second" or "" for each row: whose errors are smaller, significantly after correction."""
    choices = [rows[f"{name}_{side}"] < LEVEL for side in ("first", "second")]
    return np.select(choices, ["first", "second"], "")


def trend(values, errors):
    """How errors go with a property of the scans.

    Args:
        values, errors: (scan,), NaN where unknown.

    Returns:
        slope (errors per unit), Spearman's rank correlation and its two-tailed p value; NaN where values do not vary.
    """
    known = np.isfinite(values) & np.isfinite(errors)
    values, errors = np.asarray(values)[known], np.asarray(errors)[known]
    if values.size < 3 or np.ptp(values) < 1e-9 or np.ptp(errors) < 1e-12:
        return np.nan, np.nan, np.nan
    rank = stats.spearmanr(values, errors)
    return float(stats.linregress(values, errors).slope), float(rank.statistic), float(rank.pvalue)
