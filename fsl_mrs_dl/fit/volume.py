"""Spectroscopic imaging as the fit sees it: a NIfTI-MRS file of many voxels and a mask, checked."""

from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np

from ..axes import conjugate_for_disk
from ..basis.basis_set import EDITED, SINGLE
from ..errors import DataError
from . import edit_order as order_of
from .nifti_input import MINIMUM_POINTS, checked_header, load_values, open_image, stem
from .scan import Scan, is_mirrored

_LOOKED_AT = 64  # voxels, the ones of most signal, that tell whether the spectra are stored mirrored
_CHECKED_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Volume:
    """FIDs of the voxels of a mask.

    Attributes:
        data: (x, y, z, condition, point) complex array as it is stored, edit-off first, see `fids`.
        conditions: ("single",) or ("edit_off", "edit_on").
        voxels: (voxel, 3) indices of the voxels to fit, those of the mask that hold a usable FID.
        empty: (voxel, 3) indices of the other voxels of the mask.
        header: nibabel header of the file.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        nucleus: "1H".
        echo_time_s: echo time (s) or None.
        affine: (4, 4) voxel to world.
        name: short name for messages.
        paths: the file of the data.
        mirrored: whether the spectra are stored mirrored (wrong conjugation).
        notes: what was decided while reading, in words to print.
    """

    data: np.ndarray
    conditions: tuple
    voxels: np.ndarray
    empty: np.ndarray
    header: nibabel.Nifti1Header
    dwell_s: float
    centre_hz: float
    nucleus: str
    echo_time_s: float | None
    affine: np.ndarray
    name: str
    paths: tuple
    mirrored: bool = False
    notes: tuple = ()

    @property
    def points(self):
        """Number of points of an FID."""
        return self.data.shape[-1]

    @property
    def shape(self):
        """(x, y, z) of the grid."""
        return self.data.shape[:3]

    @property
    def edited(self):
        """Whether both edit conditions are there."""
        return self.conditions == EDITED

    def stored(self, rows=slice(None), points=slice(None)):
        """(voxel, condition, point) FIDs of some voxels to fit, as they are stored."""
        return self.data[..., points][tuple(self.voxels[rows].T)]

    def fids(self, rows):
        """(voxel, condition, point) complex128 FIDs of some voxels to fit, memory orientation."""
        return self.turn(self.stored(rows)).astype(complex)

    def of(self, fids, spectrum):
        """(..., point) FIDs of one spectrum from those of all conditions (..., condition, point).

        Args:
            fids: the FIDs, in either orientation.
            spectrum: one of the conditions, or "difference" (on - off).
        """
        if spectrum == "difference":
            return fids[..., 1, :] - fids[..., 0, :]
        return fids[..., self.conditions.index(spectrum), :]

    def turn(self, fids):
        """FIDs between the orientation in memory and the one that is stored; its own inverse."""
        return fids if self.mirrored else conjugate_for_disk(fids)

    def scan(self, fids, name=None):
        """Scan of (condition, point) FIDs in memory orientation, with what the volume says about it."""
        return Scan(
            fids, self.conditions, self.dwell_s, self.centre_hz, self.nucleus, self.echo_time_s, name or self.name,
            self.paths, self.affine, self.notes,
        )  # fmt: skip

    def average(self):
        """Scan of the mean FIDs of the voxels to fit."""
        return self.scan(self.mean(), f"{self.name}, mean of {len(self.voxels)} voxels")

    def mean(self):
        """(condition, point) mean FIDs of the voxels to fit, memory orientation."""
        return sum(self.fids(slice(at, at + _CHECKED_AT_ONCE)).sum(0) for at in self._starts) / len(self.voxels)

    @property
    def _starts(self):
        return range(0, len(self.voxels), _CHECKED_AT_ONCE)


