"""Signals against their formulas: one line, one change at a time."""

import math
from dataclasses import replace

import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.synth.artefacts import truncated
from fsl_mrs_dl.synth.draws import draw
from fsl_mrs_dl.synth.exponentials import exponential, exponential_sum
from fsl_mrs_dl.synth.priors import MOST, RECIPES, Recipe
from fsl_mrs_dl.synth.signal import PIVOT_PPM, nuisance_signal, synthesise

from .conftest import PHANTOM

DWELL_S = 5e-4
CENTRE_HZ = 123.2e6
T = torch.arange(1024) * DWELL_S


def line(frequency_hz=100.0):
    """Basis set of one undamped line in both conditions: (1, condition, metabolite, point)."""
    return torch.exp(2j * math.pi * frequency_hz * T).expand(1, 2, 1, -1)


def recipe_of(**values):
    """A recipe in which every named parameter has one value, and the rest is off; lines of the basis's own 1 Hz."""
    values = {"lorentz_hz": 1} | values
    return Recipe("one", **{name: one if name in MOST else (float(one), float(one)) for name, one in values.items()})


def scan(basis=None, batch=1, drawn=None, **values):
    """Clean and nuisance FIDs (condition, point) of the first of some scans of metabolites of concentration 1."""
    basis = line() if basis is None else basis
    recipe = recipe_of(**values)
    parameters = draw(recipe, 1, 0, batch, basis.shape[2], basis.shape[1])
    parameters = replace(parameters, concentrations=torch.ones(batch, basis.shape[2]), **(drawn or {}))
    clean, nuisance, _ = synthesise(basis, parameters, recipe, 1.0, DWELL_S, CENTRE_HZ)
    return clean[0], nuisance[0]


def test_exponential_equals_the_plain_formula():
    rate = torch.complex(-torch.rand(4, 3) * 20, (torch.rand(4, 3) - 0.5) * 6000).to(torch.complex128)
    for points in (1, 7, 1024, 2048, 3000):
        expected = torch.exp(rate[..., None] * torch.arange(points, dtype=torch.float64) * DWELL_S)
        torch.testing.assert_close(exponential(rate, points, DWELL_S), expected, atol=1e-9, rtol=1e-9)
        factor = torch.randn(4, 3, dtype=torch.complex128)
        whole = (expected * factor[..., None]).sum(-2)
        torch.testing.assert_close(exponential_sum(rate, points, DWELL_S, factor), whole, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    "changes, factor",
    [
        ({"lorentz_hz": 5}, torch.exp(-math.pi * 4 * T)),
        ({"gauss_hz": 5}, torch.exp(-((math.pi * 5 * T) ** 2) / (4 * math.log(2)))),
        ({"metabolite_gauss_hz": 5}, torch.exp(-((math.pi * 5 * T) ** 2) / (4 * math.log(2)))),
        ({"metabolite_lorentz_hz": 3}, torch.exp(-math.pi * 3 * T)),
        ({"shift_hz": 3}, torch.exp(2j * math.pi * 3 * T)),
        ({"phase_rad": 0.4}, torch.exp(torch.tensor(0.4j)).expand(1024)),
        ({"eddy_rad": 0.5, "eddy_time_s": 0.05}, torch.exp(0.5j * torch.exp(-T / 0.05))),
        ({"satellite": 0.3, "satellite_hz": 4}, (1 + 0.3 * torch.exp(8j * math.pi * T)) / 1.3),
        ({"transients": 8}, torch.ones(1024)),
    ],
)
def test_each_parameter_multiplies_the_fid_by_its_factor(changes, factor):
    clean, nuisance = scan(**changes)
    torch.testing.assert_close(clean, (line()[0, :, 0] * factor), atol=3e-4, rtol=0)
    assert nuisance.abs().max() == 0


def test_edit_on_alone_has_the_mismatch():
    clean, _ = scan(edit_shift_hz=2, edit_phase_rad=0.1, edit_gain=0.9)
    torch.testing.assert_close(clean[0], line()[0, 0, 0], atol=2e-4, rtol=0)
    factor = 0.9 * torch.exp(1j * (0.1 + 2 * math.pi * 2 * T))
    torch.testing.assert_close(clean[1], line()[0, 0, 0] * factor, atol=2e-4, rtol=0)


def edited():
    """Basis set of two metabolites, the second of which editing acts on: off 1, on -0.5."""
    basis = torch.cat([line(100.0), line(-200.0)], 2)
    return basis * torch.tensor([[1.0, 1.0], [1.0, -0.5]])[None, :, :, None]


def test_edit_efficiency_scales_the_difference():
    plain, _ = scan(edited())
    for efficiency in (0.0, 0.8, 1.3):
        clean, _ = scan(edited(), edit_efficiency=efficiency)
        torch.testing.assert_close(clean[0], plain[0])
        torch.testing.assert_close(clean[1] - clean[0], efficiency * (plain[1] - plain[0]), atol=1e-4, rtol=0)


