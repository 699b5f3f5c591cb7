"""Adjusting a basis to scans, and concentrations by least squares: the physics inside the `hybrid` network.

Everything is a pure function of tensors, batched over scans. Spectra live on the points of the network's band,
FIDs on a shorter time grid that holds only that band (`BandGrid`), which makes them cheap to adjust.
"""

import math
from dataclasses import dataclass

import torch

from .. import axes
from ..synth.signal import GAUSS_RATE

MARGIN = 1.1
"""Width of the short grid's spectrum relative to the band, at least."""

PADDING = 2
"""Length of the short grid relative to the scans': FIDs that have not decayed at the end must not meet their start."""

EARLIER = 64
"""Points at the end of the short grid that stand for times before 0: cutting a band out lets an FID begin early."""

KERNEL_HZ = (-9.0, -7.0, -5.0, -3.5, -2.0, 2.0, 3.5, 5.0, 7.0, 9.0)
"""Places beside a line at which asymmetric B0 may put a share of it (Hz)."""

EDDY_S = (0.01, 0.04, 0.15)
"""Decay times of eddy-current phases (s)."""

NUISANCE = 24
"""Directions of spectra that water's foot and a broad baseline may take."""


@dataclass(frozen=True)
class BandGrid:
    """A time grid that holds the band of a network only.

    Attributes:
        bins: points of the band, neighbours on the frequency axis of the scans' grid.
    """

    bins: int

    @property
    def wide(self):
        """Points of the band with a margin, a product of small primes."""
        wanted = math.ceil(MARGIN * self.bins)
        return next(number for number in range(wanted, 2 * wanted + 1) if _smooth(number))

    @property
    def points(self):
        """Points of the short grid."""
        return PADDING * self.wide

    @property
    def offset(self):
        """Points of the margin below the band."""
        return (self.wide - self.bins) // 2

    def times(self, duration_s):
        """(points,) times (s) of the short grid for scans of a duration; the last ones are negative."""
        index = torch.arange(self.points)
        index = torch.where(index < self.points - EARLIER, index, index - self.points)
        return index * (duration_s / self.wide)

    def shorten(self, fids, first):
        """FIDs on the short grid.

        Args:
            fids: (..., point) complex, on the scans' grid.
            first: index of the band's first point in their spectrum.

        Returns:
            (..., points) complex.
        """
        points = fids.shape[-1]
        start = PADDING * (first - self.offset)
        wanted = torch.arange(start, start + self.points, device=fids.device) % (PADDING * points)
        padded = torch.cat([fids, fids.new_zeros(*fids.shape[:-1], (PADDING - 1) * points)], -1)
        spectra = axes.fid_to_spectrum(padded)[..., wanted]
        return torch.fft.ifft(torch.fft.ifftshift(spectra, (-1,)), norm="ortho")

    def spectra(self, fids):
        """Spectra (..., bin), as `axes.fid_to_spectrum` has them, of FIDs (..., points) of the short grid."""
        # Every second point from the band's first one: to the end, where the frequency is below 0, and from the start.
        spectra, first = torch.fft.fft(fids, norm="ortho"), PADDING * self.offset + self.wide
        halves = spectra[..., first::PADDING], spectra[..., (first - self.points) % PADDING :: PADDING]
        return torch.cat(halves, -1)[..., : self.bins] * PADDING**0.5


def _smooth(number):
    """Whether a number has no prime factor above 5: lengths that are transformed fast."""
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


