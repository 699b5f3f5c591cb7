"""One spectrum's results as FSL-MRS 2.4 writes them, so that its other tools open the folder."""

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..basis.basis_files import BasisFile, write_json_folder
from ..basis.basis_set import BasisSet
from ..errors import ConfigError
from .basis_grid import on_grid, read_alike
from .fsl_tables import internal_scaling, write_tables
from .plots import fit_summary
from .voigt import PPM_LIMITS

DEFAULT_REFERENCE = ("Cr", "PCr")
"""Internal reference of FSL-MRS, where these metabolites can be seen."""

_OTHER_REFERENCES = ("NAA", "NAAG")
_VISIBLE = 0.1  # of the norm of the strongest basis spectrum; a difference spectrum shows less of creatine


@dataclass(frozen=True, eq=False)
class FolderContent:
    """What a result folder of one spectrum is written from.

    Attributes:
        fit: VoigtFit; `calibrated` where the model knows its errors.
        quality: Quality of the fit.
        spectrum: "edit_off", "edit_on", "difference" or "single".
        scan: Scan that the spectrum belongs to.
        basis: BasisSet as it was read, before any resampling.
        internal_ref: metabolites whose sum is the reference, None for `default_reference`.
        combine: tuples of metabolites to add up.
        record: more keys for options.txt, such as the model and its weights.
        water: WaterScaling, None where there is none.
        bound: the VoigtFit with Cramer-Rao bounds, where `fit` has other standard deviations; else None.
        trust: Trust of the scan, None where that was not judged.
    """

    fit: object
    quality: object
    spectrum: str
    scan: object
    basis: BasisSet
    internal_ref: tuple | None = None
    combine: tuple = ()
    record: dict | None = None
    water: object | None = None
    bound: object | None = None
    trust: object | None = None

    def __post_init__(self):
        reference = default_reference(self.fit) if self.internal_ref is None else tuple(self.internal_ref)
        object.__setattr__(self, "internal_ref", reference)
        object.__setattr__(self, "combine", tuple(tuple(names) for names in self.combine))
        for option, names in (("internal_ref", reference), *(("combine", names) for names in self.combine)):
            unknown = [name for name in names if name not in self.fit.names]
            if unknown or not names:
                raise ConfigError(
                    f"--{option} takes metabolites of the fit ({', '.join(self.fit.names)}), not "
                    f"{', '.join(unknown) or 'none'}."
                )


def shown_metabolites(fit):
    """Names of the metabolites that have a signal worth the name in the spectrum of a VoigtFit."""
    return tuple(name for name, share in zip(fit.names, fit.visibility) if share >= _VISIBLE)


def default_reference(fit):
    """Metabolites of FSL-MRS's default reference that the spectrum shows, else another one that it shows.

    A difference spectrum shows next to nothing of creatine, and a ratio to it would mean nothing.
    """
    shown = shown_metabolites(fit)
    reference = tuple(name for name in DEFAULT_REFERENCE if name in shown)
    if reference:
        return reference
    return next(((name,) for name in _OTHER_REFERENCES if name in shown), (fit.names[fit.visibility.argmax()],))


def write_fsl_folder(folder, content):
    """Write the files of FSL-MRS's result folder for one spectrum.

    Written are data.nii.gz, basis (a relative link), options.txt, summary.csv, concentrations.csv, qc.csv,
    all_parameters.csv, fit.nii.gz and fit_summary.png.

    Args:
        folder: Path; made, and must not exist. It must stand at its final depth for the link to stay right.
        content: FolderContent.
    """
    folder.mkdir()
    fit, scan = content.fit, content.scan
    _write_fid(folder / "data.nii.gz", fit.data, scan, scan.echo_time_s)
    _write_fid(folder / "fit.nii.gz", fit.predicted, scan)
    linked = link_basis(folder / "basis", content.basis, content.spectrum, fit, scan)
    _write_options(folder, content, linked)
    scaling = internal_scaling(fit, content.internal_ref)
    write_tables(folder, fit, content.quality, scaling, content.combine, content.water, content.bound, content.trust)
    if content.water is not None:
        _write_fid(folder / "h2o.nii.gz", content.water.fid, scan, scan.echo_time_s)
    label = content.spectrum.replace("_", "-")
    for name in ("data.nii.gz", "fit.nii.gz", *(["h2o.nii.gz"] if content.water else [])):
        # The library writes through a temporary file that only its owner may read.
        shutil.copymode(folder / "options.txt", folder / name)
    fit_summary(fit, folder / "fit_summary.png", scan.name if label == "single" else f"{scan.name}, {label}")


