"""The result of the algorithm 'dl': FSL-MRS's own result class, told where its values come from."""

import html

import numpy as np
import pandas
from fsl_mrs import models
from fsl_mrs.utils.results import FitRes

from ..fit.physics import with_model_errors
from ..fit.voigt import GAUSS_HZ_PER_SIGMA, linear_fit, voigt_fwhm_hz

METHOD = "dl"

CITATION = (
    "Ma Z, Shermer SM, Karakuş O, Langbein FC. The Sim-to-Real Gap in MRS Quantification: A Systematic Deep Learning "
    "Validation for GABA. arXiv:2602.20289 (2026)."
)

_HIGHEST_PERCENT = 999.0  # as FSL-MRS and LCModel cap relative standard deviations


class DlFitRes(FitRes):
    """FitRes of a network's estimate.

    Args:
        mrs: MRS object.
        vector: (parameter,) complete parameter vector of FSL-MRS's model.
        model: name of that model, such as voigt.
        metab_groups: group of each metabolite.
        baseline: FSL-MRS's Baseline object.
        ppmlim: range of the fit (ppm).
        record: ModelRecord of the network.
        notes: what there is to say about the estimate, in words.
        covariance: (metabolite, metabolite) of the concentrations in raw units, as the network's calibration has it;
            NaN for a metabolite of unknown errors; None where there is none.
        trust: Trust of the spectrum.
    """

    def __init__(
        self, mrs, vector, model, metab_groups, baseline, ppmlim, record, notes=(), covariance=None, trust=None
    ):
        self.dl_model, self.dl_notes, self.dl_covariance, self.dl_trust = record, tuple(notes), covariance, trust
        super().__init__(mrs, vector, model, METHOD, metab_groups, baseline, ppmlim)

    def to_file(self, filename, what="concentrations"):
        """Write a table as FSL-MRS does; qc.csv gets the trust flag in two more columns, behind FSL-MRS's own."""
        super().to_file(filename, what)
        if what == "qc" and self.dl_trust is not None:
            table = pandas.read_csv(filename, float_precision="round_trip")
            table["Trust score"], table["Trust"] = self.dl_trust.score, self.dl_trust.level
            table.to_csv(filename, index=False, header=True)

    @property
    def cov(self):
        """Covariances of the parameters: those of concentrations of the network, all others Cramer-Rao bounds."""
        if self.dl_covariance is None:
            return self._cov
        count, found = len(self.dl_covariance), self._cov.copy()
        found[:count, count:], found[count:, :count] = 0, 0
        found[:count, :count] = with_model_errors(found[:count, :count], self.dl_covariance)
        return found

    def getUncertainties(self, type="percentage", metab=None):
        """Standard deviations of concentrations, see `cov`, in the form of those of a Newton fit.

        Args:
            type: percentage, raw, internal, molarity or molality.
            metab: metabolite or combination, or a list of them; all where None.

        Returns:
            A number for a single name, else an array.
        """
        wanted = self.metabs if metab is None else np.atleast_1d(metab)
        sds = np.sqrt(self.crlb[[self.params_names_inc_comb.index(name) for name in wanted]])
        kind = type.lower()
        if kind == "percentage":
            with np.errstate(divide="ignore", invalid="ignore"):
                percent = sds / self.fitResults[list(wanted)].mean().to_numpy() * 100
            sds = np.where(np.isnan(percent), _HIGHEST_PERCENT, np.minimum(percent, _HIGHEST_PERCENT))
        elif kind == "internal":
            sds = np.sqrt(sds**2 + self._reference_variance()) * self.concScalings["internal"]
        elif kind in ("molarity", "molality"):
            sds = sds * self.concScalings[kind]
        elif kind != "raw":
            raise ValueError(f"type must be percentage, raw, internal, molarity or molality, not {type!r}.")
        return sds[0] if isinstance(metab, str) else sds

    def _reference_variance(self):
        """Variance of the sum of the internal reference's concentrations."""
        members = [self.params_names.index(name) for name in self.referenceMetab]
        return self.cov[np.ix_(members, members)].sum()


def complete_vector(mrs, relative, line, model, groups, baseline, ppmlim):
    """FSL-MRS's parameter vector at a network's estimate, with scale and baseline by linear least squares.

    Every group of metabolites gets the same line parameters, since a network estimates one set. A Lorentzian
    model gets the Lorentzian line that is as wide as the Voigt line.

    Args:
        mrs: MRS object.
        relative: (metabolite,) concentrations in the units of the property `basis`, up to one factor.
        line: [gamma, sigma, eps, Phi0, Phi1], see `fit.physics.nonlinear_parameters`.
        model: name of FSL-MRS's model.
        groups: group of each metabolite.
        baseline: FSL-MRS's Baseline object.
        ppmlim: range of the fit (ppm).

    Returns:
        (parameter,) float64.
    """
    regressors = baseline.regressor
    count = max(groups) + 1
    gamma, sigma, eps, *phases = line
    if "lorentzian" in model:
        widths = [np.pi * voigt_fwhm_hz(gamma / np.pi, sigma * GAUSS_HZ_PER_SIGMA)] * count
    else:
        widths = [gamma] * count + [sigma] * count
    middle = [*widths, *[eps] * (len(relative) if "free_shift" in model else count), *phases]
    weights = np.zeros(regressors.shape[1])

    forward = models.getModelForward(model)
    axes = (mrs.frequencyAxis, mrs.timeAxis, mrs.basis)
    shape = forward(np.concatenate([relative, middle, weights]), *axes, regressors, groups, count)
    window = slice(*mrs.ppmlim_to_range(ppmlim))
    columns, penalty = regressors[window], None
    if baseline.disabled:
        columns = columns[:, :0]
    elif baseline.mode == "spline":
        penalty = baseline.cov_penalty_term(weights.size) / 2  # FSL-MRS gives the second derivative
    scale, fitted = linear_fit(mrs.get_spec()[window], shape[window], columns, penalty)
    weights[: fitted.size] = fitted
    return np.concatenate([scale * relative, middle, weights])


_BOUNDS = "Uncertainties are Cram&eacute;r-Rao bounds at this estimate. "
_CALIBRATED = (
    "Uncertainties of concentrations, also where they are called CRLB, are not Cram&eacute;r-Rao bounds but standard "
    "deviations of the network's errors, noise included, calibrated on simulated scans. "
)


def _trust_words(trust):
    """What the report says of the trust flag, as a tuple of sentences."""
    return () if trust is None else tuple(filter(None, (f"Trust flag: {trust.text()}.", trust.note)))


def dl_summary(text, result):
    """FSL-MRS's text on methods with what the network did, and what to cite for it.

    Args:
        text: HTML that FSL-MRS wrote.
        result: DlFitRes.
    """
    record = result.dl_model
    weights = f", weights SHA-256 {record.weights_sha256[:16]}" if record.weights_sha256 else ""
    sentence = (
        f"Relative concentrations, broadening, shift and phase are the estimates of the neural network "
        f"'{html.escape(record.name)}' of fsl_mrs_dl{weights} [DL]; no optimiser changed them. "
        "Their common scale and the baseline were then fitted by linear least squares. "
        + (_BOUNDS if result.dl_covariance is None else _CALIBRATED)
    ) + html.escape(" ".join((*result.dl_notes, *_trust_words(result.dl_trust))))
    before, heading, after = text.partition("<p><h3>References</h3>")
    return f"{before}{sentence} {heading}{after}<br/>[DL] {CITATION}"
