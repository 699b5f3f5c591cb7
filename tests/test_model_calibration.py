"""A model's calibration: error bars of estimates, and files that are refused."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.model import checkpoint
from fsl_mrs_dl.model.calibration import (
    CELLS,
    CLASSES,
    FILE,
    Calibration,
    Intervals,
    cells_of,
    read_calibration,
)
from fsl_mrs_dl.model.checkpoint import load_model, save_model, write_calibration
from fsl_mrs_dl.model.conformal import calibrate_errors
from fsl_mrs_dl.model.doubt import Doubt
from fsl_mrs_dl.model.unshrink import GRID, SURE, Correction

from .test_model_conformal import scans

ROW = (1.0,) * (CELLS * CLASSES)
CORRELATION = ((1.0, 0.2), (0.2, 1.0))
INTERVALS = Intervals(((-4.0, -2.0), None), *(((row, None)) for row in (ROW, ROW, ROW, ROW)), CORRELATION)
MAP = Correction((tuple(np.linspace(-5.0, -1.0, len(SURE)).tolist()), None), (((0.5,) * len(SURE),) * len(GRID), None))
GOOD = Calibration(("a", "b"), INTERVALS, 100, "a toy", MAP, INTERVALS, weights_sha256="ab")


def test_intervals_are_factors_of_the_cell_times_the_expected_error():
    low = tuple(np.arange(1.0, 1 + len(ROW)).tolist())
    high = tuple((2 * np.arange(1.0, 1 + len(ROW))).tolist())
    far = tuple(1000 * one for one in high)
    found = replace(INTERVALS, low68=(low, None), high68=(high, None), low95=(far, None), high95=(far, None))
    # Tenth 3 of the second class is cell 11 + 3, so 15 and 30 expected errors.
    around = found.around(np.array([0.35, 0.5]), np.array([-3.0, -3.0]))
    expected = np.exp(-3.0)
    np.testing.assert_allclose(around.interval68[0], [0, 1])
    assert around.sd[0] == pytest.approx(22.5 * expected) and np.isnan(around.sd[1])
    np.testing.assert_allclose(around.covariance[0, 0], around.sd[0] ** 2)
    small = found.around(np.array([0.35, 0.5]), np.array([-9.0, -9.0]))
    np.testing.assert_allclose(small.interval68[0], [0.35 - 4 * np.exp(-9), 0.35 + 8 * np.exp(-9)])


def test_cells_are_of_the_tenth_and_of_the_class():
    found = cells_of(np.array([0.0, 0.15, 0.999, 1.0]), np.array([-9.0, -3.0, -1.0, -2.0]), (-4.0, -2.0))
    assert found.tolist() == [0, CELLS + 1, 2 * CELLS + 9, 2 * CELLS + 10]


def test_corrected_estimates_have_their_own_intervals():
    wide = replace(INTERVALS, low95=((9.0,) * len(ROW), None))
    plain, around = replace(GOOD, corrected=wide).judge([0.3, 0.6], [-3.0, -3.0])
    assert plain.tolist() == [0.3, 0.6] and around.interval95[0, 0] == pytest.approx(0.3 - np.exp(-3))
    corrected, around = replace(GOOD, corrected=wide).judge([0.3, 0.6], [-3.0, -3.0], correct=True)
    assert corrected.tolist() == [0.5, 0.6] and around.interval95[0, 0] == pytest.approx(0.5 - 9 * np.exp(-3))


def test_estimates_are_corrected_for_what_the_network_itself_expects():
    rising = tuple(0.2 + 0.1 * column for column in range(len(SURE)))
    doubtful = replace(GOOD, doubt=Doubt((-5.0,), (2.0,), (1.0, 1.0)))
    made = replace(doubtful, correction=replace(MAP, values=((rising,) * len(GRID), None)))
    first, later = MAP.knots[0][0], MAP.knots[0][1]
    for own in (None, [first, first]):
        spread = np.array([first, first] if own is None else [later, later])
        for unexplained in ([0.0], [0.5]):
            corrected, around = made.judge([0.3, 0.6], spread, unexplained, correct=True, own_spread=own)
            assert corrected[0] == pytest.approx(0.2)
            wider = around.sd[0]
        assert wider > 1.5 * made.judge([0.3, 0.6], spread, [0.0], correct=True, own_spread=own)[1].sd[0]


def test_a_batch_equals_one_by_one_and_parts_are_taken():
    made = calibrate_errors(("Cr", "GABA", "NAA"), *scans(2000, 6), "a toy")
    estimate, _, spread = scans(5, 7)
    together = made.intervals.around(estimate, spread)
    for scan in range(5):
        alone, taken = made.intervals.around(estimate[scan], spread[scan]), together.take(scan)
        for name in ("sd", "interval68", "interval95", "covariance"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(taken, name))
    turned = together.take(metabolites=[2, 0])
    np.testing.assert_array_equal(turned.sd, together.sd[:, [2, 0]])
    np.testing.assert_array_equal(turned.covariance[:, 0, 1], together.covariance[:, 2, 0])


@pytest.mark.parametrize(
    "change",
    [
        {"limits": ((-4.0,), None)},
        {"limits": ((-2.0, -4.0), None)},
        {"limits": (None, None)},
        {"low68": (ROW,)},
        {"low68": ((2.0, *ROW[1:]), None)},
        {"high68": ((2.0, *ROW[1:]), None)},
        {"high68": (None, None)},
        {"high95": ((float("nan"), *ROW[1:]), None)},
        {"low95": ((1e9, *ROW[1:]), None)},
        {"low68": ((-1.0, *ROW[1:]), None)},
        {"low95": (ROW[:-1], None)},
        {"correlation": ((1.0, 2.0), (2.0, 1.0))},
        {"correlation": ((1.0, float("nan")), (0.2, 1.0))},
        {"correlation": ((1.0, 0.2), (0.3, 1.0))},
        {"correlation": ((0.5, 0.2), (0.2, 1.0))},
        {"correlation": ((1.0,),)},
    ],
)
def test_numbers_that_are_no_intervals_are_refused(change):
    with pytest.raises(ConfigError):
        replace(INTERVALS, **change)


@pytest.mark.parametrize("change", [{"scans": 0}, {"metabolites": ()}, {"metabolites": ("a",)}, {"correction": None}])
def test_parts_that_are_no_calibration_are_refused(change):
    with pytest.raises(ConfigError):
        replace(GOOD, **change)


PLAIN = asdict(GOOD)


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        json.dumps({**PLAIN, "more": 1}),
        json.dumps({**PLAIN, "intervals": "x"}),
        json.dumps({**PLAIN, "intervals": dict.fromkeys(PLAIN["intervals"], [])}),
        json.dumps({**PLAIN, "intervals": {**PLAIN["intervals"], "low68": "x"}}),
        json.dumps({**PLAIN, "corrected": None}),
        json.dumps({**PLAIN, "correction": {"knots": [None], "values": [None]}}),
        json.dumps({**PLAIN, "metabolites": ["b", "a"]}),
        json.dumps({**PLAIN, "weights_sha256": "cd"}),
        json.dumps({key: value for key, value in PLAIN.items() if key != "scans"}),
    ],
)
def test_files_that_are_no_calibration_of_the_model_are_refused(content, tmp_path):
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(ModelError) as error:
        read_calibration(tmp_path, ("a", "b"), 2, "ab")
    assert FILE in str(error.value)


def test_a_doubt_is_read_with_the_calibration_and_refused_for_other_spectra(tmp_path):
    doubted = replace(GOOD, doubt=Doubt((-2.0, -1.5), (0.3, 0.2), (1.0, 0.5)), steps=2)
    (tmp_path / FILE).write_text(json.dumps(asdict(replace(doubted, weights_sha256="ef"))), encoding="utf-8")
    assert read_calibration(tmp_path, ("a", "b"), 2, "ef") == replace(doubted, weights_sha256="ef")
    with pytest.raises(ModelError, match="its doubt is of 2 spectra, not 1"):
        read_calibration(tmp_path, ("a", "b"), 1, "ef")
    with pytest.raises(ConfigError, match="same 2 metabolites"):
        replace(doubted, doubt=Doubt((-2.0,), (0.3,), (1.0,)))


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    assert read_calibration(tmp_path, ("a", "b"), 2, "ab") is None
    (tmp_path / FILE).write_text(json.dumps(asdict(replace(GOOD, weights_sha256="ef"))), encoding="utf-8")
    assert read_calibration(tmp_path, ("a", "b"), 2, "ef") == replace(GOOD, weights_sha256="ef")


def test_a_trained_model_keeps_its_calibration_and_refuses_another(tiny_model, tmp_path):
    assert tiny_model.calibration.scans >= 1000 and None not in tiny_model.calibration.intervals.low68
    save_model(tiny_model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.calibration == replace(tiny_model.calibration, weights_sha256=loaded.weights_sha256)
    save_model(replace(tiny_model, calibration=None), tmp_path / "bare")
    assert load_model(tmp_path / "bare").calibration is None
    values = asdict(replace(tiny_model.calibration, weights_sha256="0" * 64))
    (tmp_path / "bare" / FILE).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ModelError, match="other weights"):
        load_model(tmp_path / "bare")
    assert load_model(tmp_path / "bare", calibrated=False).calibration is None


def test_a_calibration_is_written_whole_or_not_at_all(tiny_model, tmp_path, monkeypatch):
    save_model(tiny_model, tmp_path / "model")
    before = (tmp_path / "model" / FILE).read_text(encoding="utf-8")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_calibration(tmp_path / "model", replace(tiny_model.calibration, scans=7))
    assert (tmp_path / "model" / FILE).read_text(encoding="utf-8") == before
    assert not list((tmp_path / "model").glob(".*"))


def test_a_model_without_a_correction_has_no_shrinkage_to_leave_in(tiny_model):
    assert not tiny_model.corrected
    for calibration in (None, replace(tiny_model.calibration, correction=None, corrected=None)):
        with pytest.raises(ModelError, match="not corrected for shrinkage"):
            replace(tiny_model, calibration=calibration).with_shrinkage()
