"""Measures against scipy and fixed tables; a planted bias is found, equal methods never differ, failures count."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fsl_mrs_dl.errors import DataError
from fsl_mrs_dl.evaluate.normalise import check_table, failures, normalise, without_reference
from fsl_mrs_dl.evaluate.statistics import (
    MEAN,
    bootstrap_interval,
    compare,
    describe,
    distance,
    holm,
    signed_rank,
    trend,
)

NAMES = ("Cr", "GABA", "NAA")


def long_table(methods, scans=24, seed=0):
    """Long table of {(method, spectrum): function (truth (scan, metabolite), random) -> estimates}, two series."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0.5, 10, (scans, len(NAMES)))
    rows = []
    for (method, spectrum), estimate in methods.items():
        found = estimate(truth, np.random.default_rng(seed + 1))
        for index in range(scans):
            failed = not np.isfinite(found[index]).any()
            head = (method, spectrum, f"s{index:02d}", "AB"[index % 2])
            tail = (0.1, "no convergence" if failed else "")
            rows += [
                (*head, name, truth[index, k], found[index, k], *tail) for k, name in enumerate(NAMES)
            ]
    columns = ["method", "spectrum", "id", "series", "metabolite", "truth", "estimate", "seconds", "failure"]
    return pd.DataFrame(rows, columns=columns)


def noisy(truth, random):
    """Estimates with a small error, in a unit of their own."""
    return 7 * np.maximum(truth + 0.1 * random.normal(size=truth.shape), 0)


def biased(truth, random):
    """The same with GABA too high by 2."""
    return noisy(truth, random) + 14.0 * np.array([0, 1, 0])


def failing(truth, random):
    """The same with every third scan failed."""
    found = noisy(truth, random)
    found[::3] = np.nan
    return found


def test_values_are_relative_to_what_the_method_reports():
    rows = [("m", "off", "a", "s", name, truth, estimate, 1.0, "") for name, truth, estimate in
            (("Cr", 4.0, np.nan), ("GABA", 1.0, 3.0), ("NAA", 2.0, 5.0))]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(long_table({}).columns))
    largest = normalise(frame, "max").set_index("metabolite")
    assert largest.loc[["GABA", "NAA"], "truth"].tolist() == [0.5, 1]
    assert largest.loc["GABA", "error"] == pytest.approx(0.1)
    total = normalise(frame, "sum").set_index("metabolite")
    assert total.loc["NAA", ["truth", "estimate"]].tolist() == pytest.approx([2 / 3, 5 / 8])
    creatine = normalise(frame, "Cr")
    assert creatine["error"].isna().all() and set(creatine["metabolite"]) == {"GABA", "NAA"}
    assert without_reference(frame, creatine) == [("m, edit-off", "a")]
    assert without_reference(frame, normalise(frame, "max")) == []


def test_relative_to_creatine():
    table = normalise(long_table({("m", "off"): lambda truth, _: 3 * truth}), "Cr")
    np.testing.assert_allclose(table["error"], 0, atol=1e-12)
    assert set(table["metabolite"]) == {"GABA", "NAA"}


def test_tables_that_cannot_be_are_refused():
    good = long_table({("m", "off"): noisy})
    check_table(good)
    changes = {
        "truth is missing": good.drop(columns="truth"),
        "two estimates": pd.concat([good, good.head(1)]),
        "0 or more": good.assign(truth=-1.0),
        "'middle'": good.assign(spectrum="middle"),
        "at least one row": good.head(0),
    }
    for message, frame in changes.items():
        with pytest.raises(DataError, match=message):
            check_table(frame)


def test_measures_equal_those_of_scipy_and_their_definitions():
    frame = long_table({("m", "off"): biased})
    table = normalise(frame, "max")
    row = describe(table, 1).set_index(["series", "metabolite"]).loc[("all", "GABA")]
    part = table[table["metabolite"] == "GABA"]
    error, line = part["error"], stats.linregress(part["truth"], part["estimate"])
    assert (row["slope"], row["intercept"], row["r2"]) == pytest.approx((line.slope, line.intercept, line.rvalue**2))
    assert row["mae"] == pytest.approx(error.abs().mean()) and row["bias"] == pytest.approx(error.mean())
    assert row["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    half = 1.959964 * error.std()
    assert (row["loa_low"], row["loa_high"]) == pytest.approx((error.mean() - half, error.mean() + half))
    assert row["mae_low"] < row["mae"] < row["mae_high"] and row["number"] == 24
    mean = describe(table, 1).set_index(["series", "metabolite"]).loc[("all", MEAN)]
    assert mean["mae"] == pytest.approx(table["error"].abs().mean())


def test_the_interval_of_a_mean_is_that_of_scipy_and_repeats():
    values = np.random.default_rng(3).exponential(size=40)
    found = bootstrap_interval(values, 5)
    assert found == bootstrap_interval(values, 5)
    reference = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20000, random_state=1)
    np.testing.assert_allclose(found, reference.confidence_interval, rtol=0.03)
    assert np.isnan(bootstrap_interval(np.array([]), 1)).all()


