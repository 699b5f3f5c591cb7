"""The four tables of a FSL-MRS result folder: concentrations, summary, quality, parameters.

Commas, no index column, numbers in full; an undefined value is empty, as pandas writes it.
"""

import csv
from dataclasses import dataclass, field

import numpy as np

HIGHEST_PERCENT = 999.0
"""A percentage standard deviation is never above this, and this where it is undefined (as in LCModel)."""

ALWAYS_COMBINED = ("Cr", "PCr")

_UNITS = {"molality": "mMol/kg", "molarity": "mM"}  # as FSL-MRS's summary.csv has them


@dataclass(frozen=True)
class Scaling:
    """Internal referencing: what raw concentrations are multiplied with.

    Attributes:
        name: of the reference, metabolites joined by "+".
        factor: one over the reference's raw concentration.
        sd: standard deviation of the reference's raw concentration.
    """

    name: str
    factor: float
    sd: float


@dataclass(frozen=True, eq=False)
class WaterScaling:
    """Water referencing: what amplitudes are multiplied with for absolute concentrations.

    The amplitude of a metabolite is that of its basis spectrum as it was read (`VoigtFit.amplitudes`). It means the
    same in every spectrum of a scan, because data and basis are subtracted alike (on - off, no factor 1/2).

    Attributes:
        molality: mmol/kg of tissue water (or water) for an amplitude of 1.
        molarity: mM for an amplitude of 1.
        fid: (point,) water FID that it comes from, on the scan's time grid.
        table: text of quantification_info.csv.
        facts: label -> text about the scaling, for the report.
        options: keys for options.txt.
    """

    molality: float
    molarity: float
    fid: np.ndarray
    table: str = ""
    facts: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)

    def factors(self, fit):
        """Factors from a VoigtFit's raw concentrations to molality and molarity."""
        return {kind: getattr(self, kind) * fit.amplitude_scaling for kind in ("molality", "molarity")}


def internal_scaling(fit, reference):
    """Scaling of a VoigtFit by the sum of some of its metabolites."""
    amount, sd = summed(fit, reference)
    with np.errstate(divide="ignore"):
        return Scaling("+".join(reference), float(np.float64(1.0) / amount), sd)


def summed(fit, names):
    """Raw concentration of a sum of metabolites and its standard deviation, covariances included."""
    chosen = np.isin(fit.parameter_names, names).astype(float)
    return float(chosen @ fit.parameters), float(np.sqrt(chosen @ fit.covariance @ chosen))


def _sds(fit, groups):
    """Standard deviations of sums of metabolites."""
    return [summed(fit, members)[1] for members in groups]


def percent_sd(values, sds):
    """Standard deviations in percent of the values, at most 999, and 999 where that is undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.asarray(sds) / np.asarray(values) * 100
    return np.where(np.isnan(percent), HIGHEST_PERCENT, np.minimum(percent, HIGHEST_PERCENT))


def write_tables(folder, fit, quality, scaling, combine=(), water=None, bound=None, trust=None):
    """Write concentrations.csv, summary.csv, qc.csv and all_parameters.csv; with water quantification_info.csv.

    Args:
        folder: Path that exists.
        fit: VoigtFit, whose standard deviations are written.
        quality: Quality of the same metabolites.
        scaling: Scaling of the column "internal".
        combine: tuples of metabolites to add up; Cr+PCr comes by itself where both are there.
        water: WaterScaling, None for no absolute concentrations.
        bound: the VoigtFit with Cramer-Rao bounds where `fit` is `calibrated`; None where its own are such bounds.
        trust: Trust of the scan, which gives qc.csv two more columns; FSL-MRS reads its own by their names.
    """
    sums = [ALWAYS_COMBINED] if set(ALWAYS_COMBINED) <= set(fit.names) else []
    sums += [names for names in combine if names not in sums]
    names = [*fit.names, *("+".join(members) for members in sums)]
    groups = (*((name,) for name in fit.names), *sums)
    raw, sd = np.array([summed(fit, members) for members in groups]).T
    with np.errstate(invalid="ignore"):
        internal, internal_sd = raw * scaling.factor, np.hypot(sd, scaling.sd) * scaling.factor
    percent = percent_sd(raw, sd)
    measured = {name: pair for name, *pair in zip(quality.names, quality.snr, quality.fwhm_hz)}

    absolute = {} if water is None else water.factors(fit)
    _write(
        folder / "concentrations.csv",
        ["Metabs", *["mean"] * (2 + len(absolute)), *["std"] * (2 + len(absolute))],
        ["", *("raw", "internal", *absolute) * 2],
        *zip(
            names,
            *(raw, internal, *(raw * factor for factor in absolute.values())),
            *(sd, internal_sd, *(sd * factor for factor in absolute.values())),
        ),
    )
    # FSL-MRS's columns, named as what they hold; the bounds stand behind them.
    kind_of_sd, more = ("CRLB", {}) if bound is None else ("SD", {"%CRLB": percent_sd(raw, _sds(bound, groups))})
    label, units = f"/{scaling.name}", [_UNITS[kind] + end for kind in absolute for end in ("", f" {kind_of_sd}")]
    snr, fwhm_hz = zip(*(measured.get(name, (np.nan, np.nan)) for name in names))
    _write(
        folder / "summary.csv",
        ["Metab", label, f"{label} {kind_of_sd}", *units, f"%{kind_of_sd}", "SNR", "FWHM", *more],
        *sorted(
            zip(
                *(names, internal, internal_sd),
                *(values * factor for factor in absolute.values() for values in (raw, sd)),
                *(percent, snr, fwhm_hz, *more.values()),
            )
        ),
    )
    headings, flag = ([], []) if trust is None else (["Trust score", "Trust"], [trust.score, trust.level])
    rows = sorted((name, *pair, *flag) for name, pair in measured.items())
    _write(folder / "qc.csv", ["Metab", "SNR", "FWHM", *headings], *rows)
    _write(
        folder / "all_parameters.csv",
        ["parameter", "mean", "std"],
        *zip(fit.parameter_names, fit.parameters, fit.sds),
    )
    if water is not None:
        (folder / "quantification_info.csv").write_text(water.table, encoding="utf-8")


def _write(path, *rows):
    """Comma-separated rows; floats in their shortest exact form, NaN empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value):
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else repr(float(value))