def read_volume(path, mask, edit_order=None):
    """Volume from a NIfTI-MRS file and a mask.

    Args:
        path: .nii or .nii.gz file of shape (x, y, z, point), or with an edit dimension (DIM_EDIT) of two beside it.
        mask: NIfTI image of shape (x, y, z), other than 0 where a voxel is to be fitted.
        edit_order: as `scan.read_scan`.

    Raises:
        DataError: one of them cannot be read or used, or they do not belong together; the message says what to do.
    """
    order_of.check_order(edit_order)
    path = Path(path)
    image = open_image(path)
    fields = checked_header(image, stem(path))
    tags, notes = fields.pop("tags"), fields.pop("notes")
    header = fields.pop("header")
    data, dimension = _conditions(load_values(image, fields["name"]), tags, fields["name"])
    chosen = read_mask(mask, data.shape[:3], fields["name"])
    notes += _about_place(mask, image)
    conditions = SINGLE if dimension is None else EDITED
    fields.update(header=image.header, paths=(path,), empty=np.empty((0, 3), int))
    volume = Volume(data, conditions, np.argwhere(chosen), **fields)
    # The least of the conditions: both are needed.
    energy = np.concatenate(
        [np.sum(np.abs(volume.fids(slice(at, at + _CHECKED_AT_ONCE))) ** 2, -1).min(-1) for at in volume._starts]
    )
    usable = np.isfinite(energy) & (energy > 0)
    if not usable.any():
        raise DataError(
            f"{volume.name}: none of the {len(usable)} voxels of the mask holds a finite FID that is not zero; "
            "check the mask and the data."
        )
    if not usable.all():
        notes += (about_empty(volume.voxels[~usable], len(usable)),)
    strongest = np.argsort(np.where(usable, -energy, np.inf), kind="stable")[: min(_LOOKED_AT, usable.sum())]
    mirrored = bool(
        is_mirrored(volume.fids(strongest).reshape(-1, volume.points), volume.dwell_s, volume.centre_hz)
    )
    if mirrored:
        notes += ("Warning: the spectra are stored mirrored (wrong conjugation) and were turned round.",)
    volume = replace(volume, voxels=volume.voxels[usable], empty=volume.voxels[~usable], mirrored=mirrored)
    if dimension is not None:
        grid = volume.dwell_s, volume.centre_hz
        order, said = order_of.decide(volume.mean(), *grid, header, dimension, edit_order, volume.name)
        notes += said
        if order == "on-off":
            volume = replace(volume, data=volume.data[..., ::-1, :])
    return replace(volume, notes=notes)


def read_mask(path, shape, name):
    """(x, y, z) bool array from a NIfTI image.

    Args:
        path: the image.
        shape: (x, y, z) that it must have.
        name: of the data, for messages.

    Raises:
        DataError: it cannot be read, has another shape, or is empty.
    """
    values = load_values(open_image(path), str(path))
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    if values.shape != tuple(shape):
        raise DataError(
            f"The mask {path} has {' x '.join(map(str, values.shape))} voxels, {name} {' x '.join(map(str, shape))}: "
            "give a mask on the grid of the data."
        )
    chosen = np.nan_to_num(values) != 0
    if not chosen.any():
        raise DataError(f"The mask {path} is empty (0 everywhere): mark the voxels to fit with 1.")
    return chosen


def _conditions(data, tags, name):
    """(x, y, z, condition, point) data, and the number of the edit dimension; None where there is none."""
    if data.ndim < 4:
        raise DataError(f"{name}: NIfTI-MRS has at least 4 dimensions, this has {data.ndim} {data.shape}.")
    if data.shape[3] < MINIMUM_POINTS:
        raise DataError(f"{name}: an FID needs at least {MINIMUM_POINTS} points, this has {data.shape[3]}.")
    edited = None
    for number, tag in zip((5, 6, 7), tags):
        length = data.shape[number - 1] if data.ndim >= number else 1
        if length == 2 and tag == "DIM_EDIT" and edited is None:
            edited = number
        elif length != 1:
            raise DataError(
                f"{name}: imaging is fitted from one spectrum a voxel or from two edit conditions, dim_{number} is "
                f"{tag or 'not named'} with {length} entries; combine or average them first, with fsl_mrs_proc, or "
                "take those that belong together with mrs_tools split."
            )
    return np.moveaxis(data.reshape(*data.shape[:4], -1), -1, 3), edited


def _about_place(mask, image):
    """Words about a mask that lies elsewhere in space than an image, none where it lies there."""
    place = np.asarray(open_image(mask).affine)
    voxel = np.linalg.norm(image.affine[:3, :3], axis=0).min()
    # A mask without a place of its own has the unit matrix; it says nothing about where it was drawn.
    if np.allclose(place, image.affine, atol=0.01 * voxel) or np.allclose(place, np.eye(4)):
        return ()
    return (
        f"Warning: {mask} and the data have different places in space (qform or sform); voxels are matched by their "
        "indices, as fsl_mrsi does. Check that the mask was drawn on these data.",
    )


def about_empty(voxels, total):
    """Words about voxels that cannot be fitted."""
    names = ", ".join(f"({x}, {y}, {z})" for x, y, z in voxels.tolist())
    return f"Warning: {len(voxels)} of {total} voxels hold NaN, infinity or only zeros and are left empty: {names}."
