"""Refining estimates: derivatives against differences, known parameters found, and scans that must not be harmed."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.fit.estimate_notes import REFINED, UNCORRECTED
from fsl_mrs_dl.fit.predict import BatchPredictor, estimates, look, predict, prepare
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.model.derivatives import derivatives
from fsl_mrs_dl.model.hybrid import FREE, HybridConfig
from fsl_mrs_dl.model.inputs import network_input, noise_level
from fsl_mrs_dl.model.output import to_largest
from fsl_mrs_dl.model.prior import FILE, Prior
from fsl_mrs_dl.model.refine import AT_ONCE, MAX_STEPS, Problem, Refiner, refine
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import PUBLISHED, RECIPES
from fsl_mrs_dl.train.learn_prior import learn_prior
from fsl_mrs_dl.train.loop import Hardware, train
from fsl_mrs_dl.train.plan import TrainConfig
from fsl_mrs_dl.train.validate import simulated_estimates

SMALL = HybridConfig(widths=(8, 16), dense=32)
WIDE = dataclasses.replace(
    PUBLISHED, name="wide", lorentz_hz=(1.0, 8.0), shift_hz=(-3.0, 3.0), phase_rad=(-0.3, 0.3), noise_sigma=(0.0, 0.01)
)


def hybrid(basis, **settings):
    """A small hybrid network after a few steps, and typical errors of it."""
    plan = TrainConfig(number=960, batch=32, epochs=2, held_out=64)
    made = train("hybrid", basis, WIDE, plan, SMALL, hardware=Hardware("cpu"), progress=False)
    prior = learn_prior(made.network, made.config, Stream(basis, WIDE, 5, None, 64), "a toy", 64)
    return dataclasses.replace(made, prior=prior)


@pytest.fixture(scope="module")
def model(tiny_basis):
    """A hybrid network of edited spectra."""
    return hybrid(tiny_basis)


@pytest.fixture(scope="module")
def single(single_basis):
    """A hybrid network of one spectrum."""
    return hybrid(single_basis)


def seen(model, basis, number=8, recipe=WIDE):
    """Scans of a recipe, their input and what the network says about them."""
    batch = Stream(basis, recipe, 11, None, number)[0]
    channels, scale = network_input(batch.measured, model.config.input)
    with torch.no_grad():
        return batch, channels, scale, model.network(channels)


@pytest.mark.parametrize("kind", ["model", "single"])
def test_derivatives_are_those_of_the_adjusted_basis(kind, request):
    made = request.getfixturevalue(kind)
    network = made.network.double()
    count, number = network.free_count, network.basis.shape[1]
    values = 0.5 * torch.randn(3, count, dtype=torch.float64)
    contents = torch.rand(3, number, dtype=torch.float64)
    rest = torch.zeros(3, sum(network.sizes.values()) + 4 - count, dtype=torch.float64)

    def parts(row):
        return row[:, :4], network.split(torch.cat([row[:, 4:], rest], 1))

    def spectra(row):
        return torch.einsum("bm,bcmf->bcf", contents.to(torch.complex128), network.adjusted(*parts(row)))

    found = derivatives(network, *parts(values), contents)
    for place in range(count):
        step = torch.zeros_like(values)
        step[:, place] = 1e-5
        wanted = (spectra(values + step) - spectra(values - step)) / 2e-5
        torch.testing.assert_close(found[:, :, place], wanted, atol=1e-7, rtol=1e-5)
    network.float()


def test_free_parameters_are_the_first_ones(model):
    network = model.network
    assert tuple(network.sizes)[: len(FREE)] == FREE
    assert network.free_count == 4 + 10 + 3 + 3 + 3 + 3 + 3


def test_steps_find_the_parameters_of_a_scan_made_with_them(model, tiny_basis):
    """A scan that is the network's own adjusted basis: steps that hardly anything holds back end where it was made."""
    network = model.network
    _, channels, _, output = seen(model, tiny_basis)
    line = output.line + torch.tensor([0.2, 0.1, -0.2, 0.15])
    with torch.no_grad():
        made = network.adjusted(line, network.split(output.adjustments))
        made = torch.einsum("bm,bcmf->bcf", output.fractions.to(made.dtype), made)
        made = torch.view_as_real(made).movedim(-1, 2).flatten(1, 2)
        problem = Problem(network, made, output.line, output.adjustments)
        truth, _ = problem.scaled(output.fractions)
        eye = torch.eye(network.free_count).expand(len(line), -1, -1)
        problem.hold(truth, torch.full_like(truth, 1e-6), 1e-6 * eye)
        costs = [problem.cost]
        for _ in range(8):
            problem.step()
            costs.append(problem.cost)
    assert all((late <= early).all() for early, late in zip(costs, costs[1:]))
    assert (costs[-1] < 1e-4 * costs[0]).all()
    torch.testing.assert_close(to_largest(problem.concentrations), to_largest(output.fractions), atol=0.01, rtol=0)


