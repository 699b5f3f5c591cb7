"""Numbers that tell a scan which a model can be trusted with from one that it cannot: small ones are good.

A network's estimate is compared with the scan itself. The basis set at the estimated line shape is fitted to either
spectrum by least squares with free concentrations, next to water's foot and a smooth baseline, once with corrections of
width, shift and phase alone ("stiff"), once with every departure that scanners bring, each as likely as it is. What
remains is compared with the noise at places that hold no signal, and with signals of metabolites outside the model.
All of it is batched over scans.
"""

import math

import numpy as np
import torch

from .. import axes
from ..errors import ModelError
from ..model.output import LINE_PARAMETERS
from ..model.thresholds import FOREIGN
from .band_fit import BandFit
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

STIFF = 3
"""Corrections of the stiff fit: phase, width, shift."""

MODEL_ERROR = 0.005
"""Root mean square by which any fit of a good scan misses it, relative to the scan."""


USUAL_STIFF = (0.2, 0.5, 0.5)
"""How large departures are, one standard deviation relative to the scan: what is left of phase, width and shift."""

USUAL = (0.3, *[0.15] * len(BESIDE_HZ), *[0.15] * len(EDDY_S))
USUAL_TURNED = (0.1, *[0.08] * len(BESIDE_HZ), *[0.4] * len(EDDY_S))
"""The same of Gaussian width, asymmetry and eddy currents: of their real parts, and turned by 90 degrees."""

USUAL_WIDTH, USUAL_SHIFT, USUAL_EDITING = 0.4, 0.6, 0.3
"""The same of single metabolites: width and shift (1 is 3.2 and 1.6 Hz), and the strength of editing."""


