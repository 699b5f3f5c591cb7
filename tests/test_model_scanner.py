"""Correction for a scanner: learnt from scans of known contents, no further than they tell."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fsl_mrs_dl.errors import ConfigError, DataError, ModelError
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.model.scanner import FEWEST, MARGIN, PARTS, ScannerCorrection, _by_others, _left_out, learn_scanner

NAMES = ("a", "b", "c")
SKEW = np.array([[1.0, 0.1, 0.0], [0.0, 0.8, 0.1], [-0.1, 0.0, 1.0]])
"""What a scanner makes of contents."""

KNOWN = ScannerCorrection(
    metabolites=NAMES,
    weights=((0.0, 0.1, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.02, 0.0, 0.0)),
    moves=((0.0, 0.02), (0.0, 0.05), (0.0, 0.0)),
    contents=((0.2, 1.0), (0.0, 0.4), (0.5, 1.0)),
    scans=12, samples=10, before=0.05, after=0.02,
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
    made, errors = learn_scanner(NAMES, estimate, 40 * truth, steps=2, corrected=True)
    assert (made.scans, made.steps, made.corrected, made.metabolites) == (12, 2, True, NAMES)
    others, known = scans(500, seed=1)
    assert error(made(others), known) < 0.4 * error(others, known)
    assert made.before == pytest.approx(errors[0].mean()) == pytest.approx(error(estimate, truth))
    assert made.after == pytest.approx(errors[1].mean()) and errors.shape == (2, 12, 3)


def test_what_is_said_of_the_known_scans_holds_of_others():
    claimed, found = [], []
    for seed in range(20):
        made, _ = learn_scanner(NAMES, *scans(8, noise=0.02, seed=seed))
        others, known = scans(200, noise=0.02, seed=1000 + seed)
        claimed.append(made.after)
        found.append(error(made(others), known))
    assert np.mean(claimed) == pytest.approx(np.mean(found), rel=0.1)


def test_each_sample_is_judged_by_the_others_alone():
    estimate, truth = scans(8, noise=0.02, seed=3)
    # Two scans of each sample but the first.
    samples = np.array([0, *range(1, 8), *range(1, 8)])
    own, known = np.concatenate([estimate, scans(8, noise=0.03, seed=3)[0][1:]]), np.concatenate([truth, truth[1:]])
    for ridge in (0.3, 10.0):
        found = _left_out(own, known, samples, ridge)
        for sample in range(8):
            rest = samples != sample
            given = np.c_[own[rest], np.ones(rest.sum())]
            weights = np.linalg.inv(given.T @ given + ridge * np.eye(4)) @ given.T @ (known[rest] - own[rest])
            moves = given @ weights
            here = own[~rest] + (np.c_[own[~rest], np.ones((~rest).sum())] @ weights).clip(
                moves.min(0).clip(max=0), moves.max(0).clip(min=0)
            )
            np.testing.assert_allclose(found[~rest], relative(here.clip(0)), atol=1e-9)
    made, _ = learn_scanner(NAMES, own, known)
    assert (made.scans, made.samples) == (15, 8)
    by_others = _by_others(own, known, samples)
    assert made.after == pytest.approx(error(by_others, known)) and error(made(own), known) < made.after
    # The ridge is chosen anew by the others of each sample.
    other = known.copy()
    other[0] = relative(other[:1] + [[0.3, 0.0, 0.1]])[0]
    np.testing.assert_array_equal(_by_others(own, other, samples)[0], by_others[0])


def test_many_samples_are_left_out_in_parts():
    own, known = scans(60, noise=0.02, seed=8)
    samples = 3 * np.arange(60)  # as where some were left out
    found = _left_out(own, known, samples, 1.0)
    for one in range(60):
        rest = np.arange(60) % PARTS != one % PARTS
        alone = _left_out(np.concatenate([own[rest], own[[one]]]), np.concatenate([known[rest], known[[one]]]),
                          np.append(np.zeros(rest.sum(), int), 1), 1.0)  # fmt: skip
        np.testing.assert_allclose(found[one], alone[-1], atol=1e-9)


@pytest.mark.parametrize("number, most", [(6, 6), (12, 6)])
def test_luck_is_rarely_taken_for_a_correction(number, most):
    taken = 0
    for seed in range(60):
        try:
            taken += bool(learn_scanner(NAMES, *scans(number, noise=0.02, seed=seed, skew=np.eye(3)))[0])
        except DataError as exc:
            assert "do not show how to correct others" in str(exc)
    assert taken <= most


def test_too_little_is_refused():
    for number in (0, FEWEST - 1):
        with pytest.raises(DataError, match=f"takes scans of {FEWEST} different contents or more, not of {number}"):
            learn_scanner(NAMES, *(values[:number] for values in scans(FEWEST)))
    # Repetitions are one sample, in whatever unit.
    estimate, truth = scans(FEWEST - 1)
    with pytest.raises(DataError, match=f"not of {FEWEST - 1}"):
        learn_scanner(NAMES, np.tile(estimate, (3, 1)), np.concatenate([truth, 2 * truth, 7 * truth]))
    # Nor is there anything to correct where nothing is wrong, or one metabolite is always the largest.
    with pytest.raises(DataError, match="do not show"):
        learn_scanner(NAMES, truth := scans(12)[1], truth)
    with pytest.raises(DataError, match="not of 1;"):
        learn_scanner(("a",), np.ones((12, 1)), np.arange(1.0, 13)[:, None])


def test_contents_of_other_scans_are_refused():
    for number in (12, 40):
        estimate, truth = scans(number, seed=7)
        with pytest.raises(DataError, match="hardly those of the scans"):
            learn_scanner(NAMES, estimate, np.roll(truth, 1, 0))
        # Nor where contents vary little, and a map could learn their mean.
        random = np.random.default_rng(number)
        truth = np.array([1.0, 0.6, 0.4]) + random.normal(size=(number, 3)) * [0.0, 0.06, 0.06]
        estimate = truth * [1.0, 1.2, 0.8] + 0.01 * random.normal(size=truth.shape) * [0, 1, 1]
        assert learn_scanner(NAMES, estimate, truth)[0].after < 0.03
        with pytest.raises(DataError, match="hardly those of the scans"):
            learn_scanner(NAMES, estimate, np.roll(truth, 1, 0))


def test_what_needs_no_correction_is_free_to_stay():
    # The first metabolite is seen 0.1 too small.
    random = np.random.default_rng(4)
    truth = random.uniform(0.3, 0.9, (20, 3))
    truth[:, 2] = 1
    estimate = truth - [0.1, 0.0, 0.0]
    made, _ = learn_scanner(NAMES, estimate, truth)
    assert made.moves[0][0] == 0 and made.moves[0][1] > 0.05


def test_what_is_not_shown_stays():
    estimate, truth = scans(12)
    estimate[:, 1] = 0.01
    shown = np.array([True, False, True])
    made, errors = learn_scanner(NAMES, estimate, truth, shown)
    assert np.isnan(errors[..., 1]).all() and np.isfinite(errors[..., shown]).all()
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
        {"moves": ((0.1, 0.2), *KNOWN.moves[1:])},
        {"contents": ((float("nan"), 1.0), *KNOWN.contents[1:])},
        {"scans": FEWEST - 1, "samples": FEWEST - 1},
        {"samples": FEWEST - 1},
        {"samples": 13},
        {"steps": -1},
        {"after": 1.5},
    ],
)
def test_numbers_that_are_no_correction_are_refused(change):
    with pytest.raises(ConfigError):
        replace(KNOWN, **change)


def test_it_is_kept_in_the_model_s_folder(tiny_model, tmp_path):
    names = tiny_model.config.metabolites
    own = {"metabolites": names, "calibration_sha256": tiny_model.calibration.fingerprint()}
    save_model(replace(tiny_model, scanner=replace(KNOWN, **own)), tmp_path / "model")
    path = tmp_path / "model" / "scanner.json"
    loaded = load_model(tmp_path / "model")
    assert replace(loaded.scanner, weights_sha256="") == replace(KNOWN, **own)
    save_model(loaded, tmp_path / "again")
    assert load_model(tmp_path / "again").scanner == loaded.scanner
    other = replace(loaded, scanner=replace(loaded.scanner, weights_sha256="ab" * 32))
    bare = load_model(tmp_path / "model", calibrated=False)
    for number, lost in enumerate((other, bare, replace(loaded, calibration=None))):
        lost = replace(lost, card={**lost.card, "corrected_for": {"scans": {"a": "12"}}})
        save_model(lost, tmp_path / str(number))
        saved = load_model(tmp_path / str(number))
        assert saved.scanner is None and "corrected_for" not in saved.card
    assert load_model(tmp_path / "model", calibrated=False).scanner is None
    text = path.read_text()
    for wrong, said in (
        ({"weights_sha256": "ab" * 32}, "of other weights.*fsl_mrs_dl adapt"),
        ({"calibration_sha256": "ab" * 32}, "another calibration.*fsl_mrs_dl adapt"),
        ({"metabolites": NAMES}, "not for the model's metabolites"),
        ({"scans": 0}, "correction is of.*fsl_mrs_dl adapt"),
        ({"more": 1}, "more"),
    ):
        path.write_text(json.dumps({**json.loads(text), **wrong}))
        with pytest.raises(ModelError, match=said):
            load_model(tmp_path / "model")
    path.write_text("{")
    with pytest.raises(ModelError, match="scanner.json"):
        load_model(tmp_path / "model")
