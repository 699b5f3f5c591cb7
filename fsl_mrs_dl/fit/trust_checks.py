"""Numbers that tell a scan which a model can be trusted with from one that it cannot: small ones are good.

A network's estimate is compared with the scan itself: what the fits of `departures` leave is compared with the noise at
places that hold no signal, and with signals of metabolites outside the model. All of it is batched over scans.
"""

import math

import numpy as np
import torch

from ..errors import ModelError
from ..model.guarded import GuardedOutput
from ..model.inputs import complex_spectra
from ..model.output import LINE_PARAMETERS
from ..model.thresholds import FOREIGN
from .departures import DepartureFit, Signals, detrended
from .voigt import voigt_fwhm_hz

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
        self.model, self.reference = model, reference
        self.signals = Signals(model, basis, bandwidth_hz, reference)

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
            if isinstance(seen.output, GuardedOutput):
                found["contradiction"] = seen.output.contradiction
            if self.reference is not None and seen.output.features is not None:
                found["latent"] = self._latent(seen.output.features)
            found |= _Comparison(self.model, self.signals, seen).checks()
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


class _Comparison(DepartureFit):
    """What the fits of scans show of them."""

    def __init__(self, model, signals, seen):
        super().__init__(signals, seen)
        self._config, self._output = model.config, seen.output

    def checks(self):
        """Dict of check -> (scan,) tensor."""
        data, models = self.data, self.model(self.free)
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
            "baseline": (self.spectra[..., self.signals.band] - data).abs().square().mean((1, 2)).sqrt() / strength,
            "water": self._water() / highest,
            "disagreement": 1 - self._agreement(),
        }
        if self._output.clean is not None and not self._config.input.resample_bins:
            found["reconstruction"] = self._reconstruction(data, strength)
        if data.shape[1] == 2:
            found["editing"] = self._editing()
            found["subtraction"] = self._subtraction(highest)
        return found | (self._foreign() if self.signals.reference is not None else {})

    def _agreement(self):
        """Cosine between free concentrations and the network's, weighted by how much of the signal each makes."""
        names = self.fractions.shape[1]
        weight = self.columns[:, 0, :names].abs().square().mean(-1).sqrt()
        one, other = self.stiff.amounts[:, 0, :names] * weight, self.fractions * weight
        return torch.nn.functional.cosine_similarity(one, other.double(), dim=1)

    def _width(self):
        """Linewidth (Hz) by the network, corrected by the least-squares fit, relative to the widest in training."""
        scale = self._config.line
        high = [centre + half for centre, half in zip(scale.centre, scale.half_range)]
        found = voigt_fwhm_hz(self.line[:, 0].clamp_min(0).numpy(), self.line[:, 1].clamp_min(0).numpy())
        return torch.as_tensor(found) / float(voigt_fwhm_hz(np.float64(high[0]), np.float64(high[1])))

    def _excess(self, residuals, strength):
        """Root mean square of residuals beyond the noise, relative to the fit's."""
        beyond = residuals.abs().square().mean(2) - self.noise.square()
        return beyond.clamp_min(0).mean(1).sqrt() / strength

    def _peak(self, residuals, noise):
        """Largest residual (scan,) averaged over `PEAK_HZ`, beyond what noise alone would show."""
        width = max(int(PEAK_HZ / self.signals.spacing_hz), 1)
        if residuals.shape[-1] < width:
            # Another nucleus, or a narrow band, may have nothing there.
            return torch.zeros(len(residuals))
        beyond = residuals.abs().square() - (1 + 3 / math.sqrt(width)) * noise.square()
        power = torch.nn.functional.avg_pool1d(beyond, width, 1)
        return power.clamp_min(0).amax((1, 2)).sqrt()

    def _line(self, residuals, models):
        """Largest residual beyond the noise relative to the fit around it: a line where the model has none."""
        width = max(int(PEAK_HZ / self.signals.spacing_hz), 1)
        around = torch.nn.functional.max_pool1d(models.abs(), 2 * width + 1, 1, width)
        floor = LEAST_AROUND * models.abs().amax((1, 2), keepdim=True)
        return self._peak(residuals / (around + floor), self.noise[..., None] / (around + floor))

    def _lipid(self):
        """Largest peak where lipids stand, their wide trend included, beyond the noise."""
        return self._peak(detrended(self._in(self.spectra, LIPID_PPM), 1), self.noise[..., None])

    def _water(self):
        """Height of the highest peak where water stands."""
        inside = self._in(self.spectra, WATER_PPM)
        return inside.abs().amax((1, 2)) if inside.shape[-1] else torch.zeros(len(inside))

    def _in(self, spectra, ppm):
        return spectra[..., (self.signals.ppm > ppm[0]) & (self.signals.ppm < ppm[1])]

    def _reconstruction(self, data, strength):
        """Distance of the scan from the network's own reconstruction, beyond the noise, relative to the fit."""
        scale = self.spectra[:, 0, self.signals.band].abs().amax(1)
        clean = complex_spectra(self._output.clean)
        return self._excess(data - self.fit.clear(clean * scale[:, None, None]), strength)

    def _editing(self):
        """How far concentrations of edit-on alone are from making the spectrum that those of edit-off alone make."""
        names, amounts = self.fractions.shape[1], self.stiff.amounts
        apart = (amounts[:, 0, :names] - amounts[:, 1, :names]).to(self.columns.dtype)
        errors = self.fit.clear(torch.einsum("bm,bcmf->bcf", apart, self.columns[:, :, :names]))
        power = errors.abs().square().mean(2).sum(1)
        return (power / self.model(self.stiff).abs().square().mean(2).sum(1).clamp_min(1e-30)).sqrt()

    def _subtraction(self, highest):
        """Largest residual of the difference where creatine and choline cancel, relative to the highest peak."""
        apart = self.columns[:, 1, : self.stiff_count] - self.columns[:, 0, : self.stiff_count]
        data = self.data[:, 1] - self.data[:, 0]
        amounts = self.fit.products(apart, data).solve(self.stiff_count).amounts.to(apart.dtype)
        residual = data - self.fit.clear((amounts[:, None] @ apart)[:, 0])
        ppm = self.signals.ppm[self.signals.band]
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
        mixtures = self.signals.mixtures
        found = torch.einsum("fsd,bd->bfs", mixtures, residual)
        size = torch.einsum("fsd,bde,fse->bfs", mixtures, own, mixtures).clamp_min(1e-12 * left[:, None, None])
        cosine, scanner = (found / (size * left[:, None, None]).sqrt()).max(2)
        amounts = (found / size).gather(2, scanner[..., None])[..., 0]
        largest = self.amplitude * self.fractions.amax(1)
        checks = {FOREIGN + name: cosine[:, place] for place, name in enumerate(self.signals.reference.foreign)}
        return checks | {"foreign amount": amounts.amax(1) / largest}
