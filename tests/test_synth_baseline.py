"""Baselines stand where they should, are as wide and smooth as they should be, and differ where they should."""

import math

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.synth.baseline import SPLINE_BAND_PPM, broad_components, macromolecules, spline_baseline
from fsl_mrs_dl.synth.draws import draw
from fsl_mrs_dl.synth.priors import Recipe

DWELL_S = 5e-4
POINTS = 2048
CENTRE_HZ = 123.2e6
PPM = axes.ppm_axis(POINTS, DWELL_S, CENTRE_HZ)


def spectra(fids):
    """Spectra (..., point) of FIDs that are as long as they last."""
    return axes.fid_to_spectrum(torch.nn.functional.pad(fids, (0, POINTS - fids.shape[-1])))


def made(conditions=2, **values):
    """Recipe and parameters of one scan in which every named parameter has one value."""
    recipe = Recipe("one", **{name: (float(value), float(value)) for name, value in values.items()})
    return recipe, draw(recipe, 1, 0, 1, 1, conditions)


def test_nothing_is_made_of_nothing():
    recipe, drawn = made()
    assert broad_components(drawn, recipe, POINTS, DWELL_S, CENTRE_HZ) is None
    assert drawn.spline.shape == (1, 2, 0) and drawn.baseline.shape == (1, 2, 0)


def test_macromolecules_stand_at_their_shifts_with_their_width():
    recipe, drawn = made(mm_09=0.3, mm_30=0.2, mm_width_hz=14)
    off, on = spectra(broad_components(drawn, recipe, POINTS, DWELL_S, CENTRE_HZ))[0].real
    assert off.abs().max() < 1e-6
    for ppm, area in ((0.91, 0.3), (3.0, 0.2)):
        near = abs(PPM - ppm) < 0.4
        assert PPM[near][on[near].argmax()] == pytest.approx(ppm, abs=0.005)
        width_hz = (on[near] > on[near].max() / 2).sum() / (POINTS * DWELL_S)
        assert width_hz == pytest.approx(14, abs=1.1)
        # The area of a real line is half its amplitude at time 0.
        assert on[near].sum() == pytest.approx(area / 2 * math.sqrt(POINTS), rel=0.02)


@pytest.mark.parametrize("efficiency", [0.0, 0.8, 1.0])
def test_editing_acts_on_macromolecules_as_on_metabolites(efficiency):
    _, drawn = made(mm_09=0.3, mm_30=0.2, mm_edited=0.75, edit_efficiency=efficiency, phase_rad=0.3)
    height, hz, width_hz = macromolecules(drawn, CENTRE_HZ)
    turn = torch.exp(torch.tensor(0.3j))
    torch.testing.assert_close(height[0, 0], torch.tensor([0.3, 0.2]) * 0.25 * turn)
    torch.testing.assert_close(height[0, 1] - height[0, 0], torch.tensor([0.3, 0.2]) * 0.75 * efficiency * turn)
    assert hz.shape == width_hz.shape == (1, 2, 2)


def test_one_condition_has_the_macromolecules_whole():
    _, drawn = made(conditions=1, mm_09=0.3, mm_30=0.2, edit_efficiency=0.5)
    torch.testing.assert_close(macromolecules(drawn, CENTRE_HZ)[0][0, 0].abs(), torch.tensor([0.3, 0.2]))


def test_lipids_differ_between_the_conditions():
    recipe = Recipe("fat", lipid=(0.1, 0.5), lipid_methyl=(0.4, 0.4), lipid_width_hz=(20.0, 20.0))
    drawn = draw(recipe, 1, 0, 1, 1, 2)
    found = spectra(broad_components(drawn, recipe, POINTS, DWELL_S, CENTRE_HZ))[0].abs()
    assert not torch.allclose(found[0], found[1], rtol=0.01)
    for spectrum in found:
        assert PPM[spectrum.argmax()] == pytest.approx(1.3, abs=0.02)
    first = broad_components(drawn, recipe, POINTS, DWELL_S, CENTRE_HZ)[0, :, 0]
    torch.testing.assert_close(first, 1.4 * torch.polar(drawn.lipid, drawn.lipid_phase_rad)[0])


def test_a_spline_is_the_cubic_one_of_its_knots():
    weight = torch.zeros(1, 1, 12, dtype=torch.complex64)
    weight[..., 5] = 1.0
    fids = spline_baseline(weight, POINTS, DWELL_S, CENTRE_HZ)
    low, high = (axes.ppm_to_hz(ppm, CENTRE_HZ) for ppm in SPLINE_BAND_PPM)
    spacing = (high - low) / 11
    u = np.abs(axes.frequency_axis(POINTS, DWELL_S) - low - 5 * spacing) / spacing
    cubic = np.where(u < 1, 2 / 3 - u**2 + u**3 / 2, np.where(u < 2, (2 - u) ** 3 / 6, 0))
    # The causal half has half the area, spread over points that are 1 / (points dwell) apart, in unitary units.
    cubic *= 0.5 / (spacing * DWELL_S * math.sqrt(POINTS))
    np.testing.assert_allclose(spectra(fids)[0, 0].real.numpy(), cubic, atol=2e-3 * cubic.max())


def test_the_spline_of_a_scan_is_smooth_and_differs_between_the_conditions():
    recipe = Recipe("smooth", spline=(0.05, 0.1), spline_knots=12)
    drawn = draw(recipe, 1, 0, 4, 1, 2)
    fids = spline_baseline(torch.polar(drawn.spline, drawn.spline_phase_rad), POINTS, DWELL_S, CENTRE_HZ)
    found = spectra(fids).real
    assert (found[:, 0] - found[:, 1]).abs().amax(-1).min() > 0.3 * found.abs().max()
    # Not more than a step of a knot's distance, 66 points, changes it at all: no line is that wide.
    assert found.diff(dim=-1).abs().max() < found.abs().max() / 15
    torch.testing.assert_close(fids[..., 0], torch.polar(drawn.spline, drawn.spline_phase_rad).sum(-1))
