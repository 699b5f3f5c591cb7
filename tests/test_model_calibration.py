"""Conformal error bars: coverage of errors of a known distribution, and files that are refused."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.model.calibration import (
    CELLS,
    FILE,
    Calibration,
    calibrate_errors,
    calibration_values,
    cells_of,
    open_errors,
    quantile,
    read_calibration,
)
from fsl_mrs_dl.model.checkpoint import load_model, save_model

NAMES = ("Cr", "GABA", "NAA")


def scans(number, seed, factor=2.0):
    """Estimates that err by `factor` times what is expected, Gaussian, and more where there is more."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0.05, 0.95, (number, 3))
    expected = 0.01 * np.exp(random.normal(size=truth.shape) * 0.3) * (1 + 2 * truth)
    return truth + factor * expected * random.normal(size=truth.shape), truth, np.log(expected)


def test_gaussian_errors_get_the_quantiles_of_a_gaussian():
    made = calibrate_errors(NAMES, *scans(60_000, 0), "a toy")
    inner, outer = (np.array(rows)[:, 2:7] for rows in (made.factors68, made.factors95))
    assert np.abs(inner / (2 * 0.99446) - 1).max() < 0.06
    assert np.abs(outer / (2 * 1.95996) - 1).max() < 0.06
    assert np.abs(np.array(made.correlation) - np.eye(3)).max() < 0.02


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_new_scans_are_covered_as_often_as_is_said(factor):
    made = calibrate_errors(NAMES, *scans(40_000, 1, factor), "a toy")
    estimate, truth, spread = scans(40_000, 2, factor)
    found = made.uncertainty(estimate, spread)
    for level, interval in ((0.68, found.interval68), (0.95, found.interval95)):
        inside = (truth >= interval[..., 0]) & (truth <= interval[..., 1])
        assert abs(inside.mean() - level) < 0.01
        for tenth in range(10):
            chosen = cells_of(estimate) == tenth
            assert abs(inside[chosen].mean() - level) < 0.03
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
    assert made.factors68[2] is None and made.factors68[0] is not None
    assert np.isnan(made.uncertainty(estimate, spread).sd[:, 2]).all()


def test_what_no_scan_holds_has_no_error_bars():
    estimate, truth, spread = scans(1000, 4)
    truth[:, 1] = 0
    made = calibrate_errors(NAMES, estimate, truth, spread, "a toy")
    found = made.uncertainty(estimate[0], spread[0])
    assert np.isnan(found.sd[1]) and np.isnan(found.interval68[1]).all() and np.isfinite(found.sd[[0, 2]]).all()


def test_correlated_errors_are_found():
    random = np.random.default_rng(5)
    truth = random.uniform(0.1, 0.9, (20_000, 2))
    common, own = random.normal(size=(2, 20_000, 1))
    error = 0.02 * (0.8 * common * [1, -1] + 0.6 * np.concatenate([own, random.normal(size=own.shape)], 1))
    made = calibrate_errors(("a", "b"), truth + error, truth, np.full_like(truth, np.log(0.02)), "a toy")
    assert made.correlation[0][1] == pytest.approx(-0.64, abs=0.03)
    covariance = made.uncertainty(truth[0], np.log([0.02, 0.02])).covariance
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), made.uncertainty(truth[0], np.log([0.02] * 2)).sd)


def test_a_batch_equals_one_by_one_and_parts_are_taken():
    made = calibrate_errors(NAMES, *scans(2000, 6), "a toy")
    estimate, _, spread = scans(5, 7)
    together = made.uncertainty(estimate, spread)
    for scan in range(5):
        alone, taken = made.uncertainty(estimate[scan], spread[scan]), together.take(scan)
        for name in ("sd", "interval68", "interval95", "covariance"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(taken, name))
    turned = together.take(metabolites=[2, 0])
    np.testing.assert_array_equal(turned.sd, together.sd[:, [2, 0]])
    np.testing.assert_array_equal(turned.covariance[:, 0, 1], together.covariance[:, 2, 0])


