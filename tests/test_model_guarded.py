"""The guarded hybrid network: both spectra where they agree, edit-off alone where edit-on contradicts it."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fsl_mrs_dl.basis.basis_set import read_basis, shipped_basis
from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.fit.predict import _with_rows, estimates, look, predict
from fsl_mrs_dl.fit.quantify import basis_for
from fsl_mrs_dl.fit.scan import EDITED, Scan
from fsl_mrs_dl.fit.trust_checks import Checks
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.model.guarded import Guarded, GuardedConfig
from fsl_mrs_dl.model.hybrid import HybridConfig
from fsl_mrs_dl.model.inputs import network_input
from fsl_mrs_dl.model.output import to_largest
from fsl_mrs_dl.model.refine import Refiner
from fsl_mrs_dl.model.unshrink import learn_correction
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.calibrate import calibrate
from fsl_mrs_dl.train.learn_prior import learn_prior
from fsl_mrs_dl.train.loop import Hardware, of_both_spectra, train
from fsl_mrs_dl.train.plan import TrainConfig
from fsl_mrs_dl.train.validate import simulated_estimates

from .conftest import assert_survives_saving

SMALL = GuardedConfig(widths=(8, 16), dense=32)
KNEE = SMALL.knee
WIDE = dataclasses.replace(
    PUBLISHED, name="wide", lorentz_hz=(1.0, 8.0), shift_hz=(-3.0, 3.0), phase_rad=(-0.3, 0.3), noise_sigma=(0.0, 0.01)
)
EXPECTED = 0.03
"""Error that either network of the small model expects; few steps teach none."""


@pytest.fixture(scope="module")
def model(tiny_basis):
    """A small guarded network after a few steps."""
    plan = TrainConfig(number=1280, batch=32, epochs=2, held_out=64)
    made = train("guarded", tiny_basis, WIDE, plan, SMALL, hardware=Hardware("cpu"), progress=False)
    with torch.no_grad():
        for network in (made.network, made.network.off):
            network.quantifier.spread[-1].weight.zero_()
            network.quantifier.spread[-1].bias.fill_(np.log(EXPECTED))
    return made


def scans(model, basis, number=64, edit_on=lambda fids: fids):
    """Input and truth of scans whose edit-on is changed."""
    batch = Stream(basis, WIDE, 77, None, number)[0]
    fids = torch.stack([batch.measured[:, 0], edit_on(batch.measured[:, 1])], 1)
    return network_input(fids, model.config.input)[0], to_largest(batch.draw.concentrations), fids


def said(model, *given, **changes):
    """Output, truth and FIDs of such scans."""
    channels, truth, fids = scans(model, *given, **changes)
    with torch.no_grad():
        return model.network(channels), truth, fids


def test_what_agrees_is_believed_and_what_is_far_apart_is_not():
    found = SMALL.believed(torch.tensor([0.0, 0.5 * KNEE, KNEE, 3 * KNEE, 1e4]))[:, 0]
    assert found[0] == 1 and found[1] > 0.9 and found[2] == pytest.approx(0.5) and found[3] < 0.02 and found[4] < 1e-9
    assert (found.diff() < 0).all()


def test_estimates_lie_between_the_two_as_they_are_believed(model, tiny_basis):
    output, _, _ = said(model, tiny_basis)
    both, off = to_largest(output.both.fractions), to_largest(output.off.fractions)
    expected = (output.off.spread.exp().square().mean(1) + 0.01**2).sqrt()
    torch.testing.assert_close(output.contradiction, (both - off).square().mean(1).sqrt() / expected)
    torch.testing.assert_close(output.belief, SMALL.believed(output.contradiction))
    shown = output.off.line + output.belief * (output.both.line - output.off.line)
    torch.testing.assert_close(output.shown_line, shown)
    # What is expected for the distance of the two makes neither of them shrink.
    far = dataclasses.replace(output, spread=output.spread + 1)
    own = torch.lerp(far.off.spread.exp(), far.both.spread.exp(), far.belief)
    torch.testing.assert_close(far.own_spread.exp(), own)
    assert output.without_spread().own_spread is None
    assert (output.own_spread <= output.spread).all()
    assert output.belief.min() < 0.7 and output.belief.max() > 0.95
    torch.testing.assert_close(to_largest(output.fractions), to_largest(torch.lerp(off, both, output.belief)))
    torch.testing.assert_close(output.fractions.sum(1), torch.ones(64))


def test_the_guard_is_as_the_configuration_says(model, tiny_basis, tmp_path):
    channels, _, _ = scans(model, tiny_basis)
    own, found = model.network(channels), []
    for changes in ({"knee": 1e3}, {"surest": 1e3}, {"knee": 0.01}):
        options = dataclasses.replace(SMALL, **changes)
        network = Guarded(options, 4, model.config.input.bins, len(tiny_basis.names))
        network.load_state_dict(model.network.state_dict())
        changed = dataclasses.replace(model, network=network.eval(), options=options, calibration=None)
        folder = tmp_path / str(len(found))
        save_model(changed, folder)
        assert load_model(folder).options == options
        with torch.no_grad():
            found.append(load_model(folder).network(channels).belief)
    assert found[0].min() > 0.999 and found[1].min() > 0.999 and found[2].max() < own.belief.min()
    for wrong in ({"knee": 0.0}, {"steepness": float("nan")}, {"surest": -0.1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            GuardedConfig(**wrong)


def test_edit_on_of_another_scan_is_not_believed(model, tiny_basis):
    right, truth, _ = said(model, tiny_basis)
    wrong, _, _ = said(model, tiny_basis, edit_on=lambda fids: fids.roll(1, 0))
    # The second network sees edit-off alone, whatever edit-on is.
    torch.testing.assert_close(wrong.off.fractions, right.off.fractions)
    assert wrong.belief.mean() < 0.5 * right.belief.mean()
    joined, both = ((to_largest(part) - truth).abs().mean() for part in (wrong.fractions, wrong.both.fractions))
    assert joined < 0.7 * both
    # Errors are expected to be larger there than where the spectra belong together.
    assert wrong.spread.mean() > right.spread.mean()


def test_it_learns_both_networks_and_no_error_shapes_what_is_estimated(model, tiny_basis):
    network = Guarded(SMALL, 4, model.config.input.bins, len(tiny_basis.names))
    network.load_state_dict(model.network.state_dict())
    channels, _, _ = scans(model, tiny_basis)
    network(channels).spread.sum().backward()
    touched = {name for name, weights in network.named_parameters() if weights.grad is not None and weights.grad.any()}
    assert touched and all(name.startswith("expects.") for name in touched)
    output, _, _ = said(model, tiny_basis)
    truth = dataclasses.replace(output, spread=None)
    network.loss(network(channels), truth).backward()
    touched = {name.split(".")[0] for name, weights in network.named_parameters() if weights.grad is not None}
    assert {"encoder", "adjustments", "off"} <= touched


def test_it_brings_its_basis_along(model, tmp_path):
    assert_survives_saving(model, tmp_path / "saved")
    weights = load_file(tmp_path / "saved" / "weights.safetensors")
    save_file({**weights, "off.basis": weights["off.basis"] * 50}, tmp_path / "saved" / "weights.safetensors")
    with pytest.raises(ModelError, match="not of the model's configuration"):
        load_model(tmp_path / "saved", calibrated=False)


def test_one_spectrum_is_refused(single_basis):
    plan = TrainConfig(number=32, batch=32, epochs=1, held_out=32)
    with pytest.raises(ConfigError, match="take hybrid for one spectrum"):
        train("guarded", single_basis, PUBLISHED, plan, SMALL, progress=False)


def test_rows_of_its_output_can_be_replaced(model, tiny_basis):
    output, _, _ = said(model, tiny_basis)
    other, _, _ = said(model, tiny_basis, edit_on=lambda fids: 0.5 * fids)
    rows = torch.arange(64) % 2 == 0
    with torch.no_grad():
        some = model.network(scans(model, tiny_basis, edit_on=lambda fids: 0.5 * fids)[0][rows])
    merged = _with_rows(output, some, rows)
    for part in (lambda one: one.fractions, lambda one: one.contradiction, lambda one: one.both.clean):
        torch.testing.assert_close(part(merged)[rows], part(other)[rows], atol=1e-5, rtol=1e-4)
        assert torch.equal(part(merged)[~rows], part(output)[~rows])


def test_refining_undoes_no_doubt(model, tiny_basis):
    prior = learn_prior(model.network, model.config, Stream(tiny_basis, WIDE, 5, None, 64), "a toy", 64)
    output, _, fids = said(model, tiny_basis)
    found = [
        Refiner(prior, 2)(model.network, model.config.input, fids, dataclasses.replace(output, belief=belief))
        for belief in (torch.ones(64, 1), torch.full((64, 1), 0.5), torch.zeros(64, 1))
    ]
    wholly, half, not_at_all = (one.kept for one in found)
    assert wholly.median() > 1e-3
    torch.testing.assert_close(half, wholly / 2)
    assert not_at_all.max() < 1e-9
    torch.testing.assert_close(found[2].fractions, output.fractions, atol=1e-6, rtol=1e-5)


def test_of_scans_of_unknown_contents_no_estimate_is_learnt(model, tiny_basis):
    network = Guarded(SMALL, 4, model.config.input.bins, len(tiny_basis.names))
    network.load_state_dict(model.network.state_dict())
    channels, _, _ = scans(model, tiny_basis)
    output = network(channels)
    network.loss(output.without_spread(), output.known(clean=channels)).backward()
    slopes = {name: weights.grad for name, weights in network.named_parameters()}
    for name, slope in slopes.items():
        if "spread" in name or name.startswith("expects."):
            assert slope is None or not slope.any(), name
    assert slopes["encoder.0.weight"].any() and slopes["off.encoder.0.weight"].any()
    # Either network's truth is what it said itself, so that only reconstruction teaches.
    known = output.known(clean=channels)
    torch.testing.assert_close(known.off.fractions, output.off.fractions)
    torch.testing.assert_close(known.both.line, output.both.line)
    assert known.off.clean.shape[1] == 2


def test_its_network_of_both_spectra_can_be_trained_on_alone(model, tiny_basis):
    one = of_both_spectra(model)
    channels, _, _ = scans(model, tiny_basis)
    with torch.no_grad():
        torch.testing.assert_close(one.network(channels).fractions, model.network(channels).both.fractions)
    assert one.config.network == "hybrid" and one.trust is None
    assert type(one.options) is HybridConfig and (one.options.widths, one.options.dense) == (SMALL.widths, SMALL.dense)
    plan = TrainConfig(number=32, batch=32, epochs=1, held_out=32, learning_rate=1e-12, weight_decay=0)
    further = train("hybrid", tiny_basis, WIDE, plan, one.options, progress=False, start=one)
    torch.testing.assert_close(further.network.state_dict(), one.network.state_dict(), atol=1e-9, rtol=0)


def test_a_note_tells_where_an_estimate_comes_from():
    trained, basis = load_model("hybrid"), read_basis(shipped_basis())
    fids = np.array([0.6, 0.4, 0.3, 0.8, 1.0]) @ basis.fids[..., :2048]
    scan = Scan(fids, EDITED, 5e-4, basis.centre_hz)
    wrong = dataclasses.replace(scan, fids=np.stack([fids[0], fids[0]]))
    right, told = (predict(trained, one, basis).notes for one in (scan, wrong))
    assert not any("contradicts" in note for note in right)
    assert any(note.startswith("Edit-on contradicts edit-off: the concentrations are to ") for note in told)


def test_a_scan_gets_the_line_parameters_and_the_correction_of_what_is_believed(model, tiny_basis, monkeypatch):
    monkeypatch.setattr("fsl_mrs_dl.fit.predict.NARROW_HZ", -1.0)
    _, _, fids = said(model, tiny_basis, edit_on=lambda fids: fids.roll(1, 0))
    stream, network = Stream(tiny_basis, WIDE, 5, None, 64), copy.deepcopy(model.network)
    with torch.no_grad():
        network.expects[-1].bias.add_(1)  # larger errors than either network expects
    found = calibrate(network, model.config, stream, 9600, "a toy")
    calibrated = dataclasses.replace(model, network=network, calibration=found)
    steps = Refiner(learn_prior(model.network, model.config, stream, "a toy", 64), 1)
    for one in (calibrated, dataclasses.replace(calibrated, refiner=steps)):
        seen = look(one, fids.numpy())
        shown = model.config.line.restore(seen.output.shown_line).double()
        assert (shown - model.config.line.restore(seen.output.line)).abs().max() > 0.1
        torch.testing.assert_close(seen.line, shown)
        # What refining adds is small, and nothing where edit-on is not believed.
        torch.testing.assert_close(torch.as_tensor(estimates(seen)[1]), shown, atol=0.5, rtol=0.05)
    seen = look(calibrated, fids.numpy())
    estimate, _, spread, own_spread, _ = estimates(seen)
    assert (spread - own_spread).max() > 0.1
    correction = calibrated.calibration.correction
    learnt = simulated_estimates(network, model.config.input, stream, range(150))
    assert correction == learn_correction(learnt.estimate, learnt.truth, learnt.own_spread)
    found, _ = calibrated.judge(estimate, spread, seen.unexplained, own_spread)
    np.testing.assert_allclose(found, correction(estimate, own_spread))
    assert np.abs(found - correction(estimate, spread)).max() > 1e-3


def test_the_trust_flag_hears_of_contradictions():
    models = (load_model(name, judged=False) for name in ("hybrid", "hybrid_off"))
    one, other = (Checks(trained, basis_for(trained)) for trained in models)
    fids = np.array([0.6, 0.4, 0.3, 0.8, 1.0]) @ read_basis(shipped_basis()).fids[..., :2048]
    swapped = fids[::-1].copy()
    found = one(look(one.model, np.stack([fids, swapped])))["contradiction"]
    assert found[0] < 0.5 * KNEE and found[1] > 1.4 * KNEE
    assert "contradiction" not in other(look(other.model, fids[None, :1]))
