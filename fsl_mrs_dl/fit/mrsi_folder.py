"""The result folder of spectroscopic imaging, as FSL-MRS 2.4's fsl_mrsi writes it."""

import io
import json
import zlib
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np

from .fsl_tables import ALWAYS_COMBINED, percent_sd
from .nifti_input import MRS_EXTENSION
from .voigt import parameter_names

_SMALLEST, _LARGEST = 1e-10, 1e10
"""Values of a cleaned map outside this range are 0."""

_POINTS_AT_ONCE = 64
_GZIP = 31  # zlib's number for gzip's format


def combined_names(names, combine):
    """Tuples of metabolites to add up: Cr and PCr where both are there, then those asked for."""
    sums = [ALWAYS_COMBINED] if set(ALWAYS_COMBINED) <= set(names) else []
    return sums + [tuple(members) for members in combine if tuple(members) not in sums]


def write_mrsi_folder(folder, volume, fits, spectrum, reference, combine, options):
    """Write concs, uncertainties, qc, nuisance, fit, misc and options.txt.

    Args:
        folder: Path that exists.
        volume: Volume.
        fits: VoxelFits of one of its spectra.
        spectrum: that one, as of `Volume.of`.
        reference: metabolites whose sum is the internal reference.
        combine: tuples of metabolites to add up.
        options: dictionary for options.txt.
    """
    sums = combined_names(fits.names, combine)
    members = [(name,) for name in fits.names] + sums
    names = ["+".join(group) for group in members]
    raw, sds = _summed(fits, members)
    amount, _ = _summed(fits, [tuple(reference)])
    with np.errstate(divide="ignore", invalid="ignore"):
        internal = raw / amount
    columns = {
        "concs/raw/{}": (names, raw),
        "concs/internal/{}": (names, internal),
        "uncertainties/{}_sd": (names, percent_sd(raw, sds)),
        "qc/{}_snr": (fits.names, fits.snr),
        "qc/{}_fwhm": (fits.names, fits.fwhm_hz),
    }
    for template, (labels, values) in columns.items():
        for label, column in zip(labels, values.T):
            _write_map(folder / (template.format(label) + ".nii.gz"), volume, _clean(column))
    for label, column in {**fits.nuisance, "shift_group0": fits.shift_ppm(volume.centre_hz)}.items():
        _write_map(folder / f"nuisance/{label}.nii.gz", volume, column)
    for label, column in {"level": fits.trust.levels, "score": fits.trust.scores}.items():
        _write_map(folder / f"qc/trust_{label}.nii.gz", volume, column)
    _write_fids(folder / "fit", volume, fits, spectrum)
    _write_misc(folder / "misc", fits.names, sums)
    lines = [f"{key}: {value}" for key, value in options.items()]
    lines = [json.dumps(options), "--------", *lines]
    (folder / "options.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _summed(fits, groups):
    """Raw concentrations (voxel, group) of sums of metabolites and their standard deviations."""
    chosen = np.array([[name in group for name in fits.names] for group in groups], dtype=float)
    variances = np.einsum("gm,vmn,gn->vg", chosen, fits.variances, chosen, optimize=True)
    return fits.raw @ chosen.T, np.sqrt(variances)


def _clean(values):
    """Values of a map with 0 where they are not finite, negative, next to nothing or beyond reason."""
    with np.errstate(invalid="ignore"):
        kept = np.isfinite(values) & (values >= _SMALLEST) & (values <= _LARGEST)
    return np.where(kept, values, 0.0)


def _write_map(path, volume, values):
    """NIfTI-1 file of (voxel,) values as float64, 0 outside the fitted voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros(volume.shape)
    image[tuple(volume.voxels.T)] = values
    nibabel.save(nibabel.Nifti1Image(image, volume.affine), path)


def _write_fids(folder, volume, fits, spectrum):
    """fit, baseline and residual, so that fit + residual is the data."""
    folder.mkdir()

    parts = {
        "fit": lambda points: fits.fit[:, points],
        "baseline": lambda points: fits.baseline[:, points],
        "residual": lambda points: np.where(
            fits.failed[:, None], 0, volume.of(volume.stored(points=points), spectrum) - fits.fit[:, points]
        ),
    }
    with ThreadPoolExecutor(len(parts)) as pool:
        jobs = [pool.submit(_write_nifti_mrs, folder / f"{name}.nii.gz", volume, part) for name, part in parts.items()]
        for job in jobs:
            job.result()


def _write_nifti_mrs(path, volume, values):
    """complex64 NIfTI-MRS file with the header and the extension of the data, written a few points at a time.

    Args:
        path: of the file.
        volume: Volume.
        values: function of a slice of points that returns (voxel, point).
    """
    header = _of_one_spectrum(volume.header)
    header.set_data_dtype(np.complex64)
    header.set_data_shape((*volume.shape, volume.points))
    header.set_slope_inter(1, 0)
    header["vox_offset"] = 0  # found anew for the extension
    kind = np.dtype(np.complex64).newbyteorder(header.endianness)
    start = io.BytesIO()
    header.write_to(start)
    # Noise hardly shrinks, whatever the effort; zeros outside the mask do as runs. Three times as fast as level 1,
    # and without a time stamp, so that the same fit gives the same file.
    gzip = zlib.compressobj(1, zlib.DEFLATED, _GZIP, strategy=zlib.Z_RLE)
    with path.open("wb") as file:
        file.write(gzip.compress(start.getvalue().ljust(int(header["vox_offset"]), b"\0")))
        for first in range(0, volume.points, _POINTS_AT_ONCE):
            points = slice(first, min(first + _POINTS_AT_ONCE, volume.points))
            block = np.zeros((*volume.shape, points.stop - first), kind, order="F")
            block[tuple(volume.voxels.T)] = values(points)
            file.write(gzip.compress(block.tobytes(order="F")))
        file.write(gzip.flush())


def _of_one_spectrum(header):
    """Copy of a NIfTI header whose NIfTI-MRS extension names no higher dimensions."""
    header = header.copy()
    for place, extension in enumerate(header.extensions):
        if extension.get_code() == MRS_EXTENSION:
            fields = json.loads(extension.get_content())
            kept = {key: value for key, value in fields.items() if not key.startswith("dim_")}
            if kept == fields:
                continue
            content = json.dumps(kept).encode()
            header.extensions[place] = nibabel.nifti1.Nifti1Extension(MRS_EXTENSION, content)
    return header


def _write_misc(folder, names, sums):
    """The two files that say what the parameters are."""
    folder.mkdir()
    labels = ["+".join(group) for group in sums]
    parameters = list(parameter_names(names))
    (folder / "metabolite_groups.json").write_text(json.dumps({"0": list(names)}), encoding="utf-8")
    content = {
        "parameters": parameters,
        "parameters_inc_comb": parameters + labels,
        "metabolites": list(names),
        "metabolites_inc_comb": [*names, *labels],
    }
    (folder / "mrs_fit_parameters.json").write_text(json.dumps(content), encoding="utf-8")
