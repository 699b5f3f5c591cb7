"""The outcome of one scan: relative concentrations, a fit of every spectrum, and the folder that holds them."""

import csv
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from .._version import __version__
from ..errors import DataError
from ..folders import whole_folder
from ..model.card import versions
from .basis_grid import on_grid
from .fsl_folder import FolderContent, shown_metabolites, write_fsl_folder
from .physics import fit_voigt
from .quality import measure_quality
from .voigt import PPM_LIMITS

SPECTRA = {"off": "edit_off", "on": "edit_on", "diff": "difference", "single": "single"}
"""Key of a fit -> spectrum of the scan and the basis."""

FOLDERS = ("off", "diff", "single")
"""Fits that get a FSL-MRS folder of that name."""

UNCERTAINTY_HEADINGS = ("sd", "low_68", "high_68", "low_95", "high_95")
"""Columns on the errors of relative_to_largest."""

JOINT_TABLE = "joint_concentrations.csv"
"""Not concentrations.csv, by which fsl_mrs_summarise would take the folder for one of FSL-MRS's."""


@dataclass(frozen=True, eq=False)
class ModelRecord:
    """What a result keeps of the model that made it.

    Attributes:
        name: of the model.
        weights_sha256: of the weights' file.
        card: the model card, a dictionary.
        refine: steps in which its estimates were refined, 0 for none.
        corrected: whether they are corrected for shrinkage.
        shrunk: whether they are not, because that was asked for.
        error_bars: where their error bars come from, in words; empty where there are none.
        bars_refine: steps in which the estimates were refined that these come from.
        adapted: scans of known contents by which they are corrected for a scanner, 0 where they are not.
    """

    name: str
    weights_sha256: str | None = None
    card: dict = field(default_factory=dict)
    refine: int = 0
    corrected: bool = False
    shrunk: bool = False
    error_bars: str = ""
    bars_refine: int = 0
    adapted: int = 0

    @classmethod
    def of(cls, trained):
        """Record of a TrainedModel."""
        bars = () if trained.calibration is None else (trained.calibration.origin, trained.calibration.steps)
        done = trained.steps, trained.corrected, trained.shrunk
        adapted = trained.scanner.scans if trained.adapted else 0
        return cls(trained.name, trained.weights_sha256, dict(trained.card), *done, *bars, adapted=adapted)

    @property
    def settings(self):
        """What was done to the network's estimates other than usual, in words; empty where nothing."""
        steps = f"refined in {self.refine} step{'s' if self.refine > 1 else ''} (--refine {self.refine})"
        done = ((self.refine, steps), (self.shrunk, "left shrunk (--shrunk)"))
        return " and ".join(words for was, words in done if was)


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a network and FSL-MRS's Voigt model say about one scan.

    Attributes:
        scan: Scan as it was read.
        prediction: Prediction of the network.
        fits: VoigtFit of each spectrum, "off", "on" and "diff", or "single".
        qualities: Quality of each fit.
        basis: BasisSet with the metabolites of the prediction, as it was read.
        model: ModelRecord.
        internal_ref: metabolites of the internal reference in FSL-MRS's tables, None for its default where the
            spectrum shows it.
        combine: tuples of metabolites that these tables also add up.
        water: WaterScaling for absolute concentrations, None where there is none.
        trust: Trust, whether the scan is like those that the model is for; None where that was not judged.
        comparison: Comparison with another fit of the scan; None where there is none.
    """

    scan: object
    prediction: object
    fits: dict
    qualities: dict
    basis: object
    model: ModelRecord
    internal_ref: tuple | None = None
    combine: tuple = ()
    water: object | None = None
    trust: object | None = None
    comparison: object | None = None

    def __repr__(self):
        values = zip(self.names, self.concentration_columns()[0])
        values = ", ".join(f"{name} {value:.3f}" for name, value in values if not np.isnan(value))
        trust = "" if self.trust is None else f"; trust: {self.trust.verdict}"
        return f"<Result of {self.scan.name} by {self.model.name}: {values}{trust}>"

    @property
    def names(self):
        """Metabolites, sorted."""
        return self.first_fit.names

    @property
    def first_fit(self):
        """Fit of edit-off, or of the only spectrum: the one that shows all metabolites."""
        return next(iter(self.fits.values()))

    @cached_property
    def concentrations(self):
        """DataFrame, a row for each metabolite.

        Columns: relative_to_largest; relative_to_sum; raw, the amplitude that the basis spectrum as it was read
        has in the data of edit-off (or of the only spectrum). With a water reference also molality (mmol/kg) and
        molarity (mM), from raw. Of a calibrated model also `UNCERTAINTY_HEADINGS`: the standard deviation of
        relative_to_largest and the ends of its 68 % and 95 % intervals. A metabolite that the spectra do not show
        (creatine, where there is a difference alone) has NaN.
        """
        import pandas

        columns = dict(zip(self.concentration_headings, self.concentration_columns())) | self.uncertainty_columns()
        return pandas.DataFrame(columns, index=pandas.Index(self.names, name="metabolite"))

    @property
    def concentration_headings(self):
        """Names of the columns of `concentrations`."""
        absolute = ("molality", "molarity") if self.water is not None else ()
        return ("relative_to_largest", "relative_to_sum", "raw", *absolute)

    @cached_property
    def uncertainty(self):
        """Uncertainty of relative_to_largest, in the order of `names`; None where the model has no calibration."""
        if self.prediction.uncertainty is None:
            return None
        return self.prediction.uncertainty.take(metabolites=self._order)

    def uncertainty_columns(self):
        """Columns of `concentrations` on errors, by name: each (metabolite,); none without a calibration."""
        if self.uncertainty is None:
            return {}
        ends = (self.uncertainty.interval68.T, self.uncertainty.interval95.T)
        return dict(zip(UNCERTAINTY_HEADINGS, (self.uncertainty.sd, *ends[0], *ends[1])))

    @property
    def _order(self):
        """Numbers of the sorted metabolites in the prediction."""
        return [self.prediction.names.index(name) for name in self.names]

    def concentration_columns(self):
        """Columns of `concentrations`, each (metabolite,); NaN of what the spectra do not show."""
        hidden = [name not in self.basis.shown for name in self.names]
        relative, raw = (
            np.ma.masked_array(values, hidden)
            for values in (self.prediction.concentrations[self._order], self.first_fit.amplitudes)
        )
        absolute = () if self.water is None else (raw * self.water.molality, raw * self.water.molarity)
        columns = relative / relative.max(), relative / relative.sum(), raw, *absolute
        return tuple(column.filled(np.nan) for column in columns)

    @cached_property
    def predicted(self):
        """(condition, point) model FIDs of the scan's conditions, baseline included, in the scan's amplitude."""
        return np.array([self.fits[key].predicted for key, name in SPECTRA.items() if name in self.scan.conditions])

    @property
    def residual(self):
        """(condition, point) FIDs of the scan less the model."""
        return self.scan.fids - self.predicted

    @cached_property
    def record(self):
        """What options.txt states about the origin of the values."""
        return {
            "dl_model": self.model.name,
            "dl_weights_sha256": self.model.weights_sha256,
            "dl_refine": self.model.refine,
            "dl_corrected": self.model.corrected,
            "dl_adapted": self.model.adapted,
            "dl_basis_fingerprint": self.basis.fingerprint(),
            "dl_versions": {"fsl_mrs_dl": __version__, **versions()},
        }

    def save(self, folder, report=False, overwrite=False):
        """Write the results, whole or not at all.

        Args:
            folder: to make. It gets joint_concentrations.csv, report.html if wanted, the table of a comparison if
                there is one, and a folder as FSL-MRS writes it for each of off and diff, or for single.
            report: whether to write report.html.
            overwrite: whether an existing folder is replaced.

        Returns:
            Path of the folder.

        Raises:
            OutputError: the folder exists, or cannot be written.
        """
        with whole_folder(folder, overwrite) as part:
            self.write(part, report)
        return Path(folder)

    def write(self, folder, report=False):
        """Write what `save` writes into an empty folder that exists already, at its final depth."""
        self._write_joint_table(folder / JOINT_TABLE)
        for key, content in self.contents.items():
            write_fsl_folder(folder / key, content)
        if self.comparison is not None:
            self.comparison.write(folder, self)
        if report:
            from .report import write_report

            write_report(folder / "report.html", self)

    @cached_property
    def contents(self):
        """FolderContent of each spectrum that gets a folder."""
        made = {}
        for key in (key for key in FOLDERS if key in self.fits):
            made[key] = FolderContent(
                fit=self._tabled(self.fits[key]), quality=self.qualities[key], spectrum=SPECTRA[key], scan=self.scan,
                basis=self.basis, internal_ref=self._reference_in(self.fits[key]), combine=self.combine,
                record=self.record,
                water=self.water, bound=None if self.uncertainty is None else self.fits[key],
                trust=self.trust,
            )  # fmt: skip
        return made

    def _tabled(self, fit):
        """The fit with the standard deviations that go into FSL-MRS's tables."""
        return fit if self.uncertainty is None else fit.calibrated(self.uncertainty.covariance)

    def _reference_in(self, fit):
        """The internal reference asked for, unless it cannot be seen in a difference spectrum."""
        if self.internal_ref is None:
            return None
        seen = fit is self.first_fit or set(self.internal_ref) & set(shown_metabolites(fit))
        return self.internal_ref if seen else None

    def _write_joint_table(self, path):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            errors = self.uncertainty_columns()
            writer.writerow(["metabolite", *self.concentration_headings, *errors])
            columns = (*self.concentration_columns(), *errors.values())
            writer.writerows([name, *cells(row)] for name, *row in zip(self.names, *columns))


