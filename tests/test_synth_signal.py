"""Signals against their formulas: one line, one change at a time."""

import math
from dataclasses import replace

import pytest
import torch

from fsl_mrs_dl.synth.draws import draw
from fsl_mrs_dl.synth.priors import PHANTOM, PUBLISHED
from fsl_mrs_dl.synth.signal import exponential, nuisance_signal, synthesise

DWELL_S = 5e-4
T = torch.arange(1024) * DWELL_S


def plain(batch=1, metabolites=1, **changes):
    """Parameters of scans with one concentration of 1 and nothing else, but for the changes."""
    drawn = draw(PUBLISHED, 1, 0, batch, metabolites, 2)
    values = {name: torch.full((batch,), float(value)) for name, value in changes.items()}
    return replace(drawn, concentrations=torch.ones(batch, metabolites), **values)


def line(frequency_hz=100.0):
    """Basis set of one undamped line in both conditions: (1, condition, metabolite, point)."""
    return torch.exp(2j * math.pi * frequency_hz * T).expand(1, 2, 1, -1)


def test_exponential_equals_the_plain_formula():
    rate = torch.complex(-torch.rand(4, 3) * 20, (torch.rand(4, 3) - 0.5) * 6000).to(torch.complex128)
    for points in (1, 7, 1024, 2048, 3000):
        expected = torch.exp(rate[..., None] * torch.arange(points, dtype=torch.float64) * DWELL_S)
        torch.testing.assert_close(exponential(rate, points, DWELL_S), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    "changes, factor",
    [
        ({"lorentz_hz": 5}, torch.exp(-math.pi * 4 * T)),
        ({"gauss_hz": 5, "lorentz_hz": 1}, torch.exp(-((math.pi * 5 * T) ** 2) / (4 * math.log(2)))),
        ({"shift_hz": 3, "lorentz_hz": 1}, torch.exp(2j * math.pi * 3 * T)),
        ({"phase_rad": 0.4, "lorentz_hz": 1}, torch.exp(torch.tensor(0.4j)).expand(1024)),
        ({"eddy_rad": 0.5, "eddy_time_s": 0.05, "lorentz_hz": 1}, torch.exp(0.5j * torch.exp(-T / 0.05))),
        ({"satellite": 0.3, "satellite_hz": 4, "lorentz_hz": 1}, (1 + 0.3 * torch.exp(8j * math.pi * T)) / 1.3),
    ],
)
def test_each_parameter_multiplies_the_fid_by_its_factor(changes, factor):
    clean, nuisance, _ = synthesise(line(), plain(**changes), 1.0, DWELL_S)
    torch.testing.assert_close(clean[0], line()[0, :, 0] * factor, atol=2e-4, rtol=0)
    assert nuisance.abs().max() == 0


def test_edit_on_alone_has_the_mismatch():
    mismatch = {"edit_shift_hz": 2, "edit_phase_rad": 0.1, "edit_gain": 0.9}
    clean, _, _ = synthesise(line(), plain(lorentz_hz=1, **mismatch), 1.0, DWELL_S)
    torch.testing.assert_close(clean[0, 0], line()[0, 0, 0], atol=2e-4, rtol=0)
    factor = 0.9 * torch.exp(1j * (0.1 + 2 * math.pi * 2 * T))
    torch.testing.assert_close(clean[0, 1], line()[0, 0, 0] * factor, atol=2e-4, rtol=0)


def test_a_metabolite_moves_alone():
    basis = torch.cat([line(100.0), line(-200.0)], 2)
    drawn = replace(plain(metabolites=2, lorentz_hz=1), metabolite_shift_hz=torch.tensor([[0.0, 5.0]]))
    clean, _, maximum = synthesise(basis, drawn, 1.0, DWELL_S)
    torch.testing.assert_close(clean[0, 0], (line(100.0) + line(-195.0))[0, 0, 0], atol=4e-4, rtol=0)
    assert maximum[0] == pytest.approx(2, abs=1e-3)


def test_gaussian_width_is_the_full_width_at_half_maximum():
    clean, _, _ = synthesise(line(0.0), plain(gauss_hz=40, lorentz_hz=1), 1.0, DWELL_S)
    clean[..., 0] /= 2
    padded = torch.fft.fft(clean[0, 0], 65536).real
    width_hz = (padded > padded.max() / 2).sum() / (65536 * DWELL_S)
    assert width_hz == pytest.approx(40, abs=0.2)


def test_water_and_baseline_have_the_drawn_amplitude_at_time_zero():
    drawn = draw(replace(PHANTOM, clean_fraction=0.0), 3, 0, 8, 1, 2)
    total = nuisance_signal(drawn, 1024, DWELL_S)
    water = drawn.water * torch.exp(1j * drawn.water_phase_rad)
    baseline = (drawn.baseline * torch.exp(1j * drawn.baseline_phase_rad)).sum(-1)
    torch.testing.assert_close(total[..., 0], water + baseline, atol=1e-5, rtol=1e-5)


def test_a_batch_equals_one_by_one():
    basis = torch.cat([line(100.0), line(-200.0)], 2)
    drawn = draw(replace(PHANTOM, clean_fraction=0.0), 3, 0, 6, 2, 2)
    clean, nuisance, _ = synthesise(basis, drawn, 1.0, DWELL_S)
    fields = vars(drawn).items()
    alone = type(drawn)(**{k: v[4:5] if isinstance(v, torch.Tensor) else v for k, v in fields})
    one_clean, one_nuisance, _ = synthesise(basis, alone, 1.0, DWELL_S)
    torch.testing.assert_close(clean[4:5], one_clean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(nuisance[4:5], one_nuisance, atol=1e-5, rtol=1e-5)


def test_baseline_components_that_have_decayed_are_left_out():
    drawn = draw(replace(PHANTOM, clean_fraction=0.0, water=(0.0, 0.0)), 3, 0, 8, 1, 2)
    whole, short = (nuisance_signal(drawn, 1024, DWELL_S, narrowest) for narrowest in (0.0, 40.0))
    torch.testing.assert_close(short, whole, atol=1e-8, rtol=1e-5)
    assert not short[..., 120:].any()
