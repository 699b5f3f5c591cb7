"""Scans fitted by their basis set and by all ways in which good scans depart from it, for the trust flag.

The basis set at the estimated line shape is fitted to either spectrum by least squares with free concentrations, next
to water's foot and a smooth baseline, once with corrections of width, shift and phase alone ("stiff"), once with every
departure that scanners bring, each as likely as it is. All of it is batched over scans.
"""

import math

import torch

from .. import axes
from ..errors import ModelError
from .band_fit import BandFit

NOISE_PPM = ((-2.5, 0.0), (8.0, 11.0))
"""Where 1H spectra are empty (ppm)."""

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


class Signals:
    """What scans of one kind are fitted with, and where they hold noise alone.

    Args:
        model: TrainedModel.
        basis: BasisSet of the model.
        bandwidth_hz: of the scans as they were read (Hz): beyond it, spectra hold no noise.
        reference: TrustReference of the model's thresholds, whose signals of scanners and of metabolites outside the
            model are fitted too; None for none.

    Attributes:
        fit: BandFit of the model's grid.
        reference: as given.
        band: slice of the points of a spectrum that are fitted.
        ppm: (point,) of a spectrum.
        spacing_hz: of its points (Hz).
        noise_places: (point,) bool masks of where a spectrum holds noise alone.
        basis: (condition, metabolite, time) FIDs, the largest value 1.
        slow, shapes: (time,) and (shape, time) factors by which a FID becomes a departure of it.
        directions, variations, mixtures: of the reference, where there is one; the former two on the time grid.

    Raises:
        ModelError: the reference is not one for this model.
    """

    def __init__(self, model, basis, bandwidth_hz=math.inf, reference=None):
        grid = model.config.input
        self.fit, self.reference = BandFit(grid), reference
        self.band = slice(*grid.band)
        self.spacing_hz = 1 / (grid.points * grid.dwell_s)
        self.ppm = torch.as_tensor(axes.ppm_axis(grid.points, grid.dwell_s, grid.centre_hz))
        self.noise_places = self._noise_places(grid.centre_hz, min(bandwidth_hz, 1 / grid.dwell_s))
        on_grid = basis.keep(model.config.metabolites).resample(grid.dwell_s, grid.points)
        fids = self.fit.shorten(on_grid.fids)
        self.basis = fids / fids.abs().amax()
        self.slow = (self.fit.later_s / SLOW_S).to(torch.complex64)
        turns = [torch.exp(2j * math.pi * hz * self.fit.times) - 1 for hz in BESIDE_HZ]
        early = [torch.exp(-self.fit.later_s / eddy_s).to(torch.complex64) for eddy_s in EDDY_S]
        self.shapes = torch.stack([self.slow, self.slow**2, *turns, *early])
        if reference is not None:
            self._take(reference, model.name)

    def _take(self, reference, name):
        """Keep a reference's FIDs on the time grid."""
        expected = (len(self.basis), self.fit.stored_points)
        varied = reference.variations.shape
        if (varied[0], varied[3]) != expected or varied[1] != self.basis.shape[1]:
            raise ModelError(
                f"trust.json of {name} is of another band or other metabolites than the model: make it anew with "
                "fsl_mrs_dl evaluate --trust."
            )
        self.directions = self.fit.restored(reference.directions.complex_values)
        self.variations = self.fit.restored(reference.variations.complex_values)
        self.mixtures = torch.as_tensor(reference.mixtures.values).double()

    def _noise_places(self, centre_hz, bandwidth_hz):
        """Masks of the points of the spectrum that hold noise alone."""
        within = (self.ppm - axes.REFERENCE_PPM).abs() * centre_hz * 1e-6 < 0.45 * bandwidth_hz
        places = [within & (self.ppm > low) & (self.ppm < high) for low, high in NOISE_PPM]
        if sum(int(place.sum()) for place in places) < 40:
            places = [within & (self.ppm < self.ppm[within][60]), within & (self.ppm > self.ppm[within][-60])]
        return [place for place in places if place.sum() > 8]


