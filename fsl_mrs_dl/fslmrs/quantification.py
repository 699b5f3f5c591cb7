"""Absolute concentrations by FSL-MRS's water referencing (Near et al., NMR Biomed 2021, doi 10.1002/nbm.4257).

The reference is the creatine (or another metabolite) of the edit-off spectrum, or of the only spectrum. Its
scaling is passed on to the other spectra as one of amplitudes, see `fit.fsl_tables.WaterScaling`.
"""

import importlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import axes
from ..errors import ConfigError, DataError
from ..fit.basis_grid import on_grid
from ..fit.fsl_tables import WaterScaling
from ..fit.nifti_input import ECHO_TIME_RANGE_S, load_file
from ..fit.result import SPECTRA
from ..fit.scan import MAX_FIELD_DIFFERENCE
from .preprocess import INSTALL

TE_RANGE_MS = tuple(1e3 * limit for limit in ECHO_TIME_RANGE_S)
TR_RANGE_S = (0.05, 60.0)
TISSUES = ("WM", "GM", "CSF")
RELAXATION_KEYS = ("H2O_WM", "H2O_GM", "H2O_CSF", "METAB")
RELAXATION_RANGE_S = (1e-3, 20.0)


@dataclass(frozen=True)
class WaterOptions:
    """Options of water referencing, by FSL-MRS's names and in its units.

    Attributes:
        te: echo time (ms), None for that of the header.
        tr: repetition time (s), None for that of the header.
        tissue_frac: dict of volume fractions WM, GM and CSF, None for pure water.
        t1_values: dict of T1 (s) of H2O_WM, H2O_GM, H2O_CSF and METAB, None for FSL-MRS's of the field strength.
        t2_values: the same of T2 (s).
        h2o_scale: additional factor.
        wref_metabolite: metabolites of the reference, None for FSL-MRS's choice (Cr+PCr, Cr, PCr, NAA).
        ref_protons: protons that one of them has within the limits.
        ref_int_limits: limits of the reference's area (ppm).
    """

    te: float | None = None
    tr: float | None = None
    tissue_frac: dict | None = None
    t1_values: dict | None = None
    t2_values: dict | None = None
    h2o_scale: float = 1.0
    wref_metabolite: tuple | None = None
    ref_protons: int | None = None
    ref_int_limits: tuple | None = None

    def __post_init__(self):
        for option, unit, (low, high) in (("te", "ms", TE_RANGE_MS), ("tr", "s", TR_RANGE_S)):
            value = getattr(self, option)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"--{option.upper()} is in {unit}, between {low:g} and {high:g}, not {value:g}.")
        if not 0 < self.h2o_scale < math.inf:
            raise ConfigError(f"--h2o_scale must be a factor above 0, not {self.h2o_scale}.")
        if self.tissue_frac is not None:
            _check_fractions(self.tissue_frac)
        for option in ("t1_values", "t2_values"):
            if getattr(self, option) is not None:
                _check_relaxation(option.replace("_", "-"), getattr(self, option))
        others = (self.ref_protons, self.ref_int_limits)
        if (self.wref_metabolite is None) != (others == (None, None)) or (self.wref_metabolite and None in others):
            raise ConfigError("--wref_metabolite, --ref_protons and --ref_int_limits go together; give all or none.")

    def record(self):
        """Keys for options.txt."""
        return {
            "TE": self.te, "TR": self.tr, "tissue_frac": self.tissue_frac, "t1_values": self.t1_values,
            "t2_values": self.t2_values, "h2o_scale": self.h2o_scale,
            "wref_metabolite": self.wref_metabolite and list(self.wref_metabolite), "ref_protons": self.ref_protons,
            "ref_int_limits": self.ref_int_limits and list(self.ref_int_limits),
        }  # fmt: skip