def test_few_scans_share_their_quantiles():
    made = calibrate_errors(NAMES, *scans(100, 8), "a toy")
    assert all(len(set(row)) <= CELLS and min(row) > 0 for row in made.factors95)
    assert calibrate_errors(NAMES, *scans(10, 9), "a toy").factors68 == (None, None, None)


def test_a_single_metabolite_is_the_largest_always_so_nothing_is_known():
    one = np.ones((300, 1))
    made = calibrate_errors(("a",), one, one, -3 * one, "a toy")
    assert made.factors68 == made.factors95 == (None,) and made.correlation == ((1.0,),)
    found = made.uncertainty(one, -3 * one)
    assert np.isnan(found.sd).all() and np.isnan(found.interval95).all()


ROW = (1.0,) * CELLS
GOOD = Calibration(("a", "b"), (ROW, None), (ROW, None), ((1.0, 0.2), (0.2, 1.0)), 100, "a toy", "ab")


@pytest.mark.parametrize(
    "change",
    [
        {"factors68": (ROW,)},
        {"factors68": ((2.0,) * CELLS, None)},
        {"factors68": (None, None)},
        {"factors95": ((float("nan"),) * CELLS, None)},
        {"factors95": ((1e9,) * CELLS, None)},
        {"factors68": ((-1.0,) * CELLS, None)},
        {"factors95": (ROW[:-1], None)},
        {"correlation": ((1.0, 2.0), (2.0, 1.0))},
        {"correlation": ((1.0, float("nan")), (0.2, 1.0))},
        {"correlation": ((1.0, 0.2), (0.3, 1.0))},
        {"correlation": ((0.5, 0.2), (0.2, 1.0))},
        {"correlation": ((1.0,),)},
        {"scans": 0},
        {"metabolites": (), "factors68": (), "factors95": (), "correlation": ()},
    ],
)
def test_numbers_that_are_no_calibration_are_refused(change):
    with pytest.raises(ConfigError):
        replace(GOOD, **change)


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        json.dumps({**asdict(GOOD), "more": 1}),
        json.dumps({**asdict(GOOD), "factors68": "x"}),
        json.dumps({**asdict(GOOD), "factors95": [[1.0] * CELLS, [float("inf")] * CELLS]}),
        json.dumps({**asdict(GOOD), "metabolites": ["b", "a"]}),
        json.dumps({**asdict(GOOD), "weights_sha256": "cd"}),
        json.dumps({key: value for key, value in asdict(GOOD).items() if key != "scans"}),
    ],
)
def test_files_that_are_no_calibration_of_the_model_are_refused(content, tmp_path):
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(ModelError) as error:
        read_calibration(tmp_path, ("a", "b"), "ab")
    assert FILE in str(error.value)


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    assert read_calibration(tmp_path, ("a", "b"), "ab") is None
    (tmp_path / FILE).write_text(json.dumps(calibration_values(GOOD, "ef")), encoding="utf-8")
    assert read_calibration(tmp_path, ("a", "b"), "ef") == replace(GOOD, weights_sha256="ef")


def test_a_trained_model_keeps_its_calibration_and_refuses_another(tiny_model, tmp_path):
    assert tiny_model.calibration.scans >= 1000 and all(row is not None for row in tiny_model.calibration.factors68)
    save_model(tiny_model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.calibration == replace(tiny_model.calibration, weights_sha256=loaded.weights_sha256)
    save_model(replace(tiny_model, calibration=None), tmp_path / "bare")
    assert load_model(tmp_path / "bare").calibration is None
    values = calibration_values(tiny_model.calibration, "0" * 64)
    (tmp_path / "bare" / FILE).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ModelError, match="other weights"):
        load_model(tmp_path / "bare")
    assert load_model(tmp_path / "bare", calibrated=False).calibration is None
