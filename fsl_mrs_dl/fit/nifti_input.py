"""NIfTI-MRS files and objects to checked arrays: the one place where a scan's header is read."""

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from ..axes import GYROMAGNETIC_HZ_PER_T, conjugate_for_disk
from ..errors import DataError

MINIMUM_POINTS = 256
DWELL_RANGE_S = (5e-6, 2e-3)
FREQUENCY_RANGE_MHZ = (10.0, 1500.0)
ECHO_TIME_RANGE_S = (1e-4, 1.0)
MRS_EXTENSION = 44
"""Code of the NIfTI header extension that holds NIfTI-MRS's JSON."""

_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    nibabel.filebasedimages.ImageFileError,
    nibabel.spatialimages.HeaderDataError,
)


@dataclass(frozen=True)
class Acquisition:
    """One voxel of a NIfTI-MRS file, its header checked.

    Attributes:
        data: (point, dim_5, dim_6, dim_7) complex128, memory orientation; absent dimensions have length 1.
        tags: what dim_5 to dim_7 are ("DIM_EDIT", ...), None where absent.
        header: the JSON header extension.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        nucleus: "1H".
        echo_time_s: echo time (s), None where the header has none that is plausible.
        affine: (4, 4) voxel to world.
        name: the file's name without its extension.
        notes: what a user should be told.
    """

    data: np.ndarray
    tags: tuple
    header: dict
    dwell_s: float
    centre_hz: float
    nucleus: str
    echo_time_s: float | None
    affine: np.ndarray
    name: str
    notes: tuple = ()


def stem(path):
    """Name of a file without .nii or .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", Path(path).name)


def load_file(path):
    """Acquisition from a NIfTI-MRS file.

    Raises:
        DataError: the file is missing, broken, not NIfTI-MRS, or its contents cannot be used.
    """
    return load_image(open_image(path), stem(path))


def open_image(path):
    """nibabel image of a file, its data not read yet.

    Raises:
        DataError: the file is missing or no image.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"There is no file {path}; check the path.")
    if path.is_dir():
        raise DataError(f"{path} is a folder; give NIfTI-MRS files (.nii or .nii.gz).")
    try:
        return nibabel.load(path)
    except _UNREADABLE as exc:
        raise DataError(
            f"{path} cannot be read as NIfTI-MRS (broken file or another format); copy it again or convert the "
            "scanner's file with spec2nii."
        ) from exc


def load_image(image, name=None):
    """Acquisition from a nifti_mrs NIFTI_MRS object or a nibabel image.

    Args:
        image: the object; a NIFTI_MRS object hands over its present data and header.
        name: how to call it in messages; the file it came from, else "scan".

    Raises:
        DataError: it is not NIfTI-MRS or its contents cannot be used.
    """
    checked = checked_header(image, name)
    name = checked["name"]
    try:
        data = np.asarray(image[:]) if hasattr(image, "hdr_ext") else conjugate_for_disk(np.asarray(image.dataobj))
    except _UNREADABLE as exc:
        raise DataError(f"{name} is truncated or broken: its data cannot be read; copy or convert it again.") from exc
    data = _one_voxel(np.asarray(data, dtype=complex), name)
    _check_signal(data, name)
    return Acquisition(data, **checked)


def load_values(image, name):
    """(x, y, z, ...) values of a nibabel image as they are stored.

    Raises:
        DataError: the file is broken.
    """
    try:
        return np.asarray(image.dataobj)
    except _UNREADABLE as exc:
        raise DataError(f"{name} is truncated or broken: its data cannot be read; copy or convert it again.") from exc


def checked_header(image, name=None):
    """The fields of an Acquisition but its data, as a dictionary; arguments and errors as of `load_image`."""
    name, header, disk_header, affine = _parts(image, name)
    dwell_s, centre_hz, nucleus = _dwell(disk_header, name), _frequency(header, name), _nucleus(header, name)
    if not np.issubdtype(disk_header.get_data_dtype(), np.complexfloating):
        raise DataError(
            f"{name}: NIfTI-MRS data are complex, these are {disk_header.get_data_dtype()}; "
            "convert the scanner's file again with spec2nii."
        )
    echo_time_s, notes = _echo_time(header)
    tags = tuple(header.get(f"dim_{number}") for number in (5, 6, 7))
    return {
        "tags": tags, "header": header, "dwell_s": dwell_s, "centre_hz": centre_hz, "nucleus": nucleus,
        "echo_time_s": echo_time_s, "affine": np.asarray(affine, float), "name": name, "notes": notes,
    }  # fmt: skip


def _parts(image, name):
    """Name, JSON header, NIfTI header and affine of a NIFTI_MRS object or nibabel image."""
    if hasattr(image, "hdr_ext"):
        return name or stem(image.filename) or "scan", image.hdr_ext.to_dict(), image.header, image.voxToWorldMat
    if isinstance(image, nibabel.Nifti1Image):
        name = name or stem(image.get_filename() or "") or "scan"
        return name, _extension(image.header, name), image.header, image.affine
    raise DataError(f"A scan must be a path, a NIFTI_MRS object or a nibabel NIfTI image, not {type(image).__name__}.")