def require_host(option="--h2o", module="fsl_mrs.utils.quantify"):
    """Raise ConfigError unless the module of FSL-MRS that an option needs can be imported."""
    try:
        importlib.import_module(module)
    except ImportError as exc:
        raise ConfigError(
            f"{option} needs FSL-MRS, which cannot be imported ({exc}); install it ({INSTALL}) or leave out {option}."
        ) from exc


def read_fractions(words):
    """Tissue fractions as FSL-MRS's --tissue_frac takes them: WM GM CSF, a .json, or a quantification_info.csv."""
    if len(words) == 3:
        try:
            return dict(zip(TISSUES, map(float, words)))
        except ValueError as exc:
            raise ConfigError(f"--tissue_frac takes three numbers or a file, not {' '.join(words)}.") from exc
    if len(words) != 1:
        raise ConfigError(f"--tissue_frac takes three numbers (WM GM CSF) or one file, not {len(words)} values.")
    values = _read("--tissue_frac", words[0], lambda table: {t: table[t]["Tissue volume fractions"] for t in TISSUES})
    return {tissue: values[tissue] for tissue in TISSUES if tissue in values}


def read_relaxation(path, kind):
    """T1 or T2 values (s) from a .json file or a quantification_info.csv; kind is "t1" or "t2"."""
    unit, factor = ("s", 1.0) if kind == "t1" else ("ms", 1e-3)

    def of_table(table):
        water = {f"H2O_{t}": factor * float(table[t][f"Water {kind.upper()} ({unit})"]) for t in TISSUES}
        return water | {"METAB": factor * float(table["GM"][f"Metabolite {kind.upper()} ({unit})"])}

    return _read(f"--{kind}-values", path, of_table)


def timing(scan, options):
    """Echo and repetition time (s) of a Scan, None where unknown, and notes that say what is missing.

    Options win over headers; a header's value that cannot be one is not used.
    """
    te_s = scan.echo_time_s if options.te is None else options.te / 1e3
    tr_s, notes = options.tr, ()
    if tr_s is None and scan.paths:
        tr_s = load_file(scan.paths[0]).header.get("RepetitionTime")
        try:
            tr_s = None if tr_s is None else float(tr_s)
        except (TypeError, ValueError):
            tr_s = math.nan
        if tr_s is not None and not TR_RANGE_S[0] <= tr_s <= TR_RANGE_S[1]:
            notes = (f"Warning: RepetitionTime in the header is {tr_s:g} s, implausible, and is ignored.",)
            tr_s = None
    missing = [
        f"the {name} time is not known (no usable {field} in the header; say {option})"
        for value, name, field, option in (
            (te_s, "echo", "EchoTime", "--TE MS"),
            (tr_s, "repetition", "RepetitionTime", "--TR S"),
        )
        if value is None
    ]
    if missing:
        notes += (f"Warning: no absolute concentrations (mM, mmol/kg), because {' and '.join(missing)}.",)
    return te_s, tr_s, notes


def read_water(path):
    """Water scan of one FID as (Acquisition, (point,) FID); transients and edit conditions are averaged.

    Raises:
        DataError: it cannot be read, or its coils are not combined.
    """
    water = load_file(path)
    if "DIM_COIL" in water.tags and water.data.shape[1 + water.tags.index("DIM_COIL")] > 1:
        raise DataError(
            f"{water.name}: its coils must be combined with the same weights as the scan's; give the raw scan with it, "
            "or the wref.nii.gz that fsl_mrs_preproc_edit writes."
        )
    return water, water.data.mean(axis=(1, 2, 3))


def water_on_grid(scan, water, fid):
    """(point,) water FID on a Scan's time grid.

    Args:
        scan: Scan.
        water: Acquisition or Scan of the water, for its name, dwell time and frequency.
        fid: its FID.

    Raises:
        DataError: it belongs to another field strength, or ends before the scan.
    """
    if abs(water.centre_hz / scan.centre_hz - 1) > MAX_FIELD_DIFFERENCE:
        raise DataError(
            f"The --h2o scan {water.name} is from {water.centre_hz / 1e6:.1f} MHz, {scan.name} from "
            f"{scan.centre_hz / 1e6:.1f} MHz; give the water of the same session."
        )
    if fid.size * water.dwell_s < (scan.points - 1) * scan.dwell_s:
        raise DataError(
            f"The --h2o scan {water.name} ends after {fid.size * water.dwell_s:.3f} s, {scan.name} after "
            f"{scan.points * scan.dwell_s:.3f} s; give a water scan with the same receiver settings."
        )
    return axes.resample(fid, water.dwell_s, scan.dwell_s, scan.points)


