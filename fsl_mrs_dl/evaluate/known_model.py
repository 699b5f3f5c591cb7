"""A scan of known contents rebuilt from contents and basis set, with more and more freedom.

The basis set is cut into its multiplets g. The model of condition c is::

    FID_c(t) = sum_g contents_g basis_cg(t) exp(sum_p theta_p factor_p mask_pcg shape_p(t)) + baseline_c

so that every ingredient of a scan that the plain simulation lacks is a set of terms p: a shift has the factor 2 pi i
and the shape t, a phase i and 1, a width -pi and t. Terms are found by nonlinear least squares; the baseline is
linear, and projected out of data and model.
"""

import numpy as np
from scipy.interpolate import BSpline
from scipy.optimize import least_squares

from .. import axes
from ..errors import DataError
from ..fit.quality import noise_points
from ..fit.scan import resample_scan
from ..synth.dataset import GRID_DWELL_S, GRID_POINTS
from ..synth.priors import PUBLISHED
from .known_terms import make_terms, multiplets

BAND_PPM = (1.0, 4.5)
"""Where scan and model are compared (ppm): what the networks see."""

_KNOTS_PPM = 0.4
_LEAST_NOISE_POINTS = 20
_TOLERANCE = 1e-3
_MOST_GROWTH = 5.0  # of a FID beyond its scale, as an exponent: a step too far of the search must not overflow
_LEAST_NOISE = 1e-9


class KnownModel:
    """Data, basis and terms of one scan, on the networks' time grid.

    Args:
        scan: Scan.
        basis: BasisSet with its conditions.

    Attributes:
        scan: on that grid.
        band: slice of the points of a spectrum that are compared.
        ppm: (band,) their chemical shifts.
        data: (condition, band) complex spectra.
        sigma: (condition,) standard deviation of the noise of a real or imaginary part.
        terms: Terms.

    Raises:
        DataError: the scan is of another field strength or other conditions, or has no room to measure its noise in.
    """

    def __init__(self, scan, basis):
        if scan.conditions != basis.conditions:
            raise DataError(
                f"{scan.name} holds {', '.join(scan.conditions)}, the basis set {', '.join(basis.conditions)}: "
                "take a basis set of the scan's kind."
            )
        self.scan = resample_scan(scan, GRID_DWELL_S, GRID_POINTS, basis.centre_hz)
        ppm = axes.ppm_axis(GRID_POINTS, GRID_DWELL_S, basis.centre_hz)
        self.band = slice(*np.searchsorted(ppm, BAND_PPM))
        self.ppm = ppm[self.band]
        self.data = axes.spectrum_points(self.scan.fids, self.band)
        self.sigma = _noise_sds(scan)
        self._fids, self._owner = multiplets(basis.resample(GRID_DWELL_S, GRID_POINTS).fids, ppm, self.band)
        plain = max(PUBLISHED.lorentz_hz[0] - basis.linewidth_hz, 0.0)
        self.terms = make_terms(*self._fids.shape[:2], axes.time_axis(GRID_POINTS, GRID_DWELL_S), plain)
        self._baseline = _baseline_columns(self.ppm)

    def _signals(self, contents, theta):
        """FIDs (condition, multiplet, point) of the contents (metabolite,) at the terms' values (term,)."""
        terms = self.terms
        weights = np.zeros((*terms.mask.shape[1:], len(terms.shapes)), complex)
        for index in range(len(terms.shapes)):
            chosen = terms.shape == index
            weights[..., index] = np.tensordot(theta[chosen] * terms.factor[chosen], terms.mask[chosen], 1)
        exponent = weights @ terms.shapes
        np.minimum(exponent.real, theta[0] + _MOST_GROWTH, out=exponent.real)
        return contents[self._owner, None] * self._fids * np.exp(exponent)

    def fids(self, contents, theta):
        """FIDs (condition, point) of the contents (metabolite,) at the terms' values (term,), without baseline."""
        return self._signals(contents, theta).sum(1)

    def start(self, contents):
        """Values (term,) of the plain simulation of these contents, with a scale near the one that the data ask for."""
        theta = self.terms.start.copy()
        model = axes.spectrum_points(self.fids(contents, theta), self.band)
        theta[0] = np.log(np.linalg.norm(self.data) / np.linalg.norm(model))
        return theta

    def fit(self, contents, theta, ingredients):
        """Values (term,) of the terms of some ingredients by least squares; the others stay as they are.

        Args:
            contents: (metabolite,), in any unit.
            theta: (term,) where to start.
            ingredients: names, see `known_terms.INGREDIENTS`.
        """
        terms = self.terms
        free = np.flatnonzero(np.isin(terms.ingredients, ("scale", *ingredients)))
        columns = self._baseline if "baseline" in ingredients else self._baseline[:, :0]
        spread, centre = terms.spread[free], terms.start[free]
        moved = theta.copy()

        def residual(values):
            """Rows of model less data, and of the prior, at values (free,) of the terms."""
            moved[free] = values
            model = axes.spectrum_points(self.fids(contents, moved), self.band)
            return np.concatenate([self._rows(model - self.data, columns), (values - centre) / spread])

        def jacobian(values):
            """Derivatives (row, free) of these rows."""
            moved[free] = values
            slopes = self._slopes(self._signals(contents, moved), free)
            return np.concatenate([self._rows(slopes, columns).T, np.diag(1 / spread)])

        found = least_squares(residual, theta[free], jacobian, method="lm", ftol=_TOLERANCE, xtol=_TOLERANCE)
        moved[free] = found.x
        return moved

    def _slopes(self, signals, free):
        """Derivatives (free, condition, band) of the spectra with respect to terms."""
        terms = self.terms
        # All terms of a metabolite or multiplet have the first two shapes; the others need the sum of all signals only.
        of_each = axes.spectrum_points(np.stack([signals, signals * terms.shapes[1]]), self.band)
        of_all = axes.spectrum_points(signals.sum(1) * terms.shapes[2:, None], self.band)
        slopes = np.empty((len(free), *self.data.shape), complex)
        for index in range(len(terms.shapes)):
            rows = terms.shape[free] == index
            if index < 2:
                slopes[rows] = np.moveaxis(np.moveaxis(terms.mask[free[rows]], 1, 0) @ of_each[index], 1, 0)
            else:
                slopes[rows] = of_all[index - 2]
        return slopes * terms.factor[free, None, None]

    def spectra(self, contents, theta, with_baseline):
        """Model spectra (condition, band) at the terms' values, and the baseline (condition, band) in them."""
        model = axes.spectrum_points(self.fids(contents, theta), self.band)
        columns = self._baseline if with_baseline else self._baseline[:, :0]
        baseline = (self.data - model) @ columns @ columns.T
        return model + baseline, baseline

    def _rows(self, spectra, columns):
        """Real rows (..., row) of spectra (..., condition, band), in units of the noise, less what columns explain."""
        rest = (spectra - spectra @ columns @ columns.T) / self.sigma[:, None]
        return np.concatenate([rest.real, rest.imag], -1).reshape(*spectra.shape[:-2], -1)


