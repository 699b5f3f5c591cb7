"""Correcting a model for a scanner: other scans of it get better, and every place says so."""

import dataclasses

import numpy as np
import pytest

from fsl_mrs_dl.errors import DataError, ModelError
from fsl_mrs_dl.evaluate.methods import model_method
from fsl_mrs_dl.fit.adapt import adapt
from fsl_mrs_dl.fit.estimate_notes import ADAPTED, NOT_ADAPTED, settings
from fsl_mrs_dl.fit.predict import BatchPredictor, predict
from fsl_mrs_dl.fit.quantify import Quantifier, basis_for
from fsl_mrs_dl.fit.result import ModelRecord
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.model.card import adapted_scans, card_text, check_out_of_sample, content_hash, with_scans
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.synth.dataset import Stream, as_narrow
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.finetune import RealScans, finetune
from fsl_mrs_dl.train.loop import Hardware, train
from fsl_mrs_dl.train.plan import TrainConfig

from .fit_examples import noise_of
from .test_fit_uncertainty import halved

RECIPE = dataclasses.replace(PUBLISHED, lorentz_hz=(2.0, 4.0), noise_sigma=(0.0, 0.002))
KNOWN = 16


@pytest.fixture(scope="module")
def scanner(tiny_basis):
    """Names, scans and contents of a scanner that sees GABA and creatine otherwise than the basis set says."""
    gains = np.array([{"Cr": 0.7, "GABA": 1.3, "NAA": 1.0}[name] for name in tiny_basis.names])
    foreign = dataclasses.replace(tiny_basis, fids=tiny_basis.fids * gains[:, None])
    batch = Stream(foreign, RECIPE, 77, None, 48)[0]
    kind = tiny_basis.conditions, 5e-4, tiny_basis.centre_hz
    scans = [(f"scan_{k}", Scan(fids.numpy(), *kind)) for k, fids in enumerate(batch.measured)]
    truth = 10 * batch.draw.concentrations.double().numpy()
    return scans, {name: dict(zip(tiny_basis.names, row)) for (name, _), row in zip(scans, truth.tolist())}


@pytest.fixture(scope="module")
def adapted(tiny_model, tiny_basis, scanner):
    scans, contents = scanner
    found = adapt(quantifier(tiny_model, tiny_basis), scans[:KNOWN], contents)
    return found.model, found.errors


def quantifier(model, basis):
    """A Quantifier of a model that has no folder."""
    made = Quantifier.__new__(Quantifier)
    made.model, made.basis, made.options, made._judges = model, basis, {}, {}
    return made


def said(model, basis, scans):
    """(scan, metabolite) estimates of a fit."""
    return np.array([predict(model, scan, basis).concentrations for _, scan in scans])


def test_other_scans_of_the_scanner_get_better(tiny_model, tiny_basis, scanner, adapted):
    scans, contents = scanner
    model, table = adapted
    others = scans[KNOWN:]
    truth = np.array([list(contents[name].values()) for name, _ in others])
    truth /= truth.max(1, keepdims=True)
    before, after = (np.abs(said(one, tiny_basis, others) - truth).mean() for one in (tiny_model, model))
    assert after < 0.7 * before
    assert list(table.columns) == ["before", "after"] and list(table.index) == [*tiny_basis.names, "mean"]
    assert table.loc["mean", "after"] == pytest.approx(after, rel=0.6) and table.loc["mean", "after"] < before
    assert model.network is tiny_model.network and model.adapted and not tiny_model.adapted
    # The same for many scans at once, and the intervals are about what is said.
    fids = np.stack([scan.fids for _, scan in others])
    many, _ = BatchPredictor(model, others[0][1], tiny_basis)(fids)
    plain, _ = BatchPredictor(tiny_model, others[0][1], tiny_basis)(fids)
    np.testing.assert_allclose(many.concentrations, model.scanner(plain.concentrations))
    moved = model.scanner(said(tiny_model, tiny_basis, others))
    np.testing.assert_allclose(said(model, tiny_basis, others), moved)
    assert np.abs(moved - plain.concentrations).max() > 0.05
    assert (many.uncertainty.interval68[..., 0] <= many.concentrations).all()
    assert (many.uncertainty.interval68[..., 1] >= many.concentrations).all()
    bare = dataclasses.replace(model, calibration=None, scanner=dataclasses.replace(model.scanner, corrected=False))
    assert predict(bare, others[0][1], tiny_basis).uncertainty is None and bare.adapted


