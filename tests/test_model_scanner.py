"""Correction for a scanner: learnt from scans of known contents, no further than they tell."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fsl_mrs_dl.errors import ConfigError, DataError, ModelError
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.model.scanner import FEWEST, MARGIN, ScannerCorrection, learn_scanner

NAMES = ("a", "b", "c")
SKEW = np.array([[1.0, 0.1, 0.0], [0.0, 0.8, 0.1], [-0.1, 0.0, 1.0]])
"""What a scanner makes of contents."""

KNOWN = ScannerCorrection(
    metabolites=NAMES,
    weights=((0.0, 0.1, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.02, 0.0, 0.0)),
    moves=((0.0, 0.02), (0.0, 0.05), (0.0, 0.0)),
    contents=((0.2, 1.0), (0.0, 0.4), (0.5, 1.0)),
    scans=12, before=0.05, after=0.02,
)  # fmt: skip


def relative(values):
    return values / values.max(1, keepdims=True)


def scans(number, noise=0.005, seed=0, skew=SKEW):
    """Contents and what a model says of them on that scanner."""
    random = np.random.default_rng(seed)
    truth = relative(random.uniform(0.05, 1, (number, 3)))
    return relative((truth @ skew + noise * random.normal(size=truth.shape)).clip(0)), truth


def error(estimate, truth):
    return np.abs(estimate - truth).mean()


def test_estimates_are_moved_by_the_weights_and_no_further_than_the_known_ones():
    np.testing.assert_allclose(KNOWN([0.4, 0.2, 1.0]), [0.42, 0.24, 1.0])
    both = [[0.92, 0.25, 1.0], np.array([1.02, 0.25, 0.5]) / 1.02]
    np.testing.assert_allclose(KNOWN([[0.9, 0.2, 1.0], [1.0, 0.2, 0.5]]), both)
    assert KNOWN.unlike(np.array([0.2 - 0.9 * MARGIN, 0.4 + 1.1 * MARGIN, 1.0])) == [1]


def test_a_scanner_s_errors_are_taken_away():
    estimate, truth = scans(12)
    made, table = learn_scanner(NAMES, estimate, 40 * truth, steps=2, corrected=True)
    assert (made.scans, made.steps, made.corrected, made.metabolites) == (12, 2, True, NAMES)
    others, known = scans(500, seed=1)
    assert error(made(others), known) < 0.4 * error(others, known)
    # What is said of the known scans, each corrected by the others, holds of others too.
    assert made.after == pytest.approx(error(made(others), known), rel=0.5)
    assert made.before == pytest.approx(table[0].mean()) == pytest.approx(error(estimate, truth))
    assert made.after == pytest.approx(table[1].mean())


def test_each_known_scan_is_judged_by_the_others():
    estimate, truth = scans(8, noise=0.02, seed=3)
    made, _ = learn_scanner(NAMES, estimate, truth)
    left = []
    for one in range(8):
        rest = np.arange(8) != one
        try:
            left.append(error(learn_scanner(NAMES, estimate[rest], truth[rest])[0](estimate[one]), truth[one]))
        except DataError:
            left.append(error(estimate[one], truth[one]))
    assert error(made(estimate), truth) < made.after
    assert made.after == pytest.approx(np.mean(left), rel=0.5)


def test_nothing_is_learnt_of_noise_or_of_few_scans():
    with pytest.raises(DataError, match="do not show how to correct others"):
        learn_scanner(NAMES, *scans(40, noise=0.005, seed=5, skew=np.eye(3)))
    with pytest.raises(DataError, match=f"takes {FEWEST} scans of known contents or more, not {FEWEST - 1}"):
        learn_scanner(NAMES, *scans(FEWEST - 1))


def test_what_is_not_shown_stays():
    estimate, truth = scans(12)
    estimate[:, 1] = 0.01
    shown = np.array([True, False, True])
    made, table = learn_scanner(NAMES, estimate, truth, shown)
    assert np.isnan(table[:, 1]).all() and np.isfinite(table[:, shown]).all()
    np.testing.assert_array_equal(np.array(made.weights)[:, 1], 0)
    np.testing.assert_array_equal(np.array(made.weights)[1], 0)
    found = made(estimate)
    assert error(found[:, shown], relative(truth[:, shown])) < error(estimate[:, shown], relative(truth[:, shown]))


@pytest.mark.parametrize(
    "change",
    [
        {"metabolites": ("a", "b")},
        {"weights": KNOWN.weights[:-1]},
        {"weights": (*KNOWN.weights[:-1], (0.0, float("nan"), 0.0))},
        {"weights": (*KNOWN.weights[:-1], (0.0, 1e3, 0.0))},
        {"moves": KNOWN.moves[:2]},
        {"moves": ((0.1, 0.0), *KNOWN.moves[1:])},
        {"contents": ((float("nan"), 1.0), *KNOWN.contents[1:])},
        {"scans": FEWEST - 1},
        {"steps": -1},
        {"after": 1.5},
    ],
)
def test_numbers_that_are_no_correction_are_refused(change):
    with pytest.raises(ConfigError):
        replace(KNOWN, **change)


def test_it_is_kept_in_the_model_s_folder(tiny_model, tmp_path):
    names = tiny_model.config.metabolites
    save_model(replace(tiny_model, scanner=replace(KNOWN, metabolites=names)), tmp_path / "model")
    path = tmp_path / "model" / "scanner.json"
    loaded = load_model(tmp_path / "model")
    assert replace(loaded.scanner, weights_sha256="") == replace(KNOWN, metabolites=names)
    assert load_model(tmp_path / "model", calibrated=False).scanner is None
    text = path.read_text()
    for wrong, said in (
        ({"weights_sha256": "ab" * 32}, "of other weights"),
        ({"metabolites": NAMES}, "not for the model's metabolites"),
        ({"scans": 0}, "correction is of"),
        ({"more": 1}, "more"),
    ):
        path.write_text(json.dumps({**json.loads(text), **wrong}))
        with pytest.raises(ModelError, match=said):
            load_model(tmp_path / "model")
    path.write_text("{")
    with pytest.raises(ModelError, match="scanner.json"):
        load_model(tmp_path / "model")