def mean_error(model, stream, refiner):
    """Mean absolute error on 128 of a Stream's scans."""
    found = simulated_estimates(model.network, model.config.input, stream, range(2), refiner)
    return np.abs(found.estimate - found.truth).mean()


@pytest.mark.parametrize("kind", ["model", "single"])
def test_refining_brings_a_badly_trained_network_nearer_to_the_truth(kind, request):
    made = request.getfixturevalue(kind)
    basis = request.getfixturevalue("tiny_basis" if kind == "model" else "single_basis")
    stream = Stream(basis, WIDE, 12, None, 64)
    errors = [mean_error(made, stream, one) for one in (None, Refiner(made.prior, 1), Refiner(made.prior, 4))]
    assert errors[2] < 0.9 * errors[0] and errors[1] < errors[0]


def test_what_noise_does_not_explain_is_not_refined(model, tiny_basis):
    """The same residual, taken for model error where the noise is small: then the network's estimate stays."""
    batch, channels, scale, output = seen(model, tiny_basis)
    noise = noise_level(batch.measured, scale)
    free = refine(model.network, channels, output, noise + 1, model.prior, 2)
    assert (free.kept == 1).all()
    held = refine(model.network, channels, output, torch.zeros_like(noise), model.prior, 2)
    assert (held.kept < 1e-6).all()
    torch.testing.assert_close(held.fractions, output.fractions, atol=1e-5, rtol=0)
    torch.testing.assert_close(held.line, output.line, atol=1e-4, rtol=0)


def test_noise_is_measured_as_it_was_made():
    generator = torch.Generator().manual_seed(3)
    fids = 0.7 * torch.view_as_complex(torch.randn(3, 2, 2048, 2, generator=generator))
    t = torch.arange(2048) * 5e-4
    lines = 400 * torch.exp((-10 + 2j * torch.pi * torch.tensor([[-60.0], [5.0]])) * t).sum(0)
    found = noise_level(fids + lines, torch.full((3,), 2.0))
    torch.testing.assert_close(found, torch.full((3, 2), 0.35), rtol=0.1, atol=0)


def test_a_batch_equals_one_by_one(model, tiny_basis):
    batch, _, _, output = seen(model, tiny_basis, AT_ONCE + 3)
    refiner = Refiner(model.prior, 2)
    together = refiner(model.network, model.config.input, batch.measured, output)
    for index in (0, AT_ONCE, AT_ONCE + 2):
        row = slice(index, index + 1)
        with torch.no_grad():
            alone = model.network(network_input(batch.measured[row], model.config.input)[0])
        one = refiner(model.network, model.config.input, batch.measured[row], alone)
        torch.testing.assert_close(together.fractions[row], one.fractions, atol=2e-4, rtol=0)


def test_scans_of_noise_and_of_nothing_stay_finite(model):
    fids = torch.view_as_complex(torch.randn(3, 2, 2048, 2))
    fids[1] *= 1e-12
    fids[2, :, 1:] = 0
    found = look(model.refined(3), fids.numpy()).refined
    assert torch.isfinite(found.fractions).all() and torch.isfinite(found.line).all()
    assert (found.fractions >= 0).all()


def test_one_scan_and_many_are_refined_alike(model, tiny_basis):
    refined = model.refined(2)
    t = np.arange(2048) * 5e-4
    noise = np.random.default_rng(1).normal(size=(2, 2, 2048, 2)) @ [0.02, 0.02j]
    fids = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids) * np.exp(-np.pi * 4 * t) + noise
    scans = [Scan(one, ("edit_off", "edit_on"), 5e-4, 123.2e6, "1H") for one in fids]
    together, _ = BatchPredictor(refined, scans[0], tiny_basis)(fids)
    for index, scan in enumerate(scans):
        alone = predict(refined, scan, tiny_basis)
        assert REFINED.format(steps=2) in alone.notes
        assert predict(model, scan, tiny_basis).notes == (UNCORRECTED,)
        np.testing.assert_allclose(alone.concentrations, together.concentrations[index], atol=1e-3)
        kept = look(refined, prepare(refined, scan, tiny_basis).fids[None])
        wanted = to_largest(kept.refined.fractions.double())[0].numpy()
        np.testing.assert_allclose(alone.concentrations, wanted, atol=1e-6)
        # What the trust flag judges is the network's own.
        assert not np.allclose(estimates(kept)[1], kept.line.numpy())