def _noise_sds(scan):
    """Standard deviation (condition,) of real and imaginary noise of the scan's spectra, on the grid of the model."""
    ppm = axes.ppm_axis(scan.points, scan.dwell_s, scan.centre_hz)
    spectra = axes.fid_to_spectrum(scan.fids)
    masks = [noise_points(spectrum.real, ppm) for spectrum in spectra]
    if min(mask.sum() for mask in masks) < _LEAST_NOISE_POINTS:
        raise DataError(f"{scan.name}: no part of the spectrum is free of signal; its noise must be known to compare.")
    found = np.array([_spread(spectrum.real, mask) for spectrum, mask in zip(spectra, masks)])
    if not (found > _LEAST_NOISE * np.abs(spectra).max(-1)).all():
        raise DataError(f"{scan.name} has no noise at all; scans are compared in units of it: add some.")
    # As `axes.resample` scales white noise: it keeps the density per Hz of the time that both grids share.
    ratio = GRID_DWELL_S / scan.dwell_s
    return found * np.sqrt(min(scan.points, GRID_POINTS * ratio) / GRID_POINTS) / ratio


def _spread(values, mask):
    """Standard deviation of the values (point,) in a mask, less a trend in each run of it (wings of lines)."""
    chosen = np.flatnonzero(mask)
    rest = []
    for run in np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1):
        powers, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, len(run)), min(5, len(run))))
        rest.append(values[run] - (values[run] @ powers) @ powers.T)
    return np.concatenate(rest).std()


def _baseline_columns(ppm):
    """Orthonormal real columns (band, column): cubic splines, and the foot of the water line."""
    inner = np.linspace(ppm[0], ppm[-1], int(np.ptp(ppm) / _KNOTS_PPM) + 1)
    knots = np.concatenate([[ppm[0]] * 3, inner, [ppm[-1]] * 3])
    splines = BSpline.design_matrix(ppm, knots, 3).toarray()
    foot = 1 / (axes.REFERENCE_PPM - ppm)
    columns, _ = np.linalg.qr(np.column_stack([splines, foot, foot**2]))
    return columns
