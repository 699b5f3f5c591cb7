"""Scan to network input: one function for training spectra and for scans."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from .. import axes
from ..errors import ConfigError

MAX_POINTS = 2**20
MAX_BINS = 2**16

NOISE_SHARE = 8
"""One part in this many at either end of a spectrum, furthest from the receiver's frequency, holds noise only."""

LAG = 8
"""Distance (points) of the noise that is compared: trends are no noise, and nearer points may be smoothed."""


@dataclass(frozen=True)
class InputConfig:
    """What a network sees.

    Attributes:
        conditions: spectra of a scan: 2 (edit-off, edit-on) or 1.
        centre_hz: spectrometer frequency of the basis set (Hz).
        points, dwell_s: time grid of the FIDs (dwell time in s).
        ppm: chemical shifts that the network sees (ppm).
        resample_bins: points at which the spectrum is evaluated, evenly from the first of these shifts to the last,
            instead of the points of the FIDs' own grid that lie between them; None for the latter.
    """

    conditions: int
    centre_hz: float
    points: int = 2048
    dwell_s: float = 5e-4
    ppm: tuple[float, float] = (1.0, 4.5)
    resample_bins: int | None = None

    def __post_init__(self):
        if self.conditions not in (1, 2):
            raise ConfigError(f"conditions must be 1 or 2, not {self.conditions}.")
        if not all(map(math.isfinite, (self.dwell_s, self.centre_hz, *self.ppm))):
            raise ConfigError(f"dwell_s, centre_hz and ppm must be finite numbers in {self}.")
        if not (self.points > 0 and self.dwell_s > 0 and self.centre_hz > 0 and self.ppm[0] < self.ppm[1]):
            raise ConfigError(f"points, dwell_s and centre_hz must be positive and ppm ascending in {self}.")
        if self.points > MAX_POINTS:
            raise ConfigError(f"points must be at most {MAX_POINTS}, not {self.points}.")
        if self.resample_bins is not None and not 8 <= self.resample_bins <= MAX_BINS:
            raise ConfigError(f"resample_bins must be at least 8 and at most {MAX_BINS}, not {self.resample_bins}.")
        if self.bins > MAX_BINS:
            raise ConfigError(f"A network sees at most {MAX_BINS} points of a spectrum, not {self.bins}; narrow ppm.")
        if self.bins < 8:
            raise ConfigError(f"Only {self.bins} points lie between {self.ppm[0]} and {self.ppm[1]} ppm; 8 must.")

    @cached_property
    def band(self):
        """Indices (first, past the last) of the spectrum between the two shifts."""
        return tuple(np.searchsorted(axes.ppm_axis(self.points, self.dwell_s, self.centre_hz), self.ppm))

    @property
    def bins(self):
        """Points of the spectrum that a network sees."""
        return self.resample_bins or int(self.band[1] - self.band[0])

    @property
    def channels(self):
        """Real and imaginary part of each condition."""
        return 2 * self.conditions


def spectrum_channels(fids, config):
    """Real and imaginary parts of the spectra in the network's band.

    Args:
        fids: (batch, condition, point) complex torch tensor on the configured time grid.
        config: InputConfig.

    Returns:
        (batch, 2 * condition, bin) float32: off real, off imaginary, on real, on imaginary.
    """
    if config.resample_bins:
        first_hz, last_hz = (axes.ppm_to_hz(shift, config.centre_hz) for shift in config.ppm)
        spectra = axes.zoomed_spectrum(fids, config.dwell_s, first_hz, last_hz, config.resample_bins)
    else:
        spectra = axes.fid_to_spectrum(fids)[..., config.band[0] : config.band[1]]
    return torch.view_as_real(spectra).movedim(-1, 2).flatten(1, 2).float()


def complex_spectra(channels):
    """(batch, condition, bin) complex64 spectra of the (batch, 2 * condition, bin) channels of `spectrum_channels`."""
    return torch.view_as_complex(channels.float().unflatten(1, (-1, 2)).movedim(2, -1).contiguous())


def network_input(fids, config):
    """Channels scaled by the largest magnitude of the first condition (edit-off), and that scale.

    Args:
        fids: (batch, condition, point) complex torch tensor on the configured time grid.
        config: InputConfig.

    Returns:
        channels (batch, 2 * condition, bin) float32, scale (batch,) float32.
    """
    channels = spectrum_channels(fids, config)
    scale = channels[:, :2].square().sum(1).sqrt().amax(-1).clamp_min(1e-30)
    return channels / scale[:, None, None], scale


def noise_level(fids, scale):
    """Standard deviation of the real and imaginary noise of a network's input.

    Args:
        fids: (batch, condition, point) complex, those that the input was made of.
        scale: (batch,) what the input was divided by.

    Returns:
        (batch, condition); 0 for scans whose bandwidth is smaller than that of the fids' grid.
    """
    spectra = axes.fid_to_spectrum(fids)
    count = spectra.shape[-1] // NOISE_SHARE
    ends = torch.stack([spectra[..., :count], spectra[..., -count:]], -2)
    apart = torch.view_as_real(ends[..., LAG:] - ends[..., :-LAG]).flatten(2).abs()
    # Of the difference of two normal numbers; medians do not see single lines or spikes.
    return apart.median(-1).values / (0.67449 * 2**0.5) / scale[:, None]
