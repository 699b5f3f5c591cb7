"""From drawn parameters to FIDs: pure functions of tensors, batched over scans.

What an imperfection does to the metabolites' own signal (widths, line shape, shifts, phases, edit efficiency,
drift within the scan) is part of the clean scan, which networks learn to say; what is added to it is nuisance.
An imperfection that the recipe does not use is left out by its ranges, never by a look at what was drawn, for
which a GPU would have to wait.
"""

import math

import torch

from .. import axes
from .artefacts import first_point_error, residual_water, spurious_echo
from .baseline import broad_components, spline_baseline
from .exponentials import GAUSS_RATE, exponential, exponential_blocks, joined
from .steps import step
from .transients import transient_mean, transient_offsets

PIVOT_PPM = 3.0
"""Chemical shift at which a delay leaves the phase as it is: the middle of what is looked at (ppm)."""


def metabolite_signal(draw, recipe, basis, dwell_s):
    """Sum of the basis FIDs, each shifted, broadened and edited on its own.

    Editing acts more or less strongly than the basis set says where pulses, B1, frequency or timing differ: the
    difference of edit-on and edit-off is scaled, globally and for each metabolite (20 % less by the profiles of
    slices: Kaiser et al., Magn Reson Med 58, 813 (2007), doi 10.1002/mrm.21407; by drift: van der Veen et al., NMR
    Biomed 30, e3725 (2017), doi 10.1002/nbm.3725).

    Args:
        draw: parameters (`draws.Draw`).
        recipe: which of them there are.
        basis: (batch or 1, condition, metabolite, point) complex.
        dwell_s: dwell time (s).

    Returns:
        (batch, condition, point) complex.
    """
    points, conditions = basis.shape[-1], basis.shape[1]
    rate = torch.complex(-math.pi * draw.metabolite_lorentz_hz, 2 * math.pi * draw.metabolite_shift_hz)
    with step("metabolite widths and shifts"):
        coarse, fine = exponential_blocks(rate, points, dwell_s, draw.concentrations)
    single = conditions == 2 and recipe.uses("metabolite_efficiency")
    total, change = None, None
    for metabolite in range(basis.shape[2]):
        with step("metabolite widths and shifts"):
            weight = joined(coarse[:, metabolite], fine[:, metabolite], points)
            if recipe.uses("metabolite_gauss_hz"):
                weight *= gaussian_decay(draw.metabolite_gauss_hz[:, metabolite], points, dwell_s)
        one = basis[:, :, metabolite]
        with step("metabolites"):
            if total is None:
                total = one * weight[:, None]
            else:
                total.addcmul_(one, weight[:, None])
        if single:
            with step("edit efficiency"):
                added = (one[:, 1] - one[:, 0]) * weight.mul_(draw.metabolite_efficiency[:, metabolite, None] - 1)
                change = added if change is None else change.add_(added)
    if single:
        with step("edit efficiency"):
            total[:, 1] += change
    if conditions == 2 and recipe.uses("edit_efficiency"):
        with step("edit efficiency"):
            total[:, 1] = torch.lerp(total[:, 0], total[:, 1], draw.edit_efficiency[:, None].to(total.dtype))
    return total


def gaussian_decay(width_hz, points, dwell_s):
    """Decay of Gaussian lines of a full width at half maximum (...,) in Hz: (..., point)."""
    t = torch.arange(points, device=width_hz.device) * dwell_s
    return torch.exp(-((GAUSS_RATE * width_hz) ** 2)[..., None] * t**2)


def line_shape(draw, recipe, broadening_hz, conditions, points, dwell_s):
    """Common modulation of every line of a scan: widths, asymmetry, shift, phase, eddy currents, edit-on drift.

    Args:
        draw: parameters (`draws.Draw`).
        recipe: which of them there are.
        broadening_hz: (batch,) Lorentzian width to add to the basis set's own (Hz).
        conditions: 1, or 2 with edit-on second.
        points: number of points.
        dwell_s: dwell time (s).

    Returns:
        (batch, condition, point) complex.
    """
    with step("width, shift and phase"):
        is_on = torch.arange(conditions, device=broadening_hz.device, dtype=broadening_hz.dtype)
        shift_hz = draw.shift_hz[:, None] + draw.edit_shift_hz[:, None] * is_on
        phase_rad = draw.phase_rad[:, None] + draw.edit_phase_rad[:, None] * is_on
        gain = torch.where(is_on > 0, draw.edit_gain[:, None], 1.0)
        rate = torch.complex((-math.pi * broadening_hz)[:, None].expand_as(shift_hz), 2 * math.pi * shift_hz)
        shape = exponential(rate, points, dwell_s, torch.polar(gain, phase_rad))
    common = None
    if recipe.uses("gauss_hz"):
        with step("Gaussian width"):
            common = gaussian_decay(draw.gauss_hz, points, dwell_s)
    if recipe.uses("eddy_rad"):
        with step("eddy currents"):
            t = torch.arange(points, device=shape.device) * dwell_s
            eddy_rad = draw.eddy_rad[:, None] * torch.exp(-1 / draw.eddy_time_s[:, None] * t)
            common = torch.polar(torch.ones_like(eddy_rad) if common is None else common, eddy_rad)
    if recipe.uses("satellite"):
        with step("asymmetry"):
            away = torch.complex(torch.zeros_like(draw.satellite_hz), 2 * math.pi * draw.satellite_hz)
            share = draw.satellite / (1 + draw.satellite)
            pair = exponential(away, points, dwell_s, share).add_((1 - share)[:, None])
            common = pair if common is None else pair.mul_(common)
    if common is not None:
        with step("width, shift and phase"):
            shape *= common[:, None]
    return shape


