"""What lies below the metabolites' lines: broad components, macromolecules, lipids, and a smooth spline.

All amplitudes are at time 0 and relative to the largest magnitude of the scan's clean FIDs. All of it is
nuisance, but it has the scan's frequency, and the macromolecules its phase.
"""

import math

import torch

from .. import axes
from .exponentials import GAUSS_RATE, exponential

MM_PPM = (0.91, 3.0)
"""Macromolecules that editing at 1.9 ppm acts on: methyl groups coupled to spins near 1.7 to 2.2 ppm, and lysine's
CH2 coupled to 1.7 ppm, which lies under GABA (Zollner et al., NMR Biomed 35, e4618 (2022), doi 10.1002/nbm.4618: a
Gaussian of 14 Hz at 3 T, about two thirds of the one at 0.91 ppm)."""

LIPID_PPM = (1.3, 0.9)
"""Methylene and methyl groups of fatty acids (Kreis, NMR Biomed 17, 361 (2004), doi 10.1002/nbm.891)."""

SPLINE_BAND_PPM = (-0.2, 5.7)
"""Where the knots of the spline stand: 12 are 0.54 ppm apart, as sparse as the fit of an edited spectrum wants its
baseline (doi 10.1002/nbm.4618: 0.55 ppm)."""

SPLINE_FLOOR = 1e-7
"""Amplitude of a B-spline, relative to time 0, below which it is left out."""


def broad_components(draw, recipe, points, dwell_s, centre_hz):
    """Gaussian baseline, macromolecules and lipids of a batch of scans.

    Args:
        draw: parameters (`draws.Draw`).
        recipe: which of them there are.
        points, dwell_s: of the time grid.
        centre_hz: spectrometer frequency (Hz).

    Returns:
        (batch, condition, point) complex, as many points as the narrowest component that the recipe can draw lasts
        (to 1e-8), or None where the recipe has none.
    """
    parts, narrowest = [], []
    if recipe.uses("baseline"):
        height = torch.polar(draw.baseline, draw.baseline_phase_rad)
        parts.append((height, draw.baseline_hz, draw.baseline_width_hz))
        narrowest.append(recipe.baseline_width_hz[0])
    if recipe.uses("mm_09") or recipe.uses("mm_30"):
        parts.append(macromolecules(draw, centre_hz))
        narrowest.append(recipe.mm_width_hz[0])
    if recipe.uses("lipid"):
        parts.append(lipids(draw, centre_hz))
        narrowest.append(recipe.lipid_width_hz[0])
    if not parts:
        return None
    height, hz, width_hz = (torch.cat(values, -1) for values in zip(*parts, strict=True))
    # What a scan at published conditions has here has no amplitude, whatever its width.
    reach = min(points, int(4.3 / (GAUSS_RATE * min(narrowest) * dwell_s)) + 1)
    t = torch.arange(reach, device=hz.device) * dwell_s
    decay = torch.exp(-((GAUSS_RATE * width_hz) ** 2)[..., None] * t**2)
    frequency = torch.complex(torch.zeros_like(hz), 2 * math.pi * hz)
    return (exponential(frequency, reach, dwell_s, height) * decay).sum(-2)


def macromolecules(draw, centre_hz):
    """Macromolecules at 0.91 and 3.0 ppm, in phase with the metabolites and edited as they are.

    Edit-on has them whole, edit-off without the share that editing brings back, so that the difference has that
    share times the scan's edit efficiency. A spectrum of one condition has them whole.

    Returns:
        height (complex), frequency (Hz) and width (Hz), each (batch, condition, 2).
    """
    conditions = draw.water.shape[1]
    is_on = torch.arange(conditions, device=draw.mm_09.device, dtype=draw.mm_09.dtype)
    share = torch.ones_like(draw.mm_09)[:, None]
    if conditions == 2:
        share = 1 - draw.mm_edited[:, None] * (1 - draw.edit_efficiency[:, None] * is_on)
    height = torch.stack([draw.mm_09, draw.mm_30], -1)[:, None] * share[..., None]
    phase = draw.phase_rad[:, None] + draw.edit_phase_rad[:, None] * is_on
    shift = draw.shift_hz[:, None] + draw.edit_shift_hz[:, None] * is_on
    hz = torch.stack([shift + axes.ppm_to_hz(ppm, centre_hz) for ppm in MM_PPM], -1)
    return torch.polar(height, phase[..., None].expand_as(height)), hz, draw.mm_width_hz[:, None, None].expand_as(hz)


def lipids(draw, centre_hz):
    """Lipids at 1.3 and 0.9 ppm, of any amplitude and phase in each condition: they come from outside the voxel.

    Returns:
        height (complex), frequency (Hz) and width (Hz), each (batch, condition, 2).
    """
    height = torch.polar(draw.lipid, draw.lipid_phase_rad)
    height = torch.stack([height, height * draw.lipid_methyl[:, None]], -1)
    hz = torch.stack([draw.shift_hz + axes.ppm_to_hz(ppm, centre_hz) for ppm in LIPID_PPM], -1)
    hz = hz[:, None].expand(height.shape)
    return height, hz, draw.lipid_width_hz[:, None, None].expand_as(hz)


def spline_baseline(weight, points, dwell_s, centre_hz):
    """A smooth baseline: cubic B-splines on equally spaced knots along the spectrum.

    The Fourier transform of a cubic B-spline with knots D apart is sinc(D t)^4 (de Boor, A Practical Guide to
    Splines, 1978); its causal half makes the imaginary part the Hilbert transform of the real one, as in any FID.

    Args:
        weight: (batch, condition, knot) complex amplitude of each spline at time 0; two knots or more.
        points, dwell_s: of the time grid.
        centre_hz: spectrometer frequency (Hz).

    Returns:
        (batch, condition, point) complex, as many points as it lasts.
    """
    low, high = (axes.ppm_to_hz(ppm, centre_hz) for ppm in SPLINE_BAND_PPM)
    knots = weight.shape[-1]
    spacing = (high - low) / (knots - 1)
    reach = min(points, int(SPLINE_FLOOR**-0.25 / (math.pi * spacing * dwell_s)) + 1)
    t = torch.arange(reach, device=weight.device) * dwell_s
    place = torch.arange(knots, device=weight.device) * spacing + low
    waves = exponential(torch.complex(torch.zeros_like(place), 2 * math.pi * place), reach, dwell_s)
    return (weight @ waves) * torch.special.sinc(spacing * t) ** 4