def test_its_card_names_the_scans_which_are_no_test_of_it(scanner, adapted):
    scans, _ = scanner
    model, _ = adapted
    assert set(adapted_scans(model.card, "corrected_for")) == {name for name, _ in scans[:KNOWN]}
    assert adapted_scans(model.card) == {} and "scan_3" in card_text(model.card)
    check_out_of_sample(model, {name: scan.fids for name, scan in scans[KNOWN:]})
    with pytest.raises(ModelError, match=f"was adapted to {KNOWN}"):
        check_out_of_sample(model, {name: scan.fids for name, scan in scans})


def test_it_is_told_wherever_settings_are(tiny_model, tiny_basis, scanner, adapted, tmp_path):
    scans, _ = scanner
    model, _ = adapted
    told = ADAPTED.format(**vars(model.scanner))
    assert settings(model) == (told, *settings(tiny_model)) and f"of {KNOWN} scans" in told
    assert told in predict(model, scans[0][1], tiny_basis).notes
    record = ModelRecord.of(model)
    assert record.adapted == KNOWN and ModelRecord.of(tiny_model).adapted == 0
    assert record.settings == ""
    # A study must not take the estimates of one for those of the other.
    versions = []
    for name, one in (("a", tiny_model), ("b", model)):
        save_model(one, tmp_path / name)
        versions.append(model_method(tmp_path / name, _folder(tiny_basis, tmp_path)).version)
    assert versions[0] != versions[1]


def _folder(basis, tmp_path):
    from fsl_mrs_dl.basis.basis_set import write_basis

    if not (tmp_path / "basis").exists():
        write_basis(basis, tmp_path / "basis")
    return tmp_path / "basis"


def test_other_estimates_are_not_moved_and_a_warning_says_so(tiny_model, tiny_basis, scanner):
    scans, contents = scanner
    model = adapt(quantifier(halved(tiny_model), tiny_basis), scans[:KNOWN], contents).model
    assert model.adapted and model.scanner.corrected
    shrunk = model.with_shrinkage()
    assert not shrunk.adapted and ModelRecord.of(shrunk).adapted == 0
    assert NOT_ADAPTED.format(steps=0, shrinkage="corrected") in settings(shrunk)
    np.testing.assert_allclose(said(shrunk, tiny_basis, scans[:3]), said(tiny_model, tiny_basis, scans[:3]))


def test_contents_unlike_the_known_ones_are_told(tiny_basis, scanner, adapted):
    scans, _ = scanner
    model, _ = adapted
    gaba = tiny_basis.names.index("GABA")
    narrow = [list(pair) for pair in model.scanner.contents]
    narrow[gaba] = [0.0, 0.01]
    model = dataclasses.replace(model, scanner=dataclasses.replace(model.scanner, contents=tuple(map(tuple, narrow))))
    for _, scan in scans[:8]:
        found = predict(model, scan, tiny_basis)
        told = [note for note in found.notes if note.startswith("Warning: the correction for the scanner may not hold")]
        value = found.concentrations[gaba]
        assert bool(told) == (value > 0.11)
        assert all(f"contents: GABA {value:.2f}, there 0.00 to 0.01." in note for note in told)


def test_scans_whose_contents_are_of_others_are_named(tiny_model, tiny_basis, scanner, adapted):
    scans, contents = scanner
    assert adapt(quantifier(tiny_model, tiny_basis), scans[:32], contents).odd == ()
    # Two scans whose contents differ much.
    largest = {name: max(row, key=row.get) for name, row in contents.items()}
    one, other = (next(name for name, of in largest.items() if of == wanted) for wanted in ("NAA", "GABA"))
    swapped = {**contents, one: contents[other], other: contents[one]}
    assert adapt(quantifier(tiny_model, tiny_basis), scans, swapped).odd == tuple(
        name for name, _ in scans if name in (one, other)
    )


def test_a_training_from_it_is_of_no_scanner(tiny_basis, adapted):
    model, _ = adapted
    plan = TrainConfig(number=64, batch=32, epochs=1, held_out=64)
    cpu = {"hardware": Hardware("cpu"), "progress": False}
    batch = Stream(tiny_basis, RECIPE, 5, None, 8)[0]
    real = RealScans(batch.measured, {str(k): str(k) for k in range(8)}, batch.draw.concentrations)
    started = train("yae", tiny_basis, RECIPE, plan, model.options, start=model, **cpu)
    tuned = finetune(model, tiny_basis, RECIPE, plan, real, **cpu)
    for one in (started, tuned):
        assert one.scanner is None and not one.adapted and "corrected_for" not in one.card
    assert set(adapted_scans(tuned.card)) == set(real.hashes)