class DepartureFit:
    """Least-squares fits of scans, which begin at the network's line parameters.

    Args:
        signals: Signals of this kind of scans.
        seen: `predict.Seen`, what the network was given and said.

    Attributes:
        spectra, data: (scan, condition, point) of the scans, and (scan, condition, bin) of the band, cleared.
        noise: (scan, condition) standard deviation of the complex noise.
        fractions: (scan, metabolite) concentrations by the network.
        line: as of `Seen`, corrected.
        first_points: (scan, condition) magnitude of the first point that the fractions make.
        columns: (scan, condition, column, bin) spectra of the fits.
        stiff, free: `band_fit.Solution` without and with departures.
        amplitude: (scan,) factor from the network's fractions to amounts.
        variance: (scan, condition) of noise and model error in every real number of the data.
    """

    def __init__(self, signals, seen):
        self.signals, self.fit = signals, signals.fit
        self.fractions = seen.output.fractions.float()
        self.line = seen.line.clone()
        self.spectra = axes.fid_to_spectrum(seen.fids)
        self.noise = self._noise()
        self.data = self.fit.clear(self.spectra[..., signals.band])
        for _ in range(REFINEMENTS):
            self._correct_line()
        self._fit()

    def _noise(self):
        """Standard deviation of the complex noise of each scan and condition, (scan, condition)."""
        parts = [detrended(self.spectra[..., place], 3).abs() for place in self.signals.noise_places]
        # The median keeps out what single lines or spikes add; 1.2011 brings it to the standard deviation.
        return 1.2011 * torch.cat(parts, -1).median(-1).values.clamp_min(1e-30)

    def _stiff_columns(self, fids, total):
        """Spectra (scan, ..., column, bin) of metabolites, and of phase, width and shift of all of them."""
        slow = self.fit.spectra(torch.cat([fids, (total * self.signals.slow).unsqueeze(-2)], -2))
        single, slow = slow[..., :-1, :], slow[..., -1:, :]
        whole = torch.einsum("bm,b...mf->b...f", self.fractions.to(single.dtype), single).unsqueeze(-2)
        return torch.cat([single, 1j * whole, slow, 1j * slow], -2)

    def _correct_line(self):
        """Gauss-Newton step of phase, Lorentzian width and shift from edit-off, or the only spectrum."""
        fids = self.signals.basis[:1] * self.fit.shape(self.line)[:, None, None]
        total = torch.einsum("bm,bcmp->bcp", self.fractions.to(fids.dtype), fids)
        solved = self.fit.products(self._stiff_columns(fids, total)[:, 0], self.data[:, 0]).solve(self.stiff_count)
        amounts = solved.amounts
        amplitude = self._amplitude(amounts[:, :-STIFF])
        turn, widen, move = torch.nan_to_num(amounts[:, -STIFF:] / amplitude.clamp_min(1e-30)[:, None]).unbind(1)
        self.line[:, 0] = (self.line[:, 0] + (-widen / SLOW_S / math.pi).clamp(-4, 4)).clamp(0, WIDEST_HZ)
        self.line[:, 2] += (move / SLOW_S / (2 * math.pi)).clamp(-3, 3)
        self.line[:, 3] += turn.clamp(-0.5, 0.5)

    @property
    def stiff_count(self):
        """Columns of the stiff fit, the first ones of all: the metabolites and its corrections."""
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
        signals, shape = self.signals, self.fit.shape(self.line)[:, None, None]
        fids = signals.basis * shape
        weighed = fids * self.fractions[:, None, :, None]
        total = weighed.sum(2)
        self.first_points = total[:, :, 0].abs()
        stiff = self._stiff_columns(fids, total)
        shapes = self.fit.spectra(total[:, :, None] * signals.shapes[1:])
        single = self.fit.spectra(weighed * signals.slow)
        parts, usual = [shapes, 1j * shapes, single, 1j * single], [*USUAL, *USUAL_TURNED]
        usual += [USUAL_WIDTH] * single.shape[2] + [USUAL_SHIFT] * single.shape[2]
        usual = torch.tensor([usual] * len(signals.basis), dtype=torch.float64)
        if len(signals.basis) == 2:
            # In edit-off nothing is edited, so there it is held at 0.
            edited = (signals.basis[1] - signals.basis[0]) * shape[:, 0] * self.fractions[..., None]
            edited = self.fit.spectra(edited)[:, None].expand(-1, 2, -1, -1)
            parts.append(edited)
            usual = torch.cat([usual, torch.tensor([[1e-6], [USUAL_EDITING]]).expand(-1, edited.shape[2])], 1)
        if signals.reference is not None:
            varied = signals.variations * shape.unsqueeze(-2) * self.fractions[:, None, :, None, None]
            parts.append(self.fit.spectra(varied.flatten(2, 3)))
            usual = torch.cat([usual, torch.ones(len(usual), parts[-1].shape[2])], 1)
        return torch.cat([stiff, *parts], 2), torch.cat([torch.tensor([USUAL_STIFF] * len(usual)), usual], 1)

    def _fit(self):
        """Fit both spectra, stiff and with all departures; what is further tried stands behind their columns."""
        columns, usual = self._columns()
        self.columns, count = columns, columns.shape[2]
        if self.signals.reference is not None:
            shape = self.fit.shape(self.line)[:, None, None]
            columns = torch.cat([columns, self.fit.spectra(self.signals.directions * shape)], 2)
        products = self.fit.products(columns, self.data)
        self.stiff = products.solve(self.stiff_count)
        names = self.fractions.shape[1]
        self.amplitude = self._amplitude(self.stiff.amounts[:, 0, :names]).clamp_min(1e-30)
        # The variance of noise and model error in every real number of the data.
        self.variance = self.noise.double() ** 2 / 2 + MODEL_ERROR**2 * products.energy / (2 * self.data.shape[-1])
        held = self.variance[..., None] / (self.amplitude[:, None, None] * usual).square()
        free = torch.zeros(*held.shape[:2], names, dtype=held.dtype)
        self.free = products.solve(count, torch.cat([free, held], 2))

    def model(self, solution):
        """(scan, condition, bin) spectra of a Solution's columns, cleared."""
        amounts = solution.amounts.to(self.columns.dtype)
        return self.fit.clear((amounts[..., None, :] @ self.columns[:, :, : amounts.shape[-1]])[..., 0, :])


def detrended(spectra, order):
    """Spectra (..., point) less a polynomial of an order through each."""
    if spectra.shape[-1] <= order + 1:
        return spectra
    place = torch.linspace(-1, 1, spectra.shape[-1], dtype=torch.float64)
    powers, _ = torch.linalg.qr(torch.stack([place**power for power in range(order + 1)], 1))
    powers = powers.to(spectra.dtype)
    return spectra - (spectra @ powers) @ powers.T