def scale_by_water(result, fid, options, source="h2o"):
    """The Result with absolute concentrations, or with a note why there are none.

    Args:
        result: Result.
        fid: (point,) water FID on the scan's time grid, with the scan's receiver gain.
        options: WaterOptions.
        source: name of the water scan, for options.txt and the report.

    Raises:
        ConfigError: FSL-MRS is missing, or does not know the field strength or a reference metabolite.
        DataError: the fit holds nothing of the reference, or the water nothing at all.
    """
    require_host()
    te_s, tr_s, notes = timing(result.scan, options)
    result = replace(result, scan=result.scan.with_notes(*notes))
    if te_s is None or tr_s is None:
        return result
    info = _quantification_info(result, te_s, tr_s, options)
    molality, molarity = _factors(result, fid, info)
    per_amplitude = 1 / result.first_fit.amplitude_scaling
    reference = [info.ref_metab] if isinstance(info.ref_metab, str) else info.ref_metab
    facts = {
        "Water scan": source,
        "Reference": f"{'+'.join(reference)} of {SPECTRA[next(iter(result.fits))].replace('_', '-')}, "
        f"{info.ref_protons} protons in {info.ref_limits[0]:g} to {info.ref_limits[1]:g} ppm",
        "Echo and repetition time": f"{te_s * 1e3:g} ms, {tr_s:g} s",
        "Tissue": _tissue_text(info),
        "T1 and T2 of metabolites": f"{info.t1['METAB']:g} s, {info.t2['METAB'] * 1e3:g} ms",
        "Additional factor": f"{options.h2o_scale:g}",
    }
    scaling = WaterScaling(
        molality * per_amplitude, molarity * per_amplitude, fid, info.summary_table.to_csv(), facts,
        {"h2o": source, **options.record(), "TE": te_s * 1e3, "TR": tr_s},
    )  # fmt: skip
    return replace(result, water=scaling)


def _quantification_info(result, te_s, tr_s, options):
    """FSL-MRS's QuantificationInfo."""
    from fsl_mrs.utils import quantify

    reference = options.wref_metabolite and list(options.wref_metabolite)
    names = list(result.first_fit.names)
    unknown = [name for name in reference or () if name not in names]
    if unknown:
        raise ConfigError(f"--wref_metabolite takes metabolites of the fit ({', '.join(names)}), not {unknown[0]}.")
    try:
        info = quantify.QuantificationInfo(
            te_s, tr_s, names, result.scan.centre_hz / 1e6, t1=options.t1_values, t2=options.t2_values,
            water_ref_metab=reference, water_ref_metab_protons=options.ref_protons,
            water_ref_metab_limits=options.ref_int_limits,
        )  # fmt: skip
    except quantify.FieldStrengthInfoError as exc:
        raise ConfigError(f"{exc} Give --t1-values and --t2-values.") from exc
    except quantify.NoWaterScalingMetabolite as exc:
        raise ConfigError(
            f"FSL-MRS has no water reference among {', '.join(names)}; give --wref_metabolite, --ref_protons and "
            "--ref_int_limits."
        ) from exc
    if options.tissue_frac is not None:
        total = sum(options.tissue_frac[tissue] for tissue in TISSUES)
        info.set_fractions({tissue: options.tissue_frac[tissue] / total for tissue in TISSUES})
    info.add_corr = options.h2o_scale
    return info