def test_holm_on_fixed_tables():
    # Values of statsmodels.stats.multitest.multipletests(..., method="holm").
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.001, np.nan, 0.9]), [1.0, 0.003, np.nan, 1.0])
    assert np.isnan(holm([np.nan])).all() and holm([]).size == 0


def test_holm_equals_statsmodels_where_it_is_installed():
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    values = np.random.default_rng(0).uniform(size=50) ** 3
    np.testing.assert_allclose(holm(values), multitest.multipletests(values, method="holm")[1])


def test_signed_rank_on_fixed_tables():
    smaller, larger = np.arange(1, 9.0), np.arange(1, 9.0) + np.array([1, 2, 3, 4, 5, 6, 7, 8.0])
    # All eight differences have one sign: one of 2**8 equally likely patterns.
    assert signed_rank(smaller, larger) == pytest.approx(1 / 256)
    assert signed_rank(larger, smaller) == pytest.approx(1)
    one, other = np.random.default_rng(1).exponential(size=(2, 20))
    assert signed_rank(one, other) == pytest.approx(stats.wilcoxon(one, other, alternative="less").pvalue)
    assert signed_rank(one, one) == 1 and np.isnan(signed_rank([], []))


def test_distance_is_wasserstein_in_pooled_spread():
    one, other = np.array([0.0, 1, 2]), np.array([10.0, 11, 12])
    assert distance(one, other) == pytest.approx(10)
    assert distance(one, one) == 0 and distance([1, 1], [2, 2]) == np.inf and np.isnan(distance([1], [2]))


def test_a_planted_bias_is_found_with_its_direction_and_size():
    frame = long_table({("good", "off"): noisy, ("biased", "off"): biased})
    found = compare(normalise(frame, "sum")).set_index(["series", "metabolite"])
    row = found.loc[("all", "GABA")]
    assert row["better"] == row["better_in_study"] == "first" and row["marked"]
    assert row["mae_difference"] == pytest.approx(row["mae_first"] - row["mae_second"])
    assert row["mae_difference"] < -0.05
    turned = long_table({("biased", "off"): biased, ("good", "off"): noisy})
    found = compare(normalise(turned, "sum")).set_index(["series", "metabolite"])
    assert found.loc[("all", "GABA"), "better"] == "second"


def test_identical_methods_never_differ():
    for method in (noisy, failing):
        found = compare(normalise(long_table({("a", "off"): method, ("b", "off"): method}), "max"))
        assert (found["better"] == "").all() and not found["marked"].any()
        assert (found[["p_first", "p_second"]] == 1).all(axis=None) and (found["distance"] == 0).all()


def test_equally_good_methods_rarely_differ():
    def other(truth, random):
        random.normal(size=100)
        return noisy(truth, random)

    significant = 0
    for seed in range(20):
        found = compare(normalise(long_table({("a", "off"): noisy, ("b", "off"): other}, seed=seed), "max"))
        significant += (found["better"] != "").any()
    assert significant <= 4


def test_failed_scans_are_counted_and_never_crash():
    nothing = {("dead", "off"): lambda truth, _: np.full(truth.shape, np.nan)}
    frame = long_table({("good", "off"): noisy, ("failing", "diff"): failing} | nothing)
    assert failures(frame).groupby("label").size().to_dict() == {"failing, difference": 8, "dead, edit-off": 24}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for to in ("max", "sum", "Cr"):
            table = normalise(frame, to)
            rows = describe(table, 1).set_index(["label", "series", "metabolite"])
            found = compare(table)
    assert rows.loc[("failing, difference", "all", "GABA"), ["number", "missing"]].tolist() == [16, 8]
    assert rows.loc[("dead, edit-off", "all", "GABA"), "number"] == 0
    assert (found.loc[found["second"] == "dead, edit-off", "better"] == "").all()


def test_a_trend_is_found():
    values = np.arange(10.0)
    assert trend(values, 3 * values - 1)[:2] == pytest.approx((3, 1))
    assert np.isnan(trend(np.ones(10), values)).all() and np.isnan(trend([np.nan], [1.0])).all()
