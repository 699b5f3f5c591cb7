"""Linear least squares of many spectra at once in the band of a network, for the trust flag.

Basis spectra and their departures are made on a time grid that holds the band alone (`model.adjusted.BandGrid`). Every
fit of a spectrum, with few columns or all, is then algebra of the products of its columns, which are made once.
Water's foot and a smooth baseline are taken out of all of them.
"""

import math
from dataclasses import dataclass

import torch

from ..model.adjusted import EARLIER, NUISANCE, BandGrid, nuisance_space
from ..synth.exponentials import GAUSS_RATE

NUISANCE_STRENGTH = math.exp(10)
"""How far these are taken out: energy of the strongest relative to noise."""

LEAST_BINS = 96
"""Points of the band that the time grid is made for, at least: with fewer, it would hold no times before 0."""

STORED_S = 0.5
"""FIDs that are kept with a model's thresholds end here (s)."""

RIDGE = 1e-5
"""Share of its energy that every column is held back with: columns are single precision."""


class BandFit:
    """Time grid, spectra and products of columns for a model's band.

    Args:
        grid: InputConfig of the model.

    Attributes:
        times: (point,) of the time grid (s); the last `EARLIER` ones are negative.
        bins: points of the band.
    """

    def __init__(self, grid):
        first, past = grid.band
        self.bins, self._first = past - first, first
        wanted = max(self.bins, LEAST_BINS)
        # The band's middle is a point of the grid only where their number is even.
        self._grid = next(one for one in map(BandGrid, range(wanted, 2 * wanted)) if one.wide % 2 == 0)
        wide = self._grid.wide
        later, earlier = torch.arange(wide - EARLIER), torch.arange(self._grid.points - EARLIER, self._grid.points)
        self._kept = torch.cat([later, earlier])
        self.times = self._grid.times(grid.points * grid.dwell_s)[self._kept]
        self.later_s = self.times.clamp_min(0)
        self._stored = self.times < STORED_S
        self._space, energy = nuisance_space(
            grid.centre_hz, grid.points, grid.dwell_s, first, self.bins, min(NUISANCE, self.bins)
        )
        self._share = 1 - torch.rsqrt(1 + energy * NUISANCE_STRENGTH)
        self._weight = (self._share * (2 - self._share)).sqrt()

    def shorten(self, fids):
        """FIDs (..., point of the scans' grid) on this time grid, complex64; what comes after its end is cut off."""
        return self._grid.shorten(torch.as_tensor(fids).to(torch.complex64), self._first)[..., self._kept]

    @property
    def stored_points(self):
        """Points of an FID of `stored`."""
        return int(self._stored.sum())

    def stored(self, fids):
        """FIDs (..., point of the scans' grid) as they are stored with thresholds: on this grid, up to `STORED_S`."""
        return self.shorten(fids)[..., self._stored].numpy()

    def restored(self, fids):
        """FIDs of `stored` (numpy) on this time grid again."""
        whole = torch.zeros(*fids.shape[:-1], len(self.times), dtype=torch.complex64)
        whole[..., self._stored] = torch.as_tensor(fids)
        return whole

    def shape(self, line):
        """(scan, point) common modulation of all lines by line parameters (scan, 4), see `model.output`."""
        lorentz_hz, gauss_hz, shift_hz, phase_rad = line.float().unbind(1)
        decay = -math.pi * lorentz_hz[:, None] * self.later_s - (GAUSS_RATE * gauss_hz[:, None] * self.later_s) ** 2
        angle = 2 * math.pi * shift_hz[:, None] * self.times + phase_rad[:, None]
        return torch.exp(torch.complex(decay.clamp_max(0), angle))

    def spectra(self, fids):
        """Spectra (..., bin) of the band, of FIDs on this time grid."""
        spectra = torch.fft.fftshift(torch.fft.fft(fids, norm="ortho"), (-1,))
        return spectra[..., self._grid.offset : self._grid.offset + self.bins]

    def clear(self, spectra):
        """Spectra of the band (..., bin) less what water's foot and a smooth baseline explain."""
        return spectra - ((spectra @ self._space.conj()) * self._share) @ self._space.T

    def products(self, columns, cleared):
        """Products of columns with each other and with data, all of them cleared.

        Args:
            columns: (..., column, bin) complex spectra, not cleared.
            cleared: (..., bin) data, cleared.

        Returns:
            Products.
        """
        flat = torch.view_as_real(columns).flatten(-2)
        norms = flat.norm(dim=-1, keepdim=True).clamp_min(1e-30)
        flat = flat / norms
        lost = torch.view_as_real(((columns / norms) @ self._space.conj()) * self._weight).flatten(-2)
        gram = flat @ flat.mT - lost @ lost.mT
        goal = torch.view_as_real(self.clear(cleared)).flatten(-2)
        return Products(
            gram.double(), (flat @ goal[..., None])[..., 0].double(), norms[..., 0].double(),
            cleared.abs().square().sum(-1).double(),
        )  # fmt: skip


@dataclass(frozen=True)
class Products:
    """Products of unit columns and data, real parts.

    Attributes:
        gram: (..., column, column).
        target: (..., column) with the data.
        norms: (..., column) lengths that the columns were divided by.
        energy: (...) of the data.
    """

    gram: torch.Tensor
    target: torch.Tensor
    norms: torch.Tensor
    energy: torch.Tensor

    def solve(self, count, ridge=None):
        """Least squares with the first columns.

        Args:
            count: of columns.
            ridge: (..., column) what the squares of the amounts are weighed with, in units of the data's energy; None
                for free amounts.

        Returns:
            Solution.
        """
        system, norms = self.gram[..., :count, :count], self.norms[..., :count]
        held = RIDGE if ridge is None else RIDGE + ridge / norms.square()
        root, _ = torch.linalg.cholesky_ex(system + torch.diag_embed(held + torch.zeros_like(norms)))
        unit = torch.cholesky_solve(self.target[..., :count, None], root)[..., 0]
        return Solution(self, root, unit)


@dataclass(frozen=True)
class Solution:
    """Outcome of `Products.solve`: unit amounts (..., column) and the root of the system."""

    products: Products
    root: torch.Tensor
    unit: torch.Tensor

    @property
    def amounts(self):
        """(..., column) amounts of the columns."""
        return torch.nan_to_num(self.unit / self.products.norms[..., : self.unit.shape[-1]])

    @property
    def left(self):
        """(...) energy that is left, what the ridge costs included."""
        count = self.unit.shape[-1]
        return (self.products.energy - (self.unit * self.products.target[..., :count]).sum(-1)).clamp_min(1e-30)

    def further(self):
        """What the columns behind those of the fit would add to it.

        Returns:
            Products (..., further) with the residual, and (..., further, further) with each other, of columns from
            which the fit took what it can explain; in units of the columns.
        """
        count, products = self.unit.shape[-1], self.products
        across = products.gram[..., :count, count:]
        own = products.gram[..., count:, count:] - across.mT @ torch.cholesky_solve(across, self.root)
        residual = products.target[..., count:] - (across.mT @ self.unit[..., None])[..., 0]
        norms = products.norms[..., count:]
        return residual * norms, own * norms[..., None] * norms[..., None, :]