class Checks:
    """The checks of scans of one kind with one model.

    Args:
        model: TrainedModel.
        basis: BasisSet of the model.
        bandwidth_hz: of the scans as they were read (Hz): beyond it, spectra hold no noise.
        reference: TrustReference of the model's thresholds; None leaves out the checks that need one.

    Raises:
        ModelError: the reference is not one for this model.
    """

    def __init__(self, model, basis, bandwidth_hz=math.inf, reference=None):
        grid = model.config.input
        self.model, self.fit, self.reference = model, BandFit(grid), reference
        self.band = slice(*grid.band)
        self.spacing_hz = 1 / (grid.points * grid.dwell_s)
        self.ppm = torch.as_tensor(axes.ppm_axis(grid.points, grid.dwell_s, grid.centre_hz))
        self.bandwidth_hz = min(bandwidth_hz, 1 / grid.dwell_s)
        self.noise_places = self._noise_places(grid.centre_hz)
        on_grid = basis.keep(model.config.metabolites).resample(grid.dwell_s, grid.points)
        fids = self.fit.shorten(on_grid.fids)
        self.unit = fids.abs().amax()
        self.basis = fids / self.unit
        self.slow = (self.fit.later_s / SLOW_S).to(torch.complex64)
        turns = [torch.exp(2j * math.pi * hz * self.fit.times) - 1 for hz in BESIDE_HZ]
        early = [torch.exp(-self.fit.later_s / eddy_s).to(torch.complex64) for eddy_s in EDDY_S]
        self.shapes = torch.stack([self.slow, self.slow**2, *turns, *early])
        if reference is not None:
            self._take(reference)

    def _take(self, reference):
        """Keep a reference's FIDs on the time grid."""
        expected = (len(self.basis), self.fit.stored_points)
        varied = reference.variations.shape
        if (varied[0], varied[3]) != expected or varied[1] != self.basis.shape[1]:
            raise ModelError(
                f"trust.json of {self.model.name} is of another band or other metabolites than the model: make it anew "
                "with fsl_mrs_dl evaluate --trust."
            )
        self.directions = self.fit.restored(reference.directions.complex_values)
        self.variations = self.fit.restored(reference.variations.complex_values)
        self.mixtures = torch.as_tensor(reference.mixtures.values).double()

    def _noise_places(self, centre_hz):
        """Masks of the points of the spectrum that hold noise alone."""
        within = (self.ppm - axes.REFERENCE_PPM).abs() * centre_hz * 1e-6 < 0.45 * self.bandwidth_hz
        places = [within & (self.ppm > low) & (self.ppm < high) for low, high in NOISE_PPM]
        if sum(int(place.sum()) for place in places) < 40:
            places = [within & (self.ppm < self.ppm[within][60]), within & (self.ppm > self.ppm[within][-60])]
        return [place for place in places if place.sum() > 8]

    def __call__(self, seen):
        """The checks of prepared scans.

        Args:
            seen: `predict.Seen`, what the network was given and said.

        Returns:
            Dict of check -> (scan,) float64. Which there are depends on model, conditions and reference only.
        """
        with torch.inference_mode():
            found = self._line_checks(seen.line)
            if seen.output.spread is not None:
                found["expected error"] = seen.output.spread.exp().mean(1)
            if self.reference is not None and seen.output.features is not None:
                found["latent"] = self._latent(seen.output.features)
            found |= _Comparison(self, seen).checks()
            return {name: values.double().numpy() for name, values in found.items()}

    def _line_checks(self, line):
        """How far estimated shift and phase are from the middle of the training range: 1 at its edges."""
        scale = self.model.config.line
        away = ((line - line.new_tensor(scale.centre)) / line.new_tensor(scale.half_range)).abs()
        places = {"shift": LINE_PARAMETERS.index("shift_hz"), "phase": LINE_PARAMETERS.index("phase_rad")}
        return {name: away[:, place] for name, place in places.items()}

    def _latent(self, features):
        """Mahalanobis distance of features from those of good scans; what lies beside all axes counts as one more."""
        reference = self.reference
        if features.shape[1:] != reference.feature_mean.shape:
            raise ModelError(
                f"trust.json of {self.model.name} is for {reference.feature_mean.shape[0]} features, its network has "
                f"{features.shape[1]}: make it anew with fsl_mrs_dl evaluate --trust."
            )
        axis, sd = torch.as_tensor(reference.feature_axes.values), torch.as_tensor(reference.feature_sd.values)
        apart = features.float() - torch.as_tensor(reference.feature_mean.values)
        along = apart @ axis.T
        beside = (apart - along @ axis).norm(dim=1, keepdim=True)
        return (torch.cat([along, beside], 1) / sd).square().mean(1).sqrt()


