"""Quantify spectroscopic imaging: the whole way from a file and a mask to the folder of fsl_mrsi."""

from pathlib import Path

from .._version import __version__
from ..errors import ModelError
from ..folders import check_free, whole_folder
from .mrsi import fit_volume
from .mrsi_folder import write_mrsi_folder
from .plots import fit_summary
from .quantify import Quantifier
from .report import write_report
from .volume import read_volume
from .voigt import PPM_LIMITS


def quantify_mrsi(
    data, mask, output, model, basis,
    internal_ref=None, combine=(), ppm_limits=PPM_LIMITS, report=False, overwrite=False, progress=False,
):  # fmt: skip
    """Fit the voxels of a mask and write the maps as FSL-MRS's fsl_mrsi does, whole or not at all.

    Args:
        data: NIfTI-MRS file of shape (x, y, z, point).
        mask: NIfTI image on its grid, other than 0 where a voxel is to be fitted.
        output: folder to make.
        model: name or folder of a model of one condition.
        basis: basis set that it was trained with, as `basis.basis_set.read_basis` takes it.
        internal_ref: metabolites of the internal reference, None for FSL-MRS's where the mean spectrum shows it.
        combine: tuples of metabolites to add up; Cr+PCr comes by itself.
        ppm_limits: range of the fit (ppm).
        report: whether to write report.html, on the mean spectrum of the mask.
        overwrite: whether an existing folder is replaced.
        progress: show a progress bar.

    Returns:
        Lines of text on what was found and left out.

    Raises:
        FslMrsDlError: what is wrong with the data, the mask, the model or the basis set, in one line.
    """
    check_free(Path(output), overwrite)
    quantifier = Quantifier(model, basis, internal_ref=internal_ref, combine=combine, ppm_limits=ppm_limits)
    conditions = quantifier.model.config.conditions
    if len(conditions) != 1:
        raise ModelError(
            f"The model {quantifier.model.name} takes {' and '.join(conditions)} of a scan together, imaging is fitted "
            "one spectrum at a time: give the model of one spectrum with --model, and its basis set with --basis."
        )
    volume = read_volume(data, mask)
    average = quantifier(volume.average())
    content = average.contents["single"]
    with whole_folder(output, overwrite) as folder:
        fits = fit_volume(volume, quantifier.model, quantifier.basis, folder, ppm_limits, progress)
        options = {
            "data": str(data), "mask": str(mask), "output": Path(output).name, "algo": "dl", "model": str(model),
            "combine": [list(names) for names in content.combine] or None, "internal_ref": list(content.internal_ref),
            "ppmlim": list(ppm_limits), "baseline": "poly, 2", "metab_groups": 0, "report": report,
            "voxels_fitted": len(volume.voxels), "voxels_empty": volume.empty.tolist(), **average.record,
        }  # fmt: skip
        write_mrsi_folder(folder, volume, fits, content.internal_ref, content.combine, options)
        fit_summary(average.first_fit, folder / "fit_avg.png", average.scan.name)
        if report:
            write_report(folder / "report.html", average)
    uncertain = int(fits.uncertain.sum())
    count = len(volume.voxels)
    said = (f"{volume.name}: {count} voxels fitted by fsl_mrs_dl {__version__}.", *average.scan.notes)
    if uncertain:
        said += (f"Warning: reference and phase are uncertain in {uncertain} of {count} voxels.",)
    return said
