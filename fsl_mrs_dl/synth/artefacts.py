"""Artefacts of water and of the receiver: residual water, spurious echoes, a wrong first point, cut FIDs."""

import math

import torch

from .exponentials import exponential, exponential_sum


def residual_water(draw, recipe, points, dwell_s):
    """Water left by suppression: one Lorentzian line and, around it, a tail of further ones of any phase.

    Suppression leaves the parts of the voxel where field and B1 are off, with frequencies, widths and phases of
    their own; together they are asymmetric (Kreis, NMR Biomed 17, 361 (2004), doi 10.1002/nbm.891; modelled by
    sums of lines as in LaMaster et al., NMR Biomed 38, e70130 (2025), doi 10.1002/nbm.70130).

    Args:
        draw: parameters (`draws.Draw`).
        recipe: whether there is a tail.
        points, dwell_s: of the time grid.

    Returns:
        (batch, condition, point) complex, relative to the FID's maximum.
    """
    water = torch.polar(draw.water, draw.water_phase_rad)
    hz = draw.water_hz[:, None].expand(draw.water.shape)
    rate = torch.complex(-math.pi * draw.water_width_hz, 2 * math.pi * hz)
    if not recipe.uses("water_tail"):
        return exponential(rate, points, dwell_s, water)
    tail = torch.polar(draw.water_tail * draw.water[..., None], draw.water_tail_phase_rad)
    tail_rate = torch.complex(-math.pi * draw.water_tail_width_hz, 2 * math.pi * (hz[..., None] + draw.water_tail_hz))
    rate, height = torch.cat([rate[..., None], tail_rate], -1), torch.cat([water[..., None], tail], -1)
    return exponential_sum(rate, points, dwell_s, height)


def spurious_echo(draw, points, dwell_s):
    """An unwanted coherence that refocuses during the acquisition: a burst with its own frequency and phase.

    Its time, frequency and width are those of a pathway and a place outside the voxel, so the same in both
    conditions; amplitude and phase are not, as phase cycling leaves different remainders (Kyathanahally et al.,
    Magn Reson Med 80, 851 (2018), doi 10.1002/mrm.27096; Gudmundson et al., Imaging Neurosci 1 (2023),
    doi 10.1162/imag_a_00025).

    Returns:
        (batch, condition, point) complex, relative to the FID's maximum.
    """
    t = torch.arange(points, device=draw.echo.device) * dwell_s
    # A Gaussian of full width w in time is exp(-(2 sqrt(ln 2) (t - t0) / w)^2).
    scaled = 2 * math.sqrt(math.log(2)) / draw.echo_width_s[:, None] * (t - draw.echo_time_s[:, None])
    hz = draw.echo_hz[:, None].expand(draw.echo.shape)
    rate = torch.complex(torch.zeros_like(hz), 2 * math.pi * hz)
    wave = exponential(rate, points, dwell_s, torch.polar(draw.echo, draw.echo_phase_rad))
    return wave * torch.exp(-(scaled**2))[:, None]


def first_point_error(draw, clean, nuisance):
    """What a wrong first point adds: its relative error times it, (batch, condition) complex.

    Digital filters and switching of the receiver spoil the first points of an FID; the spectrum gets a constant
    offset (Near et al., NMR Biomed 34, e4257 (2021), doi 10.1002/nbm.4257).

    Args:
        draw: parameters (`draws.Draw`).
        clean, nuisance: (batch, condition, point) FIDs.
    """
    return draw.first_point[:, None] * (clean[..., 0] + nuisance[..., 0])


def truncated(truncation, clean, nuisance, noise):
    """Nuisance and noise of scans whose FIDs were cut and filled with zeros.

    A scan shorter than the time grid has lines that end before they have decayed: sinc ripples (de Graaf, In Vivo
    NMR Spectroscopy, 3rd ed. (Wiley, 2019), chapter 1). The clean scan stays whole, so the nuisance takes away what
    was cut of it.

    Args:
        truncation: (batch,) share of the FID that is missing, at its end.
        clean, nuisance, noise: (batch, condition, point) FIDs.

    Returns:
        nuisance, noise: as given up to the cut; there the sum of all three is 0.
    """
    points = clean.shape[-1]
    number = torch.arange(points, device=truncation.device, dtype=truncation.dtype)
    kept = (number < ((1 - truncation) * points).round()[:, None])[:, None]
    return torch.where(kept, nuisance, -clean), noise * kept