def line_shape(times, lorentz_hz, gauss_hz, shift_hz, phase_rad, kernel, eddy_rad):
    """Common modulation of every line: widths, shift, phase, asymmetry and eddy currents.

    Args:
        times: (points,) of the short grid (s).
        lorentz_hz, gauss_hz: (batch,) broadening, full width at half maximum (Hz).
        shift_hz: (batch,) positive to higher ppm (Hz).
        phase_rad: (batch,) zero-order phase (rad).
        kernel: (batch, len(KERNEL_HZ)) share of each line that stands beside it.
        eddy_rad: (batch, len(EDDY_S)) phases at time 0 that decay (rad).

    Returns:
        (batch, points) complex.
    """
    later = times.clamp_min(0)
    decay = -math.pi * lorentz_hz[:, None] * later - (GAUSS_RATE * gauss_hz[:, None] * later) ** 2
    eddy = eddy_rad @ torch.exp(-later / times.new_tensor(EDDY_S)[:, None])
    angle = 2 * math.pi * shift_hz[:, None] * times + phase_rad[:, None] + eddy
    turns = 2 * math.pi * times.new_tensor(KERNEL_HZ)[:, None] * times
    beside = torch.complex(kernel @ (turns.cos() - 1), kernel @ turns.sin())
    return torch.polar(torch.exp(decay), angle) * (1 + beside)


def modulation(times, width_hz, shift_hz):
    """Broadening and shift of single metabolites or conditions, (..., points) complex for (...) values (Hz)."""
    decay = torch.exp(-math.pi * width_hz[..., None] * times.clamp_min(0))
    return torch.polar(decay, 2 * math.pi * shift_hz[..., None] * times)


def non_negative(gram, target, ridge, prior):
    """Non-negative ridge regression by an active set of two rounds.

    Minimises c' G c - 2 c' t + sum ridge (c - prior)^2; what comes out negative is set to 0 and the rest is
    solved once more. Differentiable in everything but the choice of the zeros.

    Args:
        gram: (batch, metabolite, metabolite).
        target: (batch, metabolite).
        ridge: (batch, metabolite), positive.
        prior: (batch, metabolite).

    Returns:
        (batch, metabolite), not negative.
    """
    system = gram + torch.diag_embed(ridge)
    wanted = target + ridge * prior
    free = solve_positive(system, wanted).detach() > 0
    system = torch.where(free[:, :, None] & free[:, None], system, 0.0) + torch.diag_embed((~free).to(system.dtype))
    found = solve_positive(system, wanted * free)
    # Not clamp_min, which leaves -0 as it is.
    return torch.where(found > 0, found, 0.0)


def solve_positive(system, wanted):
    """Solution of positive definite systems, without the check that makes a GPU wait."""
    root, _ = torch.linalg.cholesky_ex(system)
    return torch.cholesky_solve(wanted[..., None], root)[..., 0]


def nuisance_space(centre_hz, points, dwell_s, first, bins, number):
    """What water's foot and a broad baseline look like in the band.

    Args:
        centre_hz: spectrometer frequency (Hz).
        points, dwell_s: of the scans' grid.
        first, bins: of the band.
        number: of directions to keep.

    Returns:
        (bin, number) complex orthonormal spectra, and (number,) the energy of each relative to the strongest.
    """
    times = torch.arange(points, dtype=torch.float64) * dwell_s
    water = [(ppm, width) for ppm in (4.4, 4.5, 4.6, 4.7, 4.8, 4.9) for width in (3.0, 10.0, 25.0)]
    broad = [(0.6 + 0.2 * step, width) for step in range(21) for width in (40.0, 80.0, 160.0)]
    turns = [2 * math.pi * axes.ppm_to_hz(ppm, centre_hz) * times for ppm, _ in water + broad]
    decays = [-math.pi * width * times for _, width in water]
    decays += [-((GAUSS_RATE * width * times) ** 2) for _, width in broad]
    amplitudes = torch.tensor([3.0] * len(water) + [0.02] * len(broad), dtype=torch.float64)
    fids = torch.exp(torch.complex(torch.stack(decays), torch.stack(turns))) * amplitudes[:, None]
    spectra = axes.fid_to_spectrum(fids)[:, first : first + bins]
    directions, strength, _ = torch.linalg.svd(spectra.T, full_matrices=False)
    return directions[:, :number].to(torch.complex64), ((strength / strength[0]) ** 2)[:number].float()