class _Comparison:
    """Scans against the basis set at the network's line parameters."""

    def __init__(self, checks, seen):
        self.set, self.fit, self.output = checks, checks.fit, seen.output
        self.fractions = seen.output.fractions.float()
        self.line = seen.line.clone()
        self.spectra = axes.fid_to_spectrum(seen.fids)
        self.noise = self._noise()
        self.data = self.fit.clear(self.spectra[..., checks.band])
        for _ in range(REFINEMENTS):
            self._correct_line()
        self._fit()

    def _noise(self):
        """Standard deviation of the complex noise of each scan and condition, (scan, condition)."""
        parts = [_detrended(self.spectra[..., place], 3).abs() for place in self.set.noise_places]
        # The median keeps out what single lines or spikes add; 1.2011 brings it to the standard deviation.
        return 1.2011 * torch.cat(parts, -1).median(-1).values.clamp_min(1e-30)

    def _stiff_columns(self, fids, total):
        """Spectra (scan, ..., column, bin) of metabolites, and of phase, width and shift of all of them."""
        slow = self.fit.spectra(torch.cat([fids, (total * self.set.slow).unsqueeze(-2)], -2))
        single, slow = slow[..., :-1, :], slow[..., -1:, :]
        whole = torch.einsum("bm,b...mf->b...f", self.fractions.to(single.dtype), single).unsqueeze(-2)
        return torch.cat([single, 1j * whole, slow, 1j * slow], -2)

    def _correct_line(self):
        """Gauss-Newton step of phase, Lorentzian width and shift from edit-off, or the only spectrum."""
        fids = self.set.basis[:1] * self.fit.shape(self.line)[:, None, None]
        total = torch.einsum("bm,bcmp->bcp", self.fractions.to(fids.dtype), fids)
        solved = self.fit.products(self._stiff_columns(fids, total)[:, 0], self.data[:, 0]).solve(self._stiff)
        amounts = solved.amounts
        amplitude = self._amplitude(amounts[:, :-STIFF])
        turn, widen, move = torch.nan_to_num(amounts[:, -STIFF:] / amplitude.clamp_min(1e-30)[:, None]).unbind(1)
        self.line[:, 0] = (self.line[:, 0] + (-widen / SLOW_S / math.pi).clamp(-4, 4)).clamp(0, WIDEST_HZ)
        self.line[:, 2] += (move / SLOW_S / (2 * math.pi)).clamp(-3, 3)
        self.line[:, 3] += turn.clamp(-0.5, 0.5)

    @property
    def _stiff(self):
        return self.fractions.shape[1] + STIFF

    def _amplitude(self, concentrations):
        """Factor (scan,), not negative, that brings the network's fractions to free concentrations."""
        fractions = self.fractions
        return ((concentrations * fractions).sum(1) / fractions.square().sum(1).clamp_min(1e-12)).abs()

    def _columns(self):
        """Spectra (scan, condition, column, bin) that may be in a scan, and how large a share of each is usual.

        First the metabolites and the stiff corrections, then departures: asymmetric lines, eddy currents, every
        metabolite a little wider or beside its place, edited more or less, or of another scanner.

        Returns:
            The spectra, and (condition, departure) standard deviations relative to the scan's amplitude.
        """
        checks, shape = self.set, self.fit.shape(self.line)[:, None, None]
        fids = checks.basis * shape
        weighed = fids * self.fractions[:, None, :, None]
        total = weighed.sum(2)
        self.first_points = total[:, :, 0].abs()
        stiff = self._stiff_columns(fids, total)
        shapes = self.fit.spectra(total[:, :, None] * checks.shapes[1:])
        single = self.fit.spectra(weighed * checks.slow)
        parts, usual = [shapes, 1j * shapes, single, 1j * single], [*USUAL, *USUAL_TURNED]
        usual += [USUAL_WIDTH] * single.shape[2] + [USUAL_SHIFT] * single.shape[2]
        usual = torch.tensor([usual] * len(checks.basis), dtype=torch.float64)
        if len(checks.basis) == 2:
            # In edit-off nothing is edited, so there it is held at 0.
            edited = (checks.basis[1] - checks.basis[0]) * shape[:, 0] * self.fractions[..., None]
            edited = self.fit.spectra(edited)[:, None].expand(-1, 2, -1, -1)
            parts.append(edited)
            usual = torch.cat([usual, torch.tensor([[1e-6], [USUAL_EDITING]]).expand(-1, edited.shape[2])], 1)
        if checks.reference is not None:
            varied = checks.variations * shape.unsqueeze(-2) * self.fractions[:, None, :, None, None]
            parts.append(self.fit.spectra(varied.flatten(2, 3)))
            usual = torch.cat([usual, torch.ones(len(usual), parts[-1].shape[2])], 1)
        return torch.cat([stiff, *parts], 2), torch.cat([torch.tensor([USUAL_STIFF] * len(usual)), usual], 1)

    def _fit(self):
        """Fit both spectra, stiff and with all departures; what is further tried stands behind their columns."""
        columns, usual = self._columns()
        self.columns, count = columns, columns.shape[2]
        if self.set.reference is not None:
            shape = self.fit.shape(self.line)[:, None, None]
            columns = torch.cat([columns, self.fit.spectra(self.set.directions * shape)], 2)
        products = self.fit.products(columns, self.data)
        self.stiff = products.solve(self._stiff)
        names = self.fractions.shape[1]
        self.amplitude = self._amplitude(self.stiff.amounts[:, 0, :names]).clamp_min(1e-30)
        # The variance of noise and model error in every real number of the data.
        self.variance = self.noise.double() ** 2 / 2 + MODEL_ERROR**2 * products.energy / (2 * self.data.shape[-1])
        held = self.variance[..., None] / (self.amplitude[:, None, None] * usual).square()
        free = torch.zeros(*held.shape[:2], names, dtype=held.dtype)
        self.free = products.solve(count, torch.cat([free, held], 2))

    def _model(self, solution):
        """(scan, condition, bin) spectra of a Solution's columns, cleared."""
        amounts = solution.amounts.to(self.columns.dtype)
        return self.fit.clear((amounts[..., None, :] @ self.columns[:, :, : amounts.shape[-1]])[..., 0, :])

    def checks(self):
        """Dict of check -> (scan,) tensor."""
        data, models = self.data, self._model(self.free)
        residuals = data - models
        strength = models.abs().square().mean((1, 2)).sqrt().clamp_min(1e-30)
        highest = models.abs().amax((1, 2)).clamp_min(1e-30)
        noise = self.noise.square().mean(1).sqrt()
        first = (self.amplitude * self.first_points[:, 0]).clamp_min(1e-30)
        found = {
            "width": self._width(),
            "noise": noise / first,
            "signal": noise / highest,
            "residual": self._excess(residuals, strength),
            "peak": self._peak(residuals, self.noise[..., None]) / highest,
            "line": self._line(residuals, models),
            "lipid": self._lipid() / highest,
            "baseline": (self.spectra[..., self.set.band] - data).abs().square().mean((1, 2)).sqrt() / strength,
            "water": self._water() / highest,
            "disagreement": 1 - self._agreement(),
        }
        if self.output.clean is not None and not self.set.model.config.input.resample_bins:
            found["reconstruction"] = self._reconstruction(data, strength)
        if data.shape[1] == 2:
            found["editing"] = self._editing()
            found["subtraction"] = self._subtraction(highest)
        return found | (self._foreign() if self.set.reference is not None else {})

    def _agreement(self):
        """Cosine between free concentrations and the network's, weighted by how much of the signal each makes."""
        names = self.fractions.shape[1]
        weight = self.columns[:, 0, :names].abs().square().mean(-1).sqrt()
        one, other = self.stiff.amounts[:, 0, :names] * weight, self.fractions * weight
        return torch.nn.functional.cosine_similarity(one, other.double(), dim=1)

    def _width(self):
        """Linewidth (Hz) by the network, corrected by the least-squares fit, relative to the widest in training."""
        scale = self.set.model.config.line
        high = [centre + half for centre, half in zip(scale.centre, scale.half_range)]
        found = voigt_fwhm_hz(self.line[:, 0].clamp_min(0).numpy(), self.line[:, 1].clamp_min(0).numpy())
        return torch.as_tensor(found) / float(voigt_fwhm_hz(np.float64(high[0]), np.float64(high[1])))

    def _excess(self, residuals, strength):
        """Root mean square of residuals beyond the noise, relative to the fit's."""
        beyond = residuals.abs().square().mean(2) - self.noise.square()
        return beyond.clamp_min(0).mean(1).sqrt() / strength

    def _peak(self, residuals, noise):
        """Largest residual (scan,) averaged over `PEAK_HZ`, beyond what noise alone would show."""
        width = max(int(PEAK_HZ / self.set.spacing_hz), 1)
        if residuals.shape[-1] < width:
            # Another nucleus, or a narrow band, may have nothing there.
            return torch.zeros(len(residuals))
        beyond = residuals.abs().square() - (1 + 3 / math.sqrt(width)) * noise.square()
        power = torch.nn.functional.avg_pool1d(beyond, width, 1)
        return power.clamp_min(0).amax((1, 2)).sqrt()

    def _line(self, residuals, models):
        """Largest residual beyond the noise relative to the fit around it: a line where the model has none."""
        width = max(int(PEAK_HZ / self.set.spacing_hz), 1)
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
        return spectra[..., (self.set.ppm > ppm[0]) & (self.set.ppm < ppm[1])]

    def _reconstruction(self, data, strength):
        """Distance of the scan from the network's own reconstruction, beyond the noise, relative to the fit."""
        scale = self.spectra[:, 0, self.set.band].abs().amax(1)
        clean = torch.view_as_complex(self.output.clean.unflatten(1, (-1, 2)).movedim(2, -1).contiguous())
        return self._excess(data - self.fit.clear(clean * scale[:, None, None]), strength)

    def _editing(self):
        """How far concentrations of edit-on alone are from making the spectrum that those of edit-off alone make."""
        names, amounts = self.fractions.shape[1], self.stiff.amounts
        apart = (amounts[:, 0, :names] - amounts[:, 1, :names]).to(self.columns.dtype)
        errors = self.fit.clear(torch.einsum("bm,bcmf->bcf", apart, self.columns[:, :, :names]))
        power = errors.abs().square().mean(2).sum(1)
        return (power / self._model(self.stiff).abs().square().mean(2).sum(1).clamp_min(1e-30)).sqrt()

    def _subtraction(self, highest):
        """Largest residual of the difference where creatine and choline cancel, relative to the highest peak."""
        apart = self.columns[:, 1, : self._stiff] - self.columns[:, 0, : self._stiff]
        data = self.data[:, 1] - self.data[:, 0]
        amounts = self.fit.products(apart, data).solve(self._stiff).amounts.to(apart.dtype)
        residual = data - self.fit.clear((amounts[:, None] @ apart)[:, 0])
        ppm = self.set.ppm[self.set.band]
        inside = (ppm > CHOLINE_PPM[0]) & (ppm < CHOLINE_PPM[1])
        noise = self.noise.square().sum(1).sqrt()
        return self._peak(residual[:, None, inside], noise[:, None, None]) / highest

    def _foreign(self):
        """How well a signal of each metabolite outside the model would explain what is left, and the largest of them.

        The matched filter of the residual, against noise and all departures: its cosine with the signal of one
        metabolite on the scanner that suits best, over both spectra.
        """
        residual, own = self.free.further()
        weight = 1 / self.variance
        residual = torch.einsum("bcd,bc->bd", residual, weight)
        own = torch.einsum("bcde,bc->bde", own, weight)
        left = (self.free.left * weight).sum(1)
        mixtures = self.set.mixtures
        found = torch.einsum("fsd,bd->bfs", mixtures, residual)
        size = torch.einsum("fsd,bde,fse->bfs", mixtures, own, mixtures).clamp_min(1e-12 * left[:, None, None])
        cosine, scanner = (found / (size * left[:, None, None]).sqrt()).max(2)
        amounts = (found / size).gather(2, scanner[..., None])[..., 0]
        largest = self.amplitude * self.fractions.amax(1)
        checks = {FOREIGN + name: cosine[:, place] for place, name in enumerate(self.set.reference.foreign)}
        return checks | {"foreign amount": amounts.amax(1) / largest}


def _detrended(spectra, order):
    """Spectra (..., point) less a polynomial of an order through each."""
    if spectra.shape[-1] <= order + 1:
        return spectra
    place = torch.linspace(-1, 1, spectra.shape[-1], dtype=torch.float64)
    powers, _ = torch.linalg.qr(torch.stack([place**power for power in range(order + 1)], 1))
    powers = powers.to(spectra.dtype)
    return spectra - (spectra @ powers) @ powers.T
