"""Conformal error bars: coverage of errors of a known distribution."""

import numpy as np
import pytest

from fsl_mrs_dl.model.calibration import CELLS, CLASSES
from fsl_mrs_dl.model.conformal import calibrate_errors, open_errors, quantile
from fsl_mrs_dl.model.unshrink import tenths_of

from .test_model_unshrink import shrunk

NAMES = ("Cr", "GABA", "NAA")


def scans(number, seed, factor=2.0):
    """Estimates that err by `factor` times what is expected, Gaussian, and more where there is more."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0.05, 0.95, (number, 3))
    expected = 0.01 * np.exp(random.normal(size=truth.shape) * 0.3) * (1 + 2 * truth)
    return truth + factor * expected * random.normal(size=truth.shape), truth, np.log(expected)


def test_gaussian_errors_get_the_quantiles_of_a_gaussian():
    made = calibrate_errors(NAMES, *scans(60_000, 0), "a toy").intervals
    for low, high, wide in ((made.low68, made.high68, 0.99446), (made.low95, made.high95, 1.95996)):
        # Wherever the ends lie, a Gaussian has no narrower interval than the one about its middle.
        width = (np.array(low) + np.array(high)).reshape(3, CLASSES, CELLS)[:, :, 2:7] / (4 * wide)
        assert 0.85 < width.min() and np.median(width) == pytest.approx(1, abs=0.1) and width.max() < 1.6
    assert np.abs(np.array(made.correlation) - np.eye(3)).max() < 0.02


@pytest.mark.parametrize("make", [lambda number, seed: scans(number, seed, 0.5), scans, shrunk])
def test_new_scans_are_covered_as_often_as_is_said(make):
    names = NAMES[: make(1, 0)[0].shape[1]]
    made = calibrate_errors(names, *make(60_000, 1), "a toy")
    estimate, truth, spread = make(60_000, 2)
    for correct in (False, True):
        judged, found = made.judge(estimate, spread, correct=correct)
        counted = open_errors(judged, truth)
        for level, interval in ((0.68, found.interval68), (0.95, found.interval95)):
            inside = (truth >= interval[..., 0]) & (truth <= interval[..., 1])
            assert abs(inside[counted].mean() - level) < 0.01
            for place, limits in enumerate(made.intervals.limits):
                parts = [tenths_of(judged[:, place]), tenths_of(truth[:, place]), np.digitize(spread[:, place], limits)]
                for part in parts:  # by the estimate, by the truth, and by how sure the model is
                    for one in np.unique(part):
                        covered = inside[counted[:, place] & (part == one), place].mean()
                        assert abs(covered - level) < (0.045 if correct else 0.03)
        assert (found.interval68[..., 0] >= found.interval95[..., 0]).all()
        assert (found.interval68[..., 1] <= found.interval95[..., 1]).all()
        assert (found.interval95 >= 0).all() and (found.interval95 <= 1).all()


def test_quantiles_are_those_of_a_finite_sample_and_rise_with_the_level():
    scores = np.arange(1.0, 100.0)  # 99 scores
    assert quantile(scores, 0.95) == 95 and quantile(scores, 0.68) == 68
    assert quantile(scores[:10], 0.95) == 10
    levels = np.linspace(0.01, 0.99, 40)
    assert (np.diff([quantile(scores, level) for level in levels]) >= 0).all()


def test_the_largest_in_both_counts_nowhere():
    estimate, truth, spread = scans(1000, 3)
    estimate[:, 2] = truth[:, 2] = 1.0
    assert not open_errors(estimate, truth)[:, 2].any()
    made = calibrate_errors(NAMES, estimate, truth, spread, "a toy")
    assert made.intervals.low68[2] is None and made.intervals.low68[0] is not None
    assert np.isnan(made.intervals.around(estimate, spread).sd[:, 2]).all()


def test_what_no_scan_holds_has_no_error_bars():
    estimate, truth, spread = scans(1000, 4)
    truth[:, 1] = 0
    made = calibrate_errors(NAMES, estimate, truth, spread, "a toy")
    found = made.intervals.around(estimate[0], spread[0])
    assert np.isnan(found.sd[1]) and np.isnan(found.interval68[1]).all() and np.isfinite(found.sd[[0, 2]]).all()


def test_correlated_errors_are_found():
    random = np.random.default_rng(5)
    truth = random.uniform(0.1, 0.9, (20_000, 2))
    common, own = random.normal(size=(2, 20_000, 1))
    error = 0.02 * (0.8 * common * [1, -1] + 0.6 * np.concatenate([own, random.normal(size=own.shape)], 1))
    made = calibrate_errors(("a", "b"), truth + error, truth, np.full_like(truth, np.log(0.02)), "a toy")
    assert made.intervals.correlation[0][1] == pytest.approx(-0.64, abs=0.03)
    covariance = made.intervals.around(truth[0], np.log([0.02, 0.02])).covariance
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), made.intervals.around(truth[0], np.log([0.02] * 2)).sd)


def test_few_scans_share_their_quantiles():
    made = calibrate_errors(NAMES, *scans(100, 8), "a toy")
    assert all(len(set(row)) <= CLASSES and min(row) > 0 for row in made.intervals.low95)
    assert calibrate_errors(NAMES, *scans(10, 9), "a toy").intervals.low68 == (None, None, None)


def test_a_single_metabolite_is_the_largest_always_so_nothing_is_known():
    one = np.ones((300, 1))
    made = calibrate_errors(("a",), one, one, -3 * one, "a toy")
    assert made.intervals.low68 == made.intervals.low95 == (None,) and made.intervals.correlation == ((1.0,),)
    found = made.intervals.around(one, -3 * one)
    assert np.isnan(found.sd).all() and np.isnan(found.interval95).all()
