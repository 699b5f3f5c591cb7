"""From drawn parameters to FIDs: pure functions of tensors, batched over scans."""

import math

import torch
from torch.profiler import record_function

GAUSS_RATE = math.pi / (2 * math.sqrt(math.log(2)))
"""A Gaussian line of full width w (Hz) at half maximum decays as exp(-(GAUSS_RATE w t)^2)."""


def exponential(rate, points, dwell_s, factor=1.0):
    """factor exp(rate t) on a time grid that starts at 0.

    The grid is split into blocks, so that only 2 sqrt(points) exponentials are computed per rate.

    Args:
        rate: (...) complex, 1/s.
        points: number of points.
        dwell_s: dwell time (s).
        factor: (...) or a number, what every point is multiplied by.

    Returns:
        (..., points) complex.
    """
    inner = 1 << (max(points - 1, 1).bit_length() // 2)
    outer = -(-points // inner)
    steps = torch.arange(max(inner, outer), device=rate.device, dtype=rate.real.dtype) * dwell_s
    fine = _exp(rate[..., None] * steps[:inner])
    coarse = _exp(rate[..., None] * (inner * steps[:outer]))
    coarse = coarse * torch.as_tensor(factor, device=rate.device)[..., None]
    return (coarse[..., :, None] * fine[..., None, :]).flatten(-2)[..., :points]


def _exp(exponent):
    """exp of complex numbers, in a fifth of the time that torch.exp takes for them on a CPU."""
    return torch.polar(torch.exp(exponent.real), exponent.imag)


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
    total = None
    for metabolite in range(basis.shape[2]):
        weight = exponential(rate[:, metabolite], basis.shape[-1], dwell_s, concentrations[:, metabolite])[:, None]
        if total is None:
            total = basis[:, :, metabolite] * weight
        else:
            total.addcmul_(basis[:, :, metabolite], weight)
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
    decay = torch.exp(-((GAUSS_RATE * draw.gauss_hz) ** 2)[:, None] * t**2)
    eddy_rad = draw.eddy_rad[:, None] * torch.exp(-1 / draw.eddy_time_s[:, None] * t)
    rate_satellite = torch.complex(torch.zeros_like(draw.satellite_hz), 2 * math.pi * draw.satellite_hz)
    share = draw.satellite / (1 + draw.satellite)
    asymmetry = exponential(rate_satellite, points, dwell_s, share) + (1 - share)[:, None]
    common = torch.polar(decay, eddy_rad).mul_(asymmetry)
    return exponential(rate, points, dwell_s, torch.polar(gain, phase_rad)).mul_(common[:, None])


def nuisance_signal(draw, points, dwell_s, narrowest_baseline_hz=0.0):
    """Residual water and broad baseline, relative to the FID's maximum: (batch, condition, point) complex.

    Baseline components are made only as long as the narrowest one can last (above 1e-8). That width is given, not
    looked up in what was drawn: a look at values on a GPU waits for it.
    """
    batch, conditions = draw.water.shape
    t = torch.arange(points, device=draw.water.device) * dwell_s
    rate = torch.complex(-math.pi * draw.water_width_hz, (2 * math.pi * draw.water_hz)[:, None].expand(-1, conditions))
    total = exponential(rate, points, dwell_s, torch.polar(draw.water, draw.water_phase_rad))
    if draw.baseline.shape[-1]:
        reach = min(points, int(4.3 / max(GAUSS_RATE * narrowest_baseline_hz * dwell_s, 1e-9)) + 1)
        decay = torch.exp(-((GAUSS_RATE * draw.baseline_width_hz[..., None] * t[:reach]) ** 2))
        frequency = torch.complex(torch.zeros_like(draw.baseline_hz), 2 * math.pi * draw.baseline_hz)
        height = torch.polar(draw.baseline, draw.baseline_phase_rad)
        components = exponential(frequency, reach, dwell_s, height) * decay
        total[..., :reach] += components.sum(-2)
    return total


def synthesise(basis, draw, basis_linewidth_hz, dwell_s, narrowest_baseline_hz=0.0):
    """Scans with everything but noise.

    Args:
        basis: (batch or 1, condition, metabolite, point) complex, one basis for each scan or one for all.
        draw: parameters (`priors.Draw`).
        basis_linewidth_hz: Lorentzian width of the basis set's lines (Hz).
        dwell_s: dwell time (s).
        narrowest_baseline_hz: no baseline component is narrower, see `nuisance_signal`.

    Returns:
        clean, nuisance, maximum: the metabolites' FIDs and what is added to them, both (batch, condition,
        point) complex, and the largest magnitude of each scan's clean FIDs, (batch,).
    """
    broadening_hz = draw.lorentz_hz - basis_linewidth_hz
    points = basis.shape[-1]
    with record_function("metabolites"):
        metabolites = metabolite_signal(
            basis, draw.concentrations, draw.metabolite_shift_hz, draw.metabolite_lorentz_hz, dwell_s
        )
    with record_function("line shape"):
        clean = metabolites.mul_(line_shape(draw, broadening_hz, basis.shape[1], points, dwell_s))
        maximum = torch.addcmul(clean.real.square(), clean.imag, clean.imag).amax((1, 2)).sqrt()
    with record_function("water and baseline"):
        nuisance = nuisance_signal(draw, points, dwell_s, narrowest_baseline_hz).mul_(maximum[:, None, None])
    return clean, nuisance, maximum