def test_names_that_repeat_lose_no_scan():
    earlier = {"a": "1", "b": "2"}
    assert with_scans(earlier, {"a": "3", "b": "2", "c": "4"}) == {"a": "1", "b": "2", "a (2)": "3", "c": "4"}
    assert with_scans({**earlier, "a (2)": "3"}, {"a": "5"}) == {"a": "1", "b": "2", "a (2)": "3", "a (3)": "5"}


def test_a_model_of_the_difference_is_corrected_but_for_what_it_does_not_see_and_spoilt_scans_are_named():
    model = load_model("hybrid_diff")
    basis = basis_for(model)
    names = [name for name in basis.names if name != "Cr"]
    gains = np.array([{"GABA": 1.4, "Glu": 0.7}.get(name, 1.0) for name in basis.names])
    foreign = dataclasses.replace(basis, fids=basis.fids * gains[:, None])
    batch = Stream(as_narrow(foreign, RECIPE), RECIPE, 7, None, 20)[0]
    scans = [(f"{k}", Scan(fids.numpy(), ("single",), 5e-4, basis.centre_hz)) for k, fids in enumerate(batch.measured)]
    spoilt = scans[-1][1].fids + 0.5 * np.abs(scans[-1][1].fids).max() * noise_of(1, 0, 1)[0]
    scans[-1] = ("spoilt", dataclasses.replace(scans[-1][1], fids=spoilt))
    truth = batch.draw.concentrations.double().numpy()
    contents = {name: dict(zip(basis.names, row)) for (name, _), row in zip(scans, truth.tolist())}
    for row in contents.values():
        del row["Cr"]
    found = adapt(Quantifier(model), scans, contents)
    assert found.out_of_range == ("spoilt",)
    assert list(found.errors.index) == [*names, "mean"]
    assert found.model.scanner.after < 0.6 * found.model.scanner.before
    cr = basis.names.index("Cr")
    own, moved = (Quantifier(one).estimate(scans[0][1])[0].concentrations for one in (model, found.model))
    np.testing.assert_allclose(moved, found.model.scanner(own))
    assert moved[cr] < 0.01 and np.abs(moved - own).max() > 0.05
    assert not np.array(found.model.scanner.weights)[:, cr].any() and found.model.scanner.contents[cr] == (0, 1)


def test_what_cannot_be_learnt_is_refused(tiny_model, tiny_basis, scanner, adapted):
    scans, contents = scanner
    plain = quantifier(tiny_model, tiny_basis)
    with pytest.raises(ModelError, match="corrected for a scanner already"):
        adapt(quantifier(adapted[0], tiny_basis), scans[:KNOWN], contents)

    def with_gaba(value):
        return {name: {**row, "GABA": value} for name, row in contents.items()}

    without = {name: {key: value for key, value in row.items() if key != "GABA"} for name, row in contents.items()}
    zeros = {name: dict.fromkeys(row, 0.0) for name, row in contents.items()}
    for wrong in (with_gaba(-1.0), with_gaba(float("inf")), with_gaba(float("nan")), zeros):
        with pytest.raises(DataError, match="scan_0: contents must be numbers of 0 or more, and not all of Cr"):
            adapt(plain, scans[:KNOWN], wrong)
    for wrong, missing in ((without, "GABA"), ({}, "Cr, GABA, NAA")):
        with pytest.raises(DataError, match=f"scan_0 has no content of {missing}: give a column for each of Cr, GABA"):
            adapt(plain, scans[:KNOWN], wrong)
    with pytest.raises(DataError, match="takes scans of 6 different contents or more, not of 5"):
        adapt(plain, scans[:5], contents)
    with pytest.raises(DataError, match="again is there already"):
        adapt(plain, [*scans[:KNOWN], ("again", scans[3][1])], {**contents, "again": contents["scan_3"]})
    with pytest.raises(DataError, match="scan_3 is there already"):
        adapt(plain, [*scans[:KNOWN], ("scan_3", scans[KNOWN][1])], contents)
    seen = {"adapted_to": {"scans": {"x": content_hash(scans[2][1].fids)}}}
    with pytest.raises(ModelError, match="was trained on scan_2"):
        adapt(quantifier(dataclasses.replace(tiny_model, card=seen), tiny_basis), scans[:KNOWN], contents)
    dead = dataclasses.replace(scans[2][1], centre_hz=297.2e6)
    with pytest.raises(DataError, match="scan_2: "):
        adapt(plain, [*scans[:2], ("scan_2", dead)], contents)