def _extension(disk_header, name):
    """The JSON header extension of a nibabel NIfTI header."""
    intent = disk_header.get_intent()[2]
    if not re.match(r"mrs_v\d+_\d+", intent):
        raise DataError(
            f"{name} is not NIfTI-MRS: its intent name is '{intent}' instead of 'mrs_v...'; give a spectrum, or "
            "convert the scanner's file with spec2nii."
        )
    for extension in disk_header.extensions:
        if extension.get_code() == MRS_EXTENSION:
            content = extension.get_content()
            break
    else:
        raise DataError(f"{name} is not NIfTI-MRS: it has no MRS header extension; convert it again with spec2nii.")
    try:
        header = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise DataError(f"{name}: its MRS header extension is not JSON; convert it again with spec2nii.") from exc
    if not isinstance(header, dict):
        raise DataError(f"{name}: its MRS header extension is no JSON object; convert it again with spec2nii.")
    return header


def _dwell(disk_header, name):
    """Dwell time (s) from pixdim[4] and the header's time unit."""
    # Through text, because a NIfTI-1 header holds 0.0005 as the float32 next to it.
    dwell_s = float(str(disk_header["pixdim"][4])) * _SECONDS.get(disk_header.get_xyzt_units()[1], 1.0)
    if not DWELL_RANGE_S[0] <= dwell_s <= DWELL_RANGE_S[1]:
        raise DataError(
            f"{name}: a dwell time lies between {DWELL_RANGE_S[0]:g} and {DWELL_RANGE_S[1]:g} s, the header "
            f"(pixdim[4]) says {dwell_s:g} s; correct it or convert the scanner's file again."
        )
    return dwell_s


def _first(value):
    """First element of a list, else the value."""
    return value[0] if isinstance(value, (list, tuple)) and value else value


def _frequency(header, name):
    """Spectrometer frequency (Hz)."""
    value = _first(header.get("SpectrometerFrequency"))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not FREQUENCY_RANGE_MHZ[0] <= value <= FREQUENCY_RANGE_MHZ[1]:
        raise DataError(
            f"{name}: SpectrometerFrequency must be in MHz, between {FREQUENCY_RANGE_MHZ[0]:g} and "
            f"{FREQUENCY_RANGE_MHZ[1]:g}, the header says {value}; correct it with mrs_tools or convert again."
        )
    return float(value) * 1e6


def _nucleus(header, name):
    """Nucleus, one that fsl_mrs_dl has a gyromagnetic ratio for."""
    value = _first(header.get("ResonantNucleus"))
    if not isinstance(value, str) or value not in GYROMAGNETIC_HZ_PER_T:
        raise DataError(
            f"{name}: only spectra of {', '.join(GYROMAGNETIC_HZ_PER_T)} can be quantified, ResonantNucleus is {value}."
        )
    return value


def _echo_time(header):
    """Echo time (s) or None, and a note where the header's value cannot be one."""
    value = header.get("EchoTime")
    if value is None:
        return None, ()
    try:
        echo_time_s = float(value)
    except (TypeError, ValueError):
        return None, (f"Warning: EchoTime in the header is {value!r}, not a number, and is ignored.",)
    if not ECHO_TIME_RANGE_S[0] <= echo_time_s <= ECHO_TIME_RANGE_S[1]:
        return None, (f"Warning: EchoTime in the header is {echo_time_s:g} s, implausible, and is ignored.",)
    return echo_time_s, ()


def _one_voxel(data, name):
    """(point, dim_5, dim_6, dim_7) of data with one voxel."""
    if data.ndim < 4:
        raise DataError(f"{name}: NIfTI-MRS has at least 4 dimensions, this has {data.ndim} {data.shape}.")
    if np.prod(data.shape[:3]) != 1:
        raise DataError(
            f"{name} holds {' x '.join(map(str, data.shape[:3]))} voxels, one is expected; for spectroscopic imaging "
            "name the voxels to fit with --mask."
        )
    if data.ndim > 7:
        raise DataError(f"{name}: NIfTI-MRS has at most 7 dimensions, this has {data.ndim} {data.shape}.")
    return data.reshape(data.shape[3:] + (1,) * (7 - data.ndim))


def _check_signal(data, name):
    """Refuse data that hold no usable FID."""
    if data.shape[0] < MINIMUM_POINTS:
        raise DataError(
            f"{name} is truncated: an FID needs at least {MINIMUM_POINTS} points, this has {data.shape[0]}; "
            "convert the scanner's file again."
        )
    if data.size == 0:
        raise DataError(f"{name} holds no data (shape {data.shape}); convert the scanner's file again.")
    bad = np.count_nonzero(~np.isfinite(data))
    if bad:
        raise DataError(
            f"{name}: {bad} of {data.size} values are NaN or infinite; repeat the preprocessing step that made them."
        )
    if not np.any(data):
        raise DataError(f"{name}: every value is zero; repeat the conversion or preprocessing that made the file.")
