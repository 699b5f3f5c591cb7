"""Artefacts stand at their time and frequency, and change nothing else."""

import math
from dataclasses import replace

import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.synth.artefacts import first_point_error, residual_water, spurious_echo, truncated
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.draws import draw
from fsl_mrs_dl.synth.priors import MOST, PUBLISHED, Recipe

DWELL_S = 5e-4
POINTS = 2048
T = torch.arange(POINTS) * DWELL_S


def made(batch=1, **values):
    """Recipe and parameters of scans in which every named parameter has one value."""
    values = {name: value if name in MOST else (float(value), float(value)) for name, value in values.items()}
    recipe = Recipe("one", **values)
    return recipe, draw(recipe, 1, 0, batch, 1, 2)


def test_an_echo_appears_at_its_time_with_its_width_and_frequency():
    _, drawn = made(echo=0.2, echo_time_s=0.3, echo_width_s=0.05, echo_hz=-200)
    fids = spurious_echo(drawn, POINTS, DWELL_S)[0]
    size = fids.abs()
    for condition in size:
        assert condition.max() == pytest.approx(0.2, rel=1e-4)
        assert T[condition.argmax()] == pytest.approx(0.3, abs=DWELL_S)
        assert (condition > 0.1).sum() * DWELL_S == pytest.approx(0.05, abs=2 * DWELL_S)
    spectrum = axes.fid_to_spectrum(fids).abs()
    hz = axes.frequency_axis(POINTS, DWELL_S)
    assert hz[spectrum[0].argmax()] == pytest.approx(-200, abs=1)
    assert not torch.allclose(fids[0], fids[1])


def test_water_without_a_tail_is_one_line():
    recipe, drawn = made(water=2, water_hz=5, water_width_hz=8)
    height = torch.polar(drawn.water, drawn.water_phase_rad)[0]
    expected = height[:, None] * torch.exp((2j * math.pi * 5 - math.pi * 8) * T)
    torch.testing.assert_close(residual_water(drawn, recipe, POINTS, DWELL_S)[0], expected, atol=1e-3, rtol=0)


def test_a_tail_adds_lines_relative_to_the_water():
    tail = {"water_tail": 0.5, "water_tail_components": 3, "water_tail_hz": -15, "water_tail_width_hz": 30}
    recipe, drawn = made(water=2, water_hz=5, water_width_hz=8, **tail)
    plain_recipe, plain = made(water=2, water_hz=5, water_width_hz=8)
    assert torch.equal(plain.water_phase_rad, drawn.water_phase_rad)
    added = residual_water(drawn, recipe, POINTS, DWELL_S) - residual_water(plain, plain_recipe, POINTS, DWELL_S)
    wave = torch.exp((2j * math.pi * -10 - math.pi * 30) * T)
    height = torch.exp(1j * drawn.water_tail_phase_rad).sum(-1)
    torch.testing.assert_close(added, height[..., None] * wave, atol=2e-3, rtol=0)
    assert drawn.water_tail.shape == (1, 2, 3)


def test_a_wrong_first_point_is_wrong_by_its_share():
    _, drawn = made(first_point=-0.25)
    clean, nuisance = torch.randn(2, 1, 2, 8, dtype=torch.complex64)
    torch.testing.assert_close(first_point_error(drawn, clean, nuisance), -0.25 * (clean + nuisance)[..., 0])


def test_a_cut_scan_ends_in_zeros_with_its_clean_part_whole(tiny_basis):
    recipe = replace(PUBLISHED, noise_sigma=(0.02, 0.02), water=(0.5, 0.5))
    cut = replace(recipe, truncation=(0.25, 0.25))
    whole, parts = (Stream(tiny_basis, one, seed=2, batch=4).parts(0) for one in (recipe, cut))
    measured, plain = parts.batch().measured, whole.batch().measured
    torch.testing.assert_close(measured[..., :1536], plain[..., :1536])
    assert measured[..., 1536:].abs().max() < 1e-6
    assert torch.equal(parts.clean, whole.clean)


def test_every_scan_is_cut_at_its_own_point():
    clean, nuisance, noise = (torch.ones(2, 1, 100, dtype=torch.complex64) for _ in range(3))
    nuisance, noise = truncated(torch.tensor([0.0, 0.9]), clean, nuisance, noise)
    assert ((clean + nuisance + noise)[:, 0].real == 3).sum(-1).tolist() == [100, 10]
    assert (clean + nuisance + noise)[1, 0, 10:].abs().max() == 0
