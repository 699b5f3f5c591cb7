"""Quantify spectroscopic imaging: the whole way from a file and a mask to the folder of fsl_mrsi."""

from pathlib import Path

import numpy as np

from .._version import __version__
from ..errors import DataError, ModelError
from ..folders import check_free, whole_folder
from .mrsi import fit_volume
from .mrsi_folder import write_mrsi_folder
from .plots import fit_summary
from .quantify import Quantifier
from .report import write_report
from .result import SPECTRA
from .volume import read_volume
from .voigt import PPM_LIMITS


NOT_JUDGED = "not checked (--no_trust)"
"""What is said of voxels without a flag."""


def quantify_mrsi(
    data, mask, output, model, basis, internal_ref=None, combine=(), ppm_limits=PPM_LIMITS, report=False,
    overwrite=False, progress=False, edit_order=None, strict=False, judged=True,
):  # fmt: skip
    """Fit the voxels of a mask and write the maps as FSL-MRS's fsl_mrsi does, whole or not at all.

    Edited imaging, with a model of both conditions, gives a folder off and a folder diff, each with these maps.

    Args:
        data: NIfTI-MRS file of shape (x, y, z, point), or with an edit dimension of two beside it.
        mask: NIfTI image on its grid, other than 0 where a voxel is to be fitted.
        output: folder to make.
        model: name or folder of a model of the conditions of the data, or a TrainedModel.
        basis: basis set that it was trained with, as `basis.basis_set.read_basis` takes it.
        internal_ref: metabolites of the internal reference, None for FSL-MRS's where the mean spectrum shows it.
        combine: tuples of metabolites to add up; Cr+PCr comes by itself.
        ppm_limits: range of the fit (ppm).
        report: whether to write report.html, on the mean spectrum of the mask.
        overwrite: whether an existing folder is replaced.
        progress: show a progress bar.
        edit_order: as `scan.read_scan`.
        strict: whether voxels that the trust flag calls out of range are left empty, as those that cannot be fitted.
        judged: whether every voxel gets a trust flag; without, a voxel takes half to two thirds of the time.

    Returns:
        Lines of text on what was found and left out.

    Raises:
        FslMrsDlError: what is wrong with the data, the mask, the model or the basis set, in one line.
    """
    check_free(Path(output), overwrite)
    quantifier = Quantifier(model, basis, internal_ref=internal_ref, combine=combine, ppm_limits=ppm_limits)
    volume = read_volume(data, mask, edit_order)
    _check_conditions(quantifier.model, volume)
    average = quantifier(volume.average())
    with whole_folder(output, overwrite) as folder:
        found = fit_volume(volume, quantifier.model, quantifier.basis, folder, ppm_limits, progress, judged)
        refused = _leave_out(volume, found) if strict else np.zeros(len(volume.voxels), dtype=bool)
        first = next(iter(found.values()))
        failed = volume.voxels[first.failed & ~refused]
        trust = first.trust.text() if judged else NOT_JUDGED
        for key, fits in found.items():
            content = average.contents[key]
            options = {
                "data": str(data), "mask": str(mask), "output": Path(output).name, "algo": "dl",
                "model": quantifier.model.name, "combine": [list(names) for names in content.combine] or None,
                "internal_ref": list(content.internal_ref), "ppmlim": list(ppm_limits), "baseline": "poly, 2",
                "metab_groups": 0, "report": report, "dl_spectrum": SPECTRA[key],
                "voxels_fitted": int((~first.failed).sum()),
                "voxels_empty": [*volume.empty.tolist(), *failed.tolist()], "strict": strict,
                "voxels_refused": volume.voxels[refused].tolist(), "trust": trust, **average.record,
            }  # fmt: skip
            part = folder / key if volume.edited else folder
            part.mkdir(exist_ok=True)
            write_mrsi_folder(part, volume, fits, SPECTRA[key], content.internal_ref, content.combine, options)
            label = f", {SPECTRA[key].replace('_', '-')}" if volume.edited else ""
            fit_summary(average.fits[key], part / "fit_avg.png", average.scan.name + label)
        if report:
            write_report(folder / "report.html", average, trust)
    return _said(volume, first, failed, refused, average, trust)


def _leave_out(volume, found):
    """(voxel,) bool, voxels that are out of range, after all their values were set to 0.

    Raises:
        DataError: no other voxel is left.
    """
    first = next(iter(found.values()))
    refused = first.trust.out_of_range & ~first.failed
    if not (~refused & ~first.failed).any():
        raise DataError(
            f"{volume.name}: trust: {first.trust.text()}; --strict refuses all of them. Without it they are fitted and "
            "flagged."
        )
    for fits in found.values():
        fits.leave_out(refused)
    return refused


def _check_conditions(model, volume):
    """Refuse a model of other conditions than those of the data."""
    wanted = model.config.conditions
    if len(wanted) == 2 and not volume.edited:
        raise ModelError(
            f"The model {model.name} takes {' and '.join(wanted)} of a voxel together, {volume.name} holds one "
            "spectrum a voxel: give the basis set of that spectrum with --basis, and the model that was trained with "
            "it is found; or name one with --model."
        )
    if len(wanted) == 1 and volume.edited:
        raise ModelError(
            f"The model {model.name} takes one spectrum, {volume.name} holds edit-off and edit-on: take a model of "
            "both, such as hybrid, or one spectrum with mrs_tools split."
        )


def _said(volume, fits, failed, refused, average, trust):
    """Lines of text on what was found and left out."""
    count, fitted, uncertain = len(volume.voxels), int((~fits.failed).sum()), int(fits.uncertain.sum())
    said = (f"{volume.name}: {fitted} voxels fitted by fsl_mrs_dl {__version__}.", f"trust: {trust}")
    if refused.any():
        said += (f"{refused.sum()} of {count} voxels are out of range and left empty (--strict).",)
    said += average.scan.notes
    if len(failed):
        names = ", ".join(f"({x}, {y}, {z})" for x, y, z in failed.tolist())
        said += (f"Warning: {len(failed)} of {count} voxels could not be fitted and are left empty: {names}.",)
    if uncertain:
        said += (f"Warning: reference and phase are uncertain in {uncertain} of {count} voxels.",)
    return said
