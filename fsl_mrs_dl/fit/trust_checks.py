"""Numbers that tell a scan which a model can be trusted with from one that it cannot: small ones are good.

A network's estimate is compared with the scan itself. The basis set at the estimated line shape is fitted to either
spectrum by least squares with free concentrations and with first-order corrections of width, shift and phase, next to
water's foot and a smooth baseline; what remains is compared with the noise at places that hold no signal. All of it
is batched over scans.
"""

import math
from functools import lru_cache

import numpy as np
import torch

from .. import axes
from ..model.adjusted import nuisance_space
from ..model.output import LINE_PARAMETERS
from ..synth.exponentials import GAUSS_RATE
from .voigt import voigt_fwhm_hz

NOISE_PPM = ((-2.5, 0.0), (8.0, 11.0))
"""Where 1H spectra are empty (ppm)."""

LIPID_PPM = (0.4, 1.7)
"""Where the lines of lipids and lactate stand, and of none of the metabolites of solutions (ppm)."""

CHOLINE_PPM = (2.9, 3.35)
"""Where the creatine and choline of edit-off and edit-on must cancel in the difference (ppm)."""

WATER_PPM = (4.3, 5.0)
"""Where residual water stands (ppm)."""

PEAK_HZ = 12.0
"""Width over which a residual is averaged to find its largest place (Hz)."""

LEAST_AROUND = 0.03
"""Height of the fit, relative to its highest peak, below which a place counts as empty."""

BESIDE_HZ = (-8.0, -4.0, 4.0, 8.0)
"""Places beside a line at which asymmetric B0 may put a share of it (Hz)."""

EDDY_S = (0.02, 0.08)
"""Decay times of eddy-current phases (s)."""

SLOW_S = 0.1
"""Unit of the time in departures (s)."""

WIDEST_HZ = 60.0
"""Largest Lorentzian width that the comparison goes to (Hz)."""

REFINEMENTS = 2
"""Steps by which least squares corrects the network's width, shift and phase before the comparison."""

NUISANCE = 24
"""Directions of spectra that water's foot and baseline may take."""

NUISANCE_STRENGTH = math.exp(10)
"""How far these are taken out: energy of the strongest relative to noise."""

def measure(model, basis, seen, bandwidth_hz=math.inf):
    """The checks of prepared scans.

    Args:
        model: TrainedModel.
        basis: BasisSet of the model.
        seen: `predict.Seen`, what the network was given and said.
        bandwidth_hz: of the scans as they were read (Hz): beyond it, spectra hold no noise.

    Returns:
        Dict of check -> (scan,) float64. Which there are depends on model and conditions only.
    """
    with torch.inference_mode():
        found = _line_checks(model, seen.line)
        if seen.output.spread is not None:
            found["expected error"] = seen.output.spread.exp().mean(1)
        found |= _Comparison(model, basis, seen, bandwidth_hz).checks()
        return {name: values.double().numpy() for name, values in found.items()}


def _line_checks(model, line):
    """How far estimated shift and phase are from the middle of the training range: 1 at its edges."""
    scale = model.config.line
    away = ((line - line.new_tensor(scale.centre)) / line.new_tensor(scale.half_range)).abs()
    places = {"shift": LINE_PARAMETERS.index("shift_hz"), "phase": LINE_PARAMETERS.index("phase_rad")}
    return {name: away[:, place] for name, place in places.items()}


