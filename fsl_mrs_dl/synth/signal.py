"""From drawn parameters to FIDs: pure functions of tensors, batched over scans."""

import math

import torch
from torch.profiler import record_function

from ..errors import ConfigError

GAUSS_RATE = math.pi / (2 * math.sqrt(math.log(2)))
"""A Gaussian line of full width w (Hz) at half maximum decays as exp(-(GAUSS_RATE w t)^2)."""


def exponential(rate, points, dwell_s):
    """exp(rate t) on a time grid that starts at 0.

    The grid is split into blocks, so that only 2 sqrt(points) exponentials are computed per rate.

    Args:
        rate: (...) complex, 1/s.
        points: number of points.
        dwell_s: dwell time (s).

    Returns:
        (..., points) complex.
    """
    inner = 1 << (max(points - 1, 1).bit_length() // 2)
    outer = -(-points // inner)
    steps = torch.arange(max(inner, outer), device=rate.device, dtype=rate.real.dtype)
    fine = torch.exp(rate[..., None] * (steps[:inner] * dwell_s))
    coarse = torch.exp(rate[..., None] * (steps[:outer] * (inner * dwell_s)))
    return (coarse[..., :, None] * fine[..., None, :]).flatten(-2)[..., :points]


def metabolite_signal(basis, concentrations, metabolite_shift_hz, metabolite_lorentz_hz, dwell_s):
    """Sum of the basis FIDs, each shifted and broadened on its own.

    Args:
        basis: (batch or 1, condition, metabolite, point) complex.
        concentrations, metabolite_shift_hz, metabolite_lorentz_hz: (batch, metabolite).
        dwell_s: dwell time (s).

    Returns:
        (batch, condition, point) complex.
    """
    rate = torch.complex(-math.pi * metabolite_lorentz_hz, 2 * math.pi * metabolite_shift_hz)
    weights = exponential(rate, basis.shape[-1], dwell_s) * concentrations[..., None]
    total = basis[:, :, 0] * weights[:, None, 0]
    for metabolite in range(1, basis.shape[2]):
        total = total + basis[:, :, metabolite] * weights[:, None, metabolite]
    return total


def line_shape(draw, broadening_hz, conditions, points, dwell_s):
    """Common modulation of every line of a scan: widths, asymmetry, shift, phase, eddy currents, edit-on drift.

    Args:
        draw: parameters (`priors.Draw`).
        broadening_hz: (batch,) Lorentzian width to add to the basis set's own (Hz).
        conditions: 1, or 2 with edit-on second.
        points: number of points.
        dwell_s: dwell time (s).

    Returns:
        (batch, condition, point) complex.
    """
    t = torch.arange(points, device=broadening_hz.device) * dwell_s
    is_on = torch.arange(conditions, device=t.device, dtype=t.dtype)
    shift_hz = draw.shift_hz[:, None] + draw.edit_shift_hz[:, None] * is_on
    phase_rad = draw.phase_rad[:, None] + draw.edit_phase_rad[:, None] * is_on
    gain = torch.where(is_on > 0, draw.edit_gain[:, None], 1.0)
    rate = torch.complex((-math.pi * broadening_hz)[:, None].expand_as(shift_hz), 2 * math.pi * shift_hz)
    shape = exponential(rate, points, dwell_s) * torch.polar(gain, phase_rad)[..., None]
    decay = torch.exp(-((GAUSS_RATE * draw.gauss_hz[:, None] * t) ** 2))
    eddy_rad = draw.eddy_rad[:, None] * torch.exp(-t / draw.eddy_time_s[:, None])
    satellite = exponential(torch.complex(torch.zeros_like(t[:1]), 2 * math.pi * draw.satellite_hz), points, dwell_s)
    asymmetry = (1 + draw.satellite[:, None] * satellite) / (1 + draw.satellite[:, None])
    return shape * (torch.polar(decay, eddy_rad) * asymmetry)[:, None]


def nuisance_signal(draw, points, dwell_s):
    """Residual water and broad baseline, relative to the FID's maximum: (batch, condition, point) complex."""
    batch, conditions = draw.water.shape
    t = torch.arange(points, device=draw.water.device) * dwell_s
    rate = torch.complex(-math.pi * draw.water_width_hz, (2 * math.pi * draw.water_hz)[:, None].expand(-1, conditions))
    total = exponential(rate, points, dwell_s) * torch.polar(draw.water, draw.water_phase_rad)[..., None]
    if draw.baseline.shape[-1]:
        # Broad components are gone (below 1e-8) after a small part of the acquisition.
        reach = 4.3 / (GAUSS_RATE * float(draw.baseline_width_hz.min()) * dwell_s)
        reach = min(points, int(reach) + 1)
        decay = torch.exp(-((GAUSS_RATE * draw.baseline_width_hz[..., None] * t[:reach]) ** 2))
        frequency = torch.complex(torch.zeros_like(draw.baseline_hz), 2 * math.pi * draw.baseline_hz)
        height = torch.polar(draw.baseline, draw.baseline_phase_rad)
        components = exponential(frequency, reach, dwell_s) * decay * height[..., None]
        total[..., :reach] += components.sum(-2)
    return total


def synthesise(basis, draw, basis_linewidth_hz, dwell_s):
    """Scans with everything but noise.

    Args:
        basis: (batch or 1, condition, metabolite, point) complex, one basis for each scan or one for all.
        draw: parameters (`priors.Draw`).
        basis_linewidth_hz: Lorentzian width of the basis set's lines (Hz).
        dwell_s: dwell time (s).

    Returns:
        clean, nuisance, maximum: the metabolites' FIDs and what is added to them, both (batch, condition,
        point) complex, and the largest magnitude of each scan's clean FIDs, (batch,).

    Raises:
        ConfigError: lines narrower than the basis set's own are asked for.
    """
    broadening_hz = draw.lorentz_hz - basis_linewidth_hz
    if broadening_hz.min() < -1e-6:
        raise ConfigError(
            f"Lines of {float(draw.lorentz_hz.min()):.2f} Hz are asked for, but the basis set's are "
            f"{basis_linewidth_hz} Hz wide: raise lorentz_hz or simulate a narrower basis set."
        )
    points = basis.shape[-1]
    with record_function("metabolites"):
        metabolites = metabolite_signal(
            basis, draw.concentrations, draw.metabolite_shift_hz, draw.metabolite_lorentz_hz, dwell_s
        )
    with record_function("line shape"):
        clean = metabolites * line_shape(draw, broadening_hz, basis.shape[1], points, dwell_s)
        maximum = clean.abs().amax((1, 2))
    with record_function("water and baseline"):
        nuisance = nuisance_signal(draw, points, dwell_s) * maximum[:, None, None]
    return clean, nuisance, maximum