def cells(values):
    """Numbers as a table in a file holds them: an empty cell where there is none (None or NaN)."""
    return ["" if value is None or np.isnan(value) else float(value) for value in values]


def make_result(scan, basis, prediction, model, internal_ref=None, combine=(), ppm_limits=PPM_LIMITS, trust=None):
    """Fit the spectra of a scan at a network's estimate.

    Args:
        scan: Scan as it was read, to which the prediction refers.
        basis: BasisSet with the scan's conditions and at least the metabolites of the prediction.
        prediction: Prediction.
        model: TrainedModel, or ModelRecord.
        internal_ref, combine: as `Result`.
        ppm_limits: range of the fit (ppm).
        trust: as `Result`.

    Returns:
        Result.

    Raises:
        DataError: scan and basis do not have the same conditions, or the scan cannot be fitted.
        BasisError: the basis lacks a metabolite or ends too early.
    """
    if scan.conditions != basis.conditions:
        raise DataError(
            f"{scan.name} holds {', '.join(scan.conditions)}, the basis {', '.join(basis.conditions)}: use the basis "
            "set of the scan's sequence."
        )
    model = model if isinstance(model, ModelRecord) else ModelRecord.of(model)
    resampled = on_grid(basis.keep(prediction.names), scan)
    fits = {}
    for key, name in SPECTRA.items():
        if name in scan.conditions or (name == "difference" and len(scan.conditions) == 2):
            fid = scan.fids[1] - scan.fids[0] if name == "difference" else scan.fids[scan.conditions.index(name)]
            fits[key] = fit_voigt(
                fid, resampled.spectrum(name), prediction, scan.dwell_s, scan.centre_hz, basis.centre_hz, ppm_limits
            )
    qualities = {key: measure_quality(fit) for key, fit in fits.items()}
    result = Result(scan, prediction, fits, qualities, basis, model, internal_ref, tuple(combine), trust=trust)
    # Made now, so that wrong names among the options show before anything is written.
    _ = result.contents
    return result