def _factors(result, fid, info):
    """FSL-MRS's factors from raw concentrations of the first fit to molality and molarity."""
    from fsl_mrs.core import MRS
    from fsl_mrs.core.basis import Basis
    from fsl_mrs.utils import quantify
    from fsl_mrs.utils.baseline import Baseline
    from fsl_mrs.utils.results import FitRes

    scan, (key, fit) = result.scan, next(iter(result.fits.items()))
    basis = on_grid(result.basis.keep(fit.names), scan)
    header = {
        "dwelltime": scan.dwell_s, "bandwidth": 1 / scan.dwell_s, "centralFrequency": scan.centre_hz,
        "fwhm": basis.linewidth_hz, "nucleus": scan.nucleus,
    }  # fmt: skip
    host_basis = Basis(basis.spectrum(SPECTRA[key]).T, list(fit.names), [header] * len(fit.names))
    mrs = MRS(
        fit.data, cf=scan.centre_hz, bw=1 / scan.dwell_s, nucleus=scan.nucleus, basis=host_basis, H2O=np.array(fid)
    )
    mrs.rescaleForFitting()
    baseline = Baseline(mrs, fit.ppm_limits, "poly, 2", None)
    groups = [0] * len(fit.names)
    host_fit = FitRes(mrs, fit.parameters, "voigt", "Newton", groups, baseline, fit.ppm_limits, runqc=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        molality, molarity, areas = quantify.quantifyWater(mrs, host_fit, info)
    if not np.isfinite([molality, molarity]).all() or not areas["metab_ref"].integral > 0:
        raise DataError(
            f"{scan.name}: the water reference fails, as the fitted {info.ref_metab} has the area "
            f"{areas['metab_ref'].integral:g} and the water {areas['water_ref'].integral:g}; choose another with "
            "--wref_metabolite, or check the --h2o scan."
        )
    return float(molality), float(molarity)


def _tissue_text(info):
    """What is assumed about the voxel, in words."""
    if info.f_GM is None:
        return "pure water assumed (no --tissue_frac), relaxation half grey, half white matter"
    return f"{info.f_GM:.2f} grey matter, {info.f_WM:.2f} white matter, {info.f_CSF:.2f} CSF"


def _check_fractions(values):
    if set(values) != set(TISSUES):
        raise ConfigError(f"--tissue_frac needs {', '.join(TISSUES)}, not {', '.join(map(str, values)) or 'nothing'}.")
    numbers = list(values.values())
    usable = all(isinstance(value, (int, float)) and 0 <= value <= 1.1 for value in numbers)
    if not usable or not 0.9 <= sum(numbers) <= 1.1:
        raise ConfigError(f"--tissue_frac are volume fractions that add up to 1 (within 0.1), not {numbers}.")
    if values["CSF"] > 0.99:
        raise ConfigError("--tissue_frac says CSF only; concentrations in tissue are not defined there.")


def _check_relaxation(option, values):
    missing = [key for key in RELAXATION_KEYS if key not in values]
    if missing:
        raise ConfigError(f"--{option} needs {', '.join(RELAXATION_KEYS)}; there is no {', '.join(missing)}.")
    low, high = RELAXATION_RANGE_S
    for key in RELAXATION_KEYS:
        if not (isinstance(values[key], (int, float)) and low <= values[key] <= high):
            raise ConfigError(f"--{option} are in s, between {low:g} and {high:g}; {key} is {values[key]}.")


def _read(option, path, of_table):
    """Dict of a .json file, or of the rows of a quantification_info.csv, as `of_table` takes them out."""
    path = Path(path)
    try:
        if path.suffix == ".csv":
            import pandas

            return of_table(pandas.read_csv(path, index_col=0).to_dict("index"))
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, KeyError, TypeError, ValueError) as exc:
        raise ConfigError(
            f"{option} takes a .json file or FSL-MRS's quantification_info.csv; {path} cannot be read as one ({exc})."
        ) from exc
    if not isinstance(values, dict):
        raise ConfigError(f"{option}: {path} must hold one JSON object with names and numbers.")
    return values