def link_basis(link, basis, spectrum, fit, scan):
    """Put the basis of one spectrum where FSL-MRS looks for it; returns the Path it was taken from, or None.

    It is a relative link where FSL-MRS reads there what was fitted. Where the basis was not read from a
    file, ends before the scan, or has a grid that FSL-MRS can only bring to the scan's by rounding the
    bandwidth, the spectra that were fitted are written instead.
    """
    source = basis.folder(spectrum)
    if source is not None and read_alike(basis, scan):
        source = Path(os.path.realpath(source))
        # File systems without links get the spectra, as they are no place for a path that FSL-MRS follows.
        with contextlib.suppress(OSError):
            link.symlink_to(os.path.relpath(source, os.path.realpath(link.parent)))
            return source
    fitted = on_grid(basis.keep(fit.names), scan).rounded()
    header = (fitted.dwell_s, fitted.centre_hz, fitted.linewidth_hz, fitted.nucleus)
    write_json_folder(BasisFile(fitted.names, fitted.spectrum(spectrum), *header, link), link)
    return None


def _write_fid(path, fid, scan, echo_time_s=None):
    """NIfTI-MRS file of one FID; the library turns the memory orientation into that of the disk."""
    from nifti_mrs.create_nmrs import gen_nifti_mrs

    image = gen_nifti_mrs(
        fid.reshape(1, 1, 1, -1), scan.dwell_s, scan.centre_hz / 1e6, nucleus=scan.nucleus, affine=scan.affine
    )
    if echo_time_s is not None:
        image.add_hdr_field("EchoTime", echo_time_s)
    image.save(path)


def _write_options(folder, content, basis_path):
    """options.txt: one line of JSON with FSL-MRS's option names, a rule, then the same as text."""
    limits = content.fit.ppm_limits
    options = {
        "data": ", ".join(str(path) for path in content.scan.paths) or content.scan.name,
        "basis": str(basis_path or folder.name + "/basis"),
        "output": folder.name,
        "algo": "dl",
        "ignore": None,
        "keep": _keep(content, basis_path),
        "combine": [list(names) for names in content.combine] or None,
        "ppmlim": list(limits) if limits != PPM_LIMITS else None,
        "h2o": None,
        "baseline": "poly, 2",
        "baseline_order": None,
        "metab_groups": 0,
        "lorentzian": False,
        "free_shift": False,
        "ind_scale": None,
        "disable_MH_priors": False,
        "mh_samples": 500,
        "t1": None,
        "TE": None,
        "TR": None,
        "tissue_frac": None,
        "t1_values": None,
        "t2_values": None,
        "internal_ref": list(content.internal_ref),
        "wref_metabolite": None,
        "ref_protons": None,
        "ref_int_limits": None,
        "h2o_scale": 1.0,
        "report": False,
        "verbose": False,
        "overwrite": False,
        "conjfid": None,
        "conjbasis": None,
        "no_rescale": False,
        "export_baseline": False,
        "export_no_baseline": False,
        "export_separate": False,
        "filename": "fit",
        "config": None,
        "dl_spectrum": content.spectrum,
        **(content.record or {}),
        **(content.water.options if content.water else {}),
    }
    lines = [json.dumps(options), "--------"]
    lines += [f"  {key + ':':22}{value}" for key, value in options.items() if value is not None]
    (folder / "options.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _keep(content, basis_path):
    """Names for FSL-MRS's option keep: needed where the linked basis holds more than was fitted."""
    if basis_path is None:
        return None
    names = list(content.fit.names)
    if basis_path.is_dir() and sorted(path.stem for path in basis_path.glob("*.json")) == names:
        return None
    return names