def test_a_model_keeps_its_prior(model, tmp_path):
    save_model(model, tmp_path / "saved")
    loaded = load_model(tmp_path / "saved")
    assert loaded.prior.covariance == model.prior.covariance and loaded.refiner is None
    assert loaded.refined(0).refiner is None and loaded.refined(5).refiner.steps == 5
    save_model(loaded, tmp_path / "again")
    assert load_model(tmp_path / "again").prior == loaded.prior
    with pytest.raises(ConfigError, match=f"0 to {MAX_STEPS} steps, not -1"):
        loaded.refined(-1)


def test_a_model_that_cannot_be_refined_says_why(tiny_model):
    assert tiny_model.refined(0).refiner is None
    with pytest.raises(ModelError, match="cannot be refined: its network is yae, no hybrid one.*Leave --refine out"):
        tiny_model.refined(2)
    with pytest.raises(ModelError, match="cannot be refined: it has no prior.json.*calibrate"):
        load_model("hybrid", calibrated=False).refined(2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"spread": 0.0}, "spread"),
        ({"scans": 0}, "scans"),
        ({"covariance": [[1.0, 2.0], [2.0, 1.0]]}, "positive eigenvalues"),
        ({"covariance": [[1.0, 1.0], [1.0, 1.0]]}, "positive eigenvalues"),
        ({"covariance": [[0.0]]}, "positive eigenvalues"),
        ({"covariance": [[1.0, 0.0]]}, "as many rows"),
        ({"covariance": [[1.0]]}, "1 parameters"),
        ({"weights_sha256": "ab"}, "other weights"),
        ({"more": 1}, "unknown"),
    ],
)
def test_a_damaged_prior_is_refused(model, tmp_path, change, message):
    save_model(model, tmp_path / "saved")
    path = tmp_path / "saved" / FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "saved")


def test_a_prior_is_of_the_size_of_the_errors(model, tiny_basis):
    """Of the common shift and phase; shifts of single metabolites and eddy currents stand for a part of them."""
    assert isinstance(model.prior, Prior) and model.prior.scans == 64
    batch, _, _, output = seen(model, tiny_basis, 128)
    told = model.config.line.restore(output.line)
    truth = torch.stack([batch.draw.shift_hz, batch.draw.phase_rad], 1)
    error = (told[:, 2:] - truth).square().mean(0).sqrt() / model.network.line_scale[1, 2:]
    found = torch.tensor(np.sqrt(np.diagonal(model.prior.covariance)[2:4]))
    assert (0.2 * error < found).all() and (found < 2 * error).all()


def test_the_command_learns_a_prior(model, tiny_basis, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: tiny_basis)
    monkeypatch.setattr("fsl_mrs_dl.train.learn_prior.ROUNDS", 1)
    monkeypatch.setattr("fsl_mrs_dl.cli.calibrate.PRIOR_SCANS", 64)
    save_model(dataclasses.replace(model, prior=None, calibration=None), tmp_path / "bare")
    words = ["calibrate", "--model", str(tmp_path / "bare"), "--recipe", "published", "--pool", "basis"]
    assert main([*words, "--number", "256"]) == 0, capsys.readouterr().err
    assert load_model(tmp_path / "bare").refined(2).refiner.steps == 2
    # What cannot be read is made anew, as its error message says.
    (tmp_path / "bare" / FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="make it anew with fsl_mrs_dl calibrate"):
        load_model(tmp_path / "bare")
    assert main([*words, "--number", "256", "--overwrite", "--refine", "1"]) == 0, capsys.readouterr().err
    assert load_model(tmp_path / "bare").calibration.source.endswith("basis set, --refine 1")


def test_hybrid_recipes_of_scanners_are_not_harmed(model, tiny_basis):
    """Imperfections that the little network has never seen: refined estimates are at most a little worse."""
    recipe = dataclasses.replace(RECIPES["phantom"], pool_fraction=0.0, clean_fraction=0.0)
    stream = Stream(tiny_basis, recipe, 13, None, 64)
    own, refined = (mean_error(model, stream, one) for one in (None, Refiner(model.prior, 2)))
    assert refined < 1.05 * own