def test_edit_efficiency_of_each_metabolite():
    plain, _ = scan(edited())
    drawn = {"metabolite_efficiency": torch.tensor([[0.5, 0.5]])}
    both, _ = scan(edited(), metabolite_efficiency=0.9, drawn=drawn)
    torch.testing.assert_close(both[1] - both[0], 0.5 * (plain[1] - plain[0]), atol=1e-4, rtol=0)
    first, _ = scan(edited(), metabolite_efficiency=0.9, drawn={"metabolite_efficiency": torch.tensor([[0.5, 1.0]])})
    torch.testing.assert_close(first, plain, atol=1e-5, rtol=0)
    second, _ = scan(
        edited(), metabolite_efficiency=0.9, edit_efficiency=2.0,
        drawn={"metabolite_efficiency": torch.tensor([[1.0, 0.5]])},
    )  # fmt: skip
    torch.testing.assert_close(second, plain, atol=1e-4, rtol=0)


def test_a_metabolite_moves_alone():
    basis = torch.cat([line(100.0), line(-200.0)], 2)
    moved = {"metabolite_shift_hz": torch.tensor([[0.0, 5.0]])}
    clean, _ = scan(basis, drawn=moved)
    torch.testing.assert_close(clean[0], (line(100.0) + line(-195.0))[0, 0, 0], atol=4e-4, rtol=0)


def test_gaussian_width_is_the_full_width_at_half_maximum():
    clean, _ = scan(line(0.0), gauss_hz=40)
    clean[..., 0] /= 2
    padded = torch.fft.fft(clean[0], 65536).real
    width_hz = (padded > padded.max() / 2).sum() / (65536 * DWELL_S)
    assert width_hz == pytest.approx(40, abs=0.2)


@pytest.mark.parametrize("delay_s", [2e-4, -3e-4])
def test_first_order_phase_is_that_of_a_delay(delay_s):
    pivot_hz = axes.ppm_to_hz(PIVOT_PPM, CENTRE_HZ)
    basis = line(-300.0) * torch.exp(-20 * T)
    early, late = (axes.fid_to_spectrum(scan(basis, **values)[0][0]) for values in ({}, {"delay_s": delay_s}))
    hz = torch.as_tensor(axes.frequency_axis(1024, DWELL_S))
    torch.testing.assert_close(
        late, (early * torch.exp(2j * math.pi * delay_s * (hz - pivot_hz))).to(late.dtype), atol=2e-4, rtol=0
    )


def test_a_delay_of_whole_points_skips_them():
    pivot = axes.ppm_to_hz(PIVOT_PPM, CENTRE_HZ)
    basis = line(-300.0) * torch.exp(-20 * T)
    early, late = (scan(basis, **values)[0][0] for values in ({}, {"delay_s": 3 * DWELL_S}))
    turned = early[4:1000] * torch.exp(torch.tensor(-2j * math.pi * pivot * 3 * DWELL_S))
    torch.testing.assert_close(late[1:997], turned.to(late.dtype), atol=1e-4, rtol=0)


def test_water_and_baseline_have_the_drawn_amplitude_at_time_zero():
    recipe = replace(PHANTOM, clean_fraction=0.0)
    drawn = draw(recipe, 3, 0, 8, 1, 2)
    total = nuisance_signal(drawn, recipe, 1024, DWELL_S, CENTRE_HZ)
    water = drawn.water * torch.exp(1j * drawn.water_phase_rad)
    baseline = (drawn.baseline * torch.exp(1j * drawn.baseline_phase_rad)).sum(-1)
    torch.testing.assert_close(total[..., 0], water + baseline, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["phantom", "scanner"])
def test_a_batch_equals_one_by_one(name):
    recipe = replace(RECIPES[name], clean_fraction=0.0, mm_09=(0.0, 0.1), lipid=(0.0, 0.1))
    basis = edited()
    drawn = draw(recipe, 3, 0, 6, 2, 2)
    clean, nuisance, _ = synthesise(basis, drawn, recipe, 1.0, DWELL_S, CENTRE_HZ)
    fields = vars(drawn).items()
    alone = type(drawn)(**{k: v[4:5] if isinstance(v, torch.Tensor) else v for k, v in fields})
    one_clean, one_nuisance, _ = synthesise(basis, alone, recipe, 1.0, DWELL_S, CENTRE_HZ)
    torch.testing.assert_close(clean[4:5], one_clean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(nuisance[4:5], one_nuisance, atol=1e-5, rtol=1e-5)


def test_nothing_looks_at_what_was_drawn():
    # Tensors of the meta device have no values: a look at one is an error there, and waits on a GPU.
    recipe = replace(RECIPES["scanner"], mm_09=(0.0, 0.1), mm_30=(0.0, 0.1), lipid=(0.0, 0.1))
    drawn = draw(recipe, 3, 0, 6, 2, 2).to("meta")
    clean, nuisance, maximum = synthesise(edited().to("meta"), drawn, recipe, 1.0, DWELL_S, CENTRE_HZ)
    assert clean.shape == nuisance.shape == (6, 2, 1024) and maximum.shape == (6,)
    truncated(drawn.truncation, clean, nuisance, clean)