def delayed(fids, delay_s, dwell_s, pivot_hz):
    """FIDs whose acquisition started too late: their spectra with a first-order phase.

    The phase 2 pi (f - pivot) delay comes from the dead time of the receiver, from the group delay of its filter,
    or from an echo that is not where it should be (de Graaf, In Vivo NMR Spectroscopy, 3rd ed. (Wiley, 2019),
    chapter 1). As anywhere in discrete spectra, what comes before time 0 then appears at the end of the FID.

    Args:
        fids: (batch, condition, point) complex.
        delay_s: (batch,) delay (s), negative if too early.
        dwell_s: dwell time (s).
        pivot_hz: frequency whose phase stays (Hz).

    Returns:
        (batch, condition, point) complex.
    """
    points = fids.shape[-1]
    step_hz = 1 / (points * dwell_s)
    turns = 2 * math.pi * delay_s
    first = torch.polar(torch.ones_like(turns), turns * (-(points // 2) * step_hz - pivot_hz))
    ramp = exponential(torch.complex(torch.zeros_like(turns), turns * step_hz), points, 1.0, first)
    spectra = (torch.fft.fft(fids) - fids[..., :1] / 2) * torch.fft.ifftshift(ramp, -1)[:, None]
    late = torch.fft.ifft(spectra)
    late[..., 0] *= 2
    return late


def nuisance_signal(draw, recipe, points, dwell_s, centre_hz):
    """Residual water, baselines and echo, relative to the FID's maximum: (batch, condition, point) complex."""
    total = torch.zeros(*draw.water.shape, points, dtype=torch.complex64, device=draw.water.device)
    if recipe.uses("water"):
        with step("water"):
            total = residual_water(draw, recipe, points, dwell_s)
    kinds = {"baseline": ("baseline",), "macromolecules": ("mm_09", "mm_30"), "lipids": ("lipid",)}
    broad_ones = [name for name, fields in kinds.items() if any(map(recipe.uses, fields))]
    if broad_ones:
        with step(", ".join(broad_ones)):
            broad = broad_components(draw, recipe, points, dwell_s, centre_hz)
            total[..., : broad.shape[-1]] += broad
    if recipe.uses("spline"):
        with step("spline"):
            smooth = spline_baseline(torch.polar(draw.spline, draw.spline_phase_rad), points, dwell_s, centre_hz)
            total[..., : smooth.shape[-1]] += smooth
    if recipe.uses("echo"):
        with step("echo"):
            total += spurious_echo(draw, points, dwell_s)
    return total


def synthesise(basis, draw, recipe, basis_linewidth_hz, dwell_s, centre_hz):
    """Scans with everything but noise and cutting.

    Args:
        basis: (batch or 1, condition, metabolite, point) complex, one basis for each scan or one for all.
        draw: parameters (`draws.Draw`).
        recipe: that they were drawn from; what it does not use is left out.
        basis_linewidth_hz: Lorentzian width of the basis set's lines (Hz).
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).

    Returns:
        clean, nuisance, maximum: the metabolites' FIDs and what is added to them, both (batch, condition,
        point) complex, and the largest magnitude of each scan's clean FIDs, (batch,).
    """
    conditions, points = basis.shape[1], basis.shape[-1]
    clean = metabolite_signal(draw, recipe, basis, dwell_s)
    shape = line_shape(draw, recipe, draw.lorentz_hz - basis_linewidth_hz, conditions, points, dwell_s)
    with step("width, shift and phase"):
        clean *= shape
    if draw.transient_unit.shape[2]:
        with step("transients"):
            moved = transient_offsets(draw.drift_hz, draw.jitter_hz, draw.jitter_rad, draw.transient_unit)
            clean *= transient_mean(*moved, points, dwell_s)
    if recipe.uses("delay_s"):
        with step("delay"):
            clean = delayed(clean, draw.delay_s, dwell_s, axes.ppm_to_hz(PIVOT_PPM, centre_hz))
    with step("largest point"):
        maximum = torch.addcmul(clean.real.square(), clean.imag, clean.imag).amax((1, 2)).sqrt()
    nuisance = nuisance_signal(draw, recipe, points, dwell_s, centre_hz)
    with step("sum"):
        nuisance *= maximum[:, None, None]
    if recipe.uses("first_point"):
        with step("first point"):
            nuisance[..., 0] += first_point_error(draw, clean, nuisance)
    return clean, nuisance, maximum
