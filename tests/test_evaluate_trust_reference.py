"""What the trust flag compares scans with: a foreign signal is found and named, features far away are seen."""

import dataclasses

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import read_basis, shipped_basis
from fsl_mrs_dl.basis.pool import sample_pool
from fsl_mrs_dl.basis.pool_priors import PoolPriors
from fsl_mrs_dl.errors import ModelError
from fsl_mrs_dl.evaluate import trust_reference as module
from fsl_mrs_dl.fit.predict import look
from fsl_mrs_dl.fit.quantify import basis_for
from fsl_mrs_dl.fit.trust_checks import Checks
from fsl_mrs_dl.model.checkpoint import load_model
from fsl_mrs_dl.model.trust_reference import StoredArray


@pytest.fixture(scope="module")
def pools():
    """A pool of four scanners, and two with metabolites outside the model."""
    priors = PoolPriors(b0_t=2.8935486, positions=1)
    edited = read_basis(shipped_basis())
    return edited, sample_pool(priors, edited.names, 2, 1), sample_pool(priors, ("Cr", "Ins", "Lac", "PCh"), 2, 2)


@pytest.fixture(scope="module", params=["hybrid", "hybrid_off"])
def made(request, pools):
    model = load_model(request.param)
    basis, features = basis_for(model), np.random.default_rng(0).normal(size=(50, 384))
    return model, basis, module.make_reference(model, basis, *pools, features)


def scan(basis, further=0.0):
    """(1, condition, point) FIDs of known contents with lines 4 Hz wider, and a further FID."""
    random, t = np.random.default_rng(2), axes.time_axis(2048, 5e-4)
    fids = (
        np.einsum("m,cmp->cp", [0.8, 0.4, 0.6, 0.9, 1.0], basis.resample(5e-4, 2048).fids) + further
    ) * np.exp(-4 * np.pi * t)
    noise = random.normal(size=(*fids.shape, 2)) @ np.array([1, 1j])
    return (fids + 0.002 * np.abs(fids).max() * noise)[None]


def test_a_metabolite_outside_the_model_is_named_with_its_amount(made, pools):
    model, basis, reference = made
    assert reference.foreign == ("Ins", "Lac", "PCh")
    _, _, foreign = pools
    checks = Checks(model, basis, reference=reference)
    clean = checks(look(model, scan(basis)))
    standard = np.linalg.norm(basis.resample(5e-4, 2048).fids[0, 0]) / np.linalg.norm(foreign.fids[1, 0, 0])
    for place, name in enumerate(reference.foreign, 1):
        signal = standard * foreign.fids[1, : len(basis.conditions), place]
        found = checks(look(model, scan(basis, 0.5 * signal)))
        names = {other: found[f"as of {other}"][0] for other in reference.foreign}
        assert max(names, key=names.get) == name and names[name] > 0.6 > 0.45 > clean[f"as of {name}"][0]
        assert found["foreign amount"][0] == pytest.approx(0.5, abs=0.25)
    assert clean["foreign amount"][0] < 0.2


def test_features_far_from_the_good_ones_are_seen(made):
    model, basis, reference = made
    seen = look(model, scan(basis))
    checks = Checks(model, basis, reference=reference)
    mean = reference.feature_mean.values
    for factor, expected in ((0.0, 0.0), (3.0, 3.0)):
        step = factor * (reference.feature_axes.values * reference.feature_sd.values[:-1, None]).sum(0)
        features = torch.as_tensor(mean + step, dtype=torch.float32)[None]
        moved = dataclasses.replace(seen, output=dataclasses.replace(seen.output, features=features))
        axes_of = len(reference.feature_axes.values)
        assert checks(moved)["latent"][0] == pytest.approx(expected * np.sqrt(axes_of / (axes_of + 1)), abs=0.05)


def test_a_reference_of_another_model_is_refused(made):
    other = load_model("hybrid_off" if made[0].name == "hybrid" else "hybrid")
    with pytest.raises(ModelError, match="another band or other metabolites"):
        Checks(other, basis_for(other), reference=made[2])
    model, basis, reference = made
    names = ("feature_mean", "feature_axes")
    fewer = {name: StoredArray.of(getattr(reference, name).values[..., :-1]) for name in names}
    checks = Checks(model, basis, reference=dataclasses.replace(reference, **fewer))
    with pytest.raises(ModelError, match="for 383 features, its network has 384.*evaluate --trust"):
        checks(look(model, scan(basis)))


def test_of_a_difference_only_what_it_shows_is_searched_for(pools):
    model = load_model("hybrid_diff")
    features = np.random.default_rng(0).normal(size=(50, 384))
    found = module.make_reference(model, basis_for(model), *pools, features)
    assert "PCh" not in found.foreign and found.directions.shape[0] == 1