class _Comparison:
    """Scans against the basis set at the network's line parameters."""

    def __init__(self, model, basis, seen, bandwidth_hz):
        grid = model.config.input
        self.model, self.output, self.line = model, seen.output, seen.line.clone()
        self.band = slice(*grid.band)
        self.bins = grid.band[1] - grid.band[0]
        self.spacing_hz = 1 / (grid.points * grid.dwell_s)
        self.ppm = torch.as_tensor(axes.ppm_axis(grid.points, grid.dwell_s, grid.centre_hz))
        self.spectra = axes.fid_to_spectrum(seen.fids)
        directions, energy = _nuisance(grid.centre_hz, grid.points, grid.dwell_s, grid.band[0], self.bins)
        self.directions, self.share = directions, 1 - torch.rsqrt(1 + energy * NUISANCE_STRENGTH)
        self.noise = self._noise(min(bandwidth_hz, 1 / grid.dwell_s), grid.centre_hz)
        on_grid = basis.keep(model.config.metabolites).resample(grid.dwell_s, grid.points)
        fids = torch.as_tensor(on_grid.fids, dtype=torch.complex64)
        self.data = self.clear(self.spectra[..., self.band])
        for _ in range(REFINEMENTS):
            self._correct_line(*self._shaped(fids[:1], grid))
        self._make_columns(fids, grid)

    def _noise(self, bandwidth_hz, centre_hz):
        """Standard deviation of the complex noise of each scan and condition, (scan, condition)."""
        within = (self.ppm - axes.REFERENCE_PPM).abs() * centre_hz * 1e-6 < 0.45 * bandwidth_hz
        places = [within & (self.ppm > low) & (self.ppm < high) for low, high in NOISE_PPM]
        if sum(int(place.sum()) for place in places) < 40:
            places = [within & (self.ppm < self.ppm[within][60]), within & (self.ppm > self.ppm[within][-60])]
        parts = [_detrended(self.spectra[..., place], 3).abs() for place in places if place.sum() > 8]
        # The median keeps out what single lines or spikes add; 1.2011 brings it to the standard deviation.
        return 1.2011 * torch.cat(parts, -1).median(-1).values.clamp_min(1e-30)

    def _shaped(self, basis, grid):
        """Spectra of (condition, metabolite, point) FIDs at each scan's line shape, and first derivatives of their sum.

        Returns:
            (scan, condition, metabolite, bin), and (scan, condition, 3, bin) by phase, width and shift.
        """
        times = torch.arange(grid.points) * grid.dwell_s
        lorentz_hz, gauss_hz, shift_hz, phase_rad = self.line.float().unbind(1)
        decay = -math.pi * lorentz_hz[:, None] * times - (GAUSS_RATE * gauss_hz[:, None] * times) ** 2
        angle = 2 * math.pi * shift_hz[:, None] * times + phase_rad[:, None]
        self.fids = basis[None] * torch.exp(torch.complex(decay.clamp_max(0), angle))[:, None, None]
        self.total = torch.einsum("bm,bcmp->bcp", self.output.fractions.to(self.fids.dtype), self.fids)
        self.slow = (times / SLOW_S).to(self.total.dtype)
        slopes = self.total[:, :, None] * torch.stack([1j * torch.ones_like(self.slow), self.slow, 1j * self.slow])
        return self._of_band(self.fids), self._of_band(slopes)

    def _of_band(self, fids):
        return axes.fid_to_spectrum(fids)[..., self.band]

    def _make_columns(self, basis, grid):
        """What is fitted to each spectrum: the basis set, and ways in which the scan may depart from it."""
        self.columns, self.slopes = self._shaped(basis, grid)
        times = torch.arange(grid.points) * grid.dwell_s
        beside = [torch.exp(2j * math.pi * hz * times) - 1 for hz in BESIDE_HZ]
        early = [torch.exp(-times / eddy_s).to(self.total.dtype) for eddy_s in EDDY_S]
        shapes = self._of_band(self.total[:, :, None] * torch.stack([self.slow**2, *beside, *early]))
        # Each metabolite may stand a little beside its place, and be a little wider.
        single = self._of_band(self.fids * self.slow)
        self.departures = torch.cat([self.slopes, shapes, 1j * shapes, single, 1j * single], 2)
        self.first_points = self.total[:, :, 0].abs()

    def _correct_line(self, columns, slopes):
        """Gauss-Newton step of phase, Lorentzian width and shift from edit-off, or the only spectrum."""
        values, steps, _, _ = self.fitted(self.data[:, 0], columns[:, 0], slopes[:, 0])
        amplitude = self._amplitude(values)
        turn, widen, move = torch.nan_to_num(steps / amplitude.abs().clamp_min(1e-30)[:, None]).unbind(1)
        self.line[:, 0] = (self.line[:, 0] + (-widen / SLOW_S / math.pi).clamp(-4, 4)).clamp(0, WIDEST_HZ)
        self.line[:, 2] += (move / SLOW_S / (2 * math.pi)).clamp(-3, 3)
        self.line[:, 3] += turn.clamp(-0.5, 0.5)

    def _amplitude(self, concentrations):
        """Factor (scan,) that brings the network's fractions to free concentrations."""
        fractions = self.output.fractions
        return (concentrations * fractions).sum(1) / fractions.square().sum(1).clamp_min(1e-12)

    def clear(self, spectra):
        """Spectra of the band (..., bin) less what water's foot and a smooth baseline explain."""
        return spectra - ((spectra @ self.directions.conj()) * self.share) @ self.directions.T

    def fitted(self, data, columns, departures):
        """Least squares of one spectrum (scan, bin).

        Returns:
            Concentrations (scan, metabolite), amounts of the departures (scan, departure), model and residual
            (scan, bin).
        """
        every = self.clear(torch.cat([columns, departures], 1))
        stacked = torch.view_as_real(every).flatten(2).double()
        goal = torch.view_as_real(data).flatten(1).double()
        norms = stacked.norm(dim=2, keepdim=True).clamp_min(1e-30)
        stacked = stacked / norms
        gram = stacked @ stacked.transpose(1, 2) + 1e-6 * torch.eye(stacked.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(gram, stacked @ goal[..., None])
        model = torch.view_as_complex((solution * stacked).sum(1).unflatten(1, (-1, 2)).contiguous())
        values = solution[..., 0] / norms[..., 0]
        return values[:, : columns.shape[1]], values[:, columns.shape[1] :], model, data.to(model.dtype) - model

    def checks(self):
        """Dict of check -> (scan,) tensor."""
        data = self.data
        count = data.shape[1]
        stiff = [self.fitted(data[:, c], self.columns[:, c], self.slopes[:, c]) for c in range(count)]
        fits = [self.fitted(data[:, c], self.columns[:, c], self.departures[:, c]) for c in range(count)]
        models, residuals = (torch.stack([fit[place] for fit in fits], 1) for place in (2, 3))
        strength = models.abs().square().mean((1, 2)).sqrt().clamp_min(1e-30)
        highest = models.abs().amax((1, 2)).clamp_min(1e-30)
        noise = self.noise.square().mean(1).sqrt()
        amplitude = self._amplitude(stiff[0][0])
        first = (amplitude.abs() * self.first_points[:, 0]).clamp_min(1e-30)
        found = {
            "width": self._width(),
            "noise": noise / first,
            "signal": noise / highest,
            "residual": self._excess(residuals, strength),
            "peak": self._peak(residuals, self.noise[..., None]) / highest,
            "line": self._line(residuals, models),
            "lipid": self._lipid() / highest,
            "baseline": (self.spectra[..., self.band] - data).abs().square().mean((1, 2)).sqrt() / strength,
            "water": self._water() / highest,
            "disagreement": (1 - self._agreement(stiff[0][0])),
        }
        if self.output.clean is not None and not self.model.config.input.resample_bins:
            found["reconstruction"] = self._reconstruction(data, strength)
        if count == 2:
            found["editing"] = self._editing(stiff)
            found["subtraction"] = self._subtraction(data, highest)
        return found

    def _agreement(self, concentrations):
        """Cosine between free concentrations and the network's, weighted by how much of the signal each makes."""
        weight = self.columns[:, 0].abs().square().mean(-1).sqrt()
        one, other = concentrations * weight, self.output.fractions * weight
        return torch.nn.functional.cosine_similarity(one, other.double(), dim=1)

    def _width(self):
        """Linewidth (Hz) by the network, corrected by the least-squares fit, relative to the widest in training."""
        high = [centre + half for centre, half in zip(self.model.config.line.centre, self.model.config.line.half_range)]
        found = voigt_fwhm_hz(self.line[:, 0].clamp_min(0).numpy(), self.line[:, 1].clamp_min(0).numpy())
        return torch.as_tensor(found) / float(voigt_fwhm_hz(np.float64(high[0]), np.float64(high[1])))

    def _excess(self, residuals, strength):
        """Root mean square of residuals beyond the noise, relative to the fit's."""
        beyond = residuals.abs().square().mean(2) - self.noise.square()
        return beyond.clamp_min(0).mean(1).sqrt() / strength

    def _peak(self, residuals, noise):
        """Largest residual (scan,) averaged over `PEAK_HZ`, beyond what noise alone would show."""
        width = max(int(PEAK_HZ / self.spacing_hz), 1)
        if residuals.shape[-1] < width:
            # Another nucleus, or a narrow band, may have nothing there.
            return torch.zeros(len(residuals))
        beyond = residuals.abs().square() - (1 + 3 / math.sqrt(width)) * noise.square()
        power = torch.nn.functional.avg_pool1d(beyond, width, 1)
        return power.clamp_min(0).amax((1, 2)).sqrt()

    def _line(self, residuals, models):
        """Largest residual beyond the noise relative to the fit around it: a line where the model has none."""
        width = max(int(PEAK_HZ / self.spacing_hz), 1)
        around = torch.nn.functional.max_pool1d(models.abs(), 2 * width + 1, 1, width)
        floor = LEAST_AROUND * models.abs().amax((1, 2), keepdim=True)
        return self._peak(residuals / (around + floor), self.noise[..., None] / (around + floor))

    def _lipid(self):
        """Largest peak where lipids stand, their wide trend included, beyond the noise."""
        return self._peak(_detrended(self._in(self.spectra, LIPID_PPM), 1), self.noise[..., None])

    def _water(self):
        """Height of the highest peak where water stands."""
        inside = self._in(self.spectra, WATER_PPM)
        return inside.abs().amax((1, 2)) if inside.shape[-1] else torch.zeros(len(inside))

    def _in(self, spectra, ppm):
        return spectra[..., (self.ppm > ppm[0]) & (self.ppm < ppm[1])]

    def _reconstruction(self, data, strength):
        """Distance of the scan from the network's own reconstruction, beyond the noise, relative to the fit."""
        scale = self.spectra[:, 0, self.band].abs().amax(1)
        clean = torch.view_as_complex(self.output.clean.unflatten(1, (-1, 2)).movedim(2, -1).contiguous())
        return self._excess(data - self.clear(clean * scale[:, None, None]), strength)

    def _editing(self, fits):
        """How far concentrations of edit-on alone are from making the spectrum that those of edit-off alone make."""
        apart = (fits[0][0] - fits[1][0]).to(self.columns.dtype)
        errors = [torch.einsum("bm,bmf->bf", apart, self.clear(self.columns[:, c])) for c in (0, 1)]
        sizes = [fit[2].abs().square().mean(1) for fit in fits]
        power = sum(error.abs().square().mean(1) for error in errors)
        return (power / sum(sizes).clamp_min(1e-30)).sqrt()

    def _subtraction(self, data, highest):
        """Largest residual of the difference where creatine and choline cancel, relative to the highest peak."""
        columns, departures = (part[:, 1] - part[:, 0] for part in (self.columns, self.departures))
        residual = self.fitted(data[:, 1] - data[:, 0], columns, departures)[3]
        inside = (self.ppm[self.band] > CHOLINE_PPM[0]) & (self.ppm[self.band] < CHOLINE_PPM[1])
        noise = self.noise.square().sum(1).sqrt()
        return self._peak(residual[:, None, inside], noise[:, None, None]) / highest


@lru_cache(maxsize=4)
def _nuisance(*grid):
    """`nuisance_space` of a grid and a band, kept for the scans that follow."""
    return nuisance_space(*grid, NUISANCE)


def _detrended(spectra, order):
    """Spectra (..., point) less a polynomial of an order through each."""
    if spectra.shape[-1] <= order + 1:
        return spectra
    place = torch.linspace(-1, 1, spectra.shape[-1], dtype=torch.float64)
    powers, _ = torch.linalg.qr(torch.stack([place**power for power in range(order + 1)], 1))
    powers = powers.to(spectra.dtype)
    return spectra - (spectra @ powers) @ powers.T
