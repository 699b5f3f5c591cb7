"""A scan as the fit sees it: one FID per condition, read from NIfTI-MRS and checked."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import axes
from ..basis.basis_set import EDITED, SINGLE
from ..errors import DataError
from . import edit_order as order_of
from .nifti_input import load_file, load_image

MAX_FIELD_DIFFERENCE = 0.01
"""Largest relative difference of spectrometer frequencies over which spectra are compared in ppm."""

UPRIGHT_PPM = (1.0, 3.5)
"""Where metabolites have lines and water has no wings, nor in its mirror image about 4.65 ppm."""

MIRRORED_RATIO = 4.0


@dataclass(frozen=True, eq=False)
class Scan:
    """FIDs of one voxel.

    Attributes:
        fids: (condition, point) complex128, memory orientation (see `fsl_mrs_dl.axes`).
        conditions: ("edit_off", "edit_on") or ("single",).
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        nucleus: "1H".
        echo_time_s: echo time (s) or None.
        name: short name for tables and messages.
        paths: the files it came from, none for objects.
        affine: (4, 4) voxel to world.
        notes: what was decided while reading, in words to print.
    """

    fids: np.ndarray
    conditions: tuple
    dwell_s: float
    centre_hz: float
    nucleus: str = "1H"
    echo_time_s: float | None = None
    name: str = "scan"
    paths: tuple = ()
    affine: np.ndarray | None = None
    notes: tuple = ()

    def __post_init__(self):
        fids = np.array(self.fids, dtype=complex)
        affine = np.eye(4) if self.affine is None else np.array(self.affine, dtype=float)
        if self.conditions not in (EDITED, SINGLE):
            raise DataError(f"{self.name}: conditions must be {EDITED} or {SINGLE}, not {self.conditions}.")
        if fids.ndim != 2 or len(fids) != len(self.conditions):
            raise DataError(f"{self.name}: FIDs must be (condition, point), not {fids.shape} for {self.conditions}.")
        if not np.isfinite(fids).all():
            raise DataError(f"{self.name}: FIDs must be finite; repeat the preprocessing that left NaN or infinity.")
        for condition, fid in zip(self.conditions, fids):
            if not fid.any():
                raise DataError(f"{self.name}: the {condition} FID is zero everywhere; convert the file again.")
        if not (self.dwell_s > 0 and self.centre_hz > 0):
            raise DataError(
                f"{self.name}: dwell time and frequency must be positive, not {self.dwell_s} s, {self.centre_hz} Hz."
            )
        object.__setattr__(self, "fids", fids)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "paths", tuple(Path(path) for path in self.paths))
        object.__setattr__(self, "notes", tuple(self.notes))

    @property
    def points(self):
        """Number of points of an FID."""
        return self.fids.shape[-1]

    @property
    def edited(self):
        """Whether both edit conditions are there."""
        return self.conditions == EDITED

    def single(self, spectrum):
        """One spectrum of an edited scan, "edit_off", "edit_on" or "difference" (on - off), as a scan of its own."""
        off, on = self.fids
        fid = {"edit_off": off, "edit_on": on, "difference": on - off}[spectrum]
        note = f"Only the {spectrum.replace('_', '-')} spectrum is used, by a model of one spectrum."
        return replace(self, fids=fid[None], conditions=SINGLE, notes=(*self.notes, note))

    def with_notes(self, *notes):
        """The same scan with more notes."""
        return replace(self, notes=self.notes + notes)


def read_scan(path, edit_order=None):
    """Scan from a NIfTI-MRS file.

    A file without an edit dimension gives a scan with the condition "single", see `require_edited`.

    Args:
        path: .nii or .nii.gz file with one voxel; transients (DIM_DYN) are averaged.
        edit_order: "on-off" or "off-on" to force the order of DIM_EDIT; else header, then the spectra decide.

    Raises:
        DataError: the file cannot be read or used; the message says what to do.
        ConfigError: `edit_order` is something else.
    """
    order_of.check_order(edit_order)
    return _assemble(load_file(path), edit_order, (Path(path),))


def scan_from_nifti(nifti, edit_order=None, name=None):
    """Scan from a nifti_mrs NIFTI_MRS object or a nibabel image; as `read_scan`."""
    order_of.check_order(edit_order)
    return _assemble(load_image(nifti, name), edit_order, ())


def read_edited_pair(edit_on, edit_off):
    """Scan from two files, or two NIFTI_MRS or nibabel objects, with one condition each.

    Raises:
        DataError: one of them cannot be used, or they do not belong together.
    """
    both = {}
    for option, source in (("--edit_on", edit_on), ("--edit_off", edit_off)):
        scan = read_scan(source) if isinstance(source, (str, Path)) else scan_from_nifti(source)
        if scan.edited:
            raise DataError(f"{scan.name} ({option}) already holds both edit conditions; give it as --data.")
        both[option] = scan
    on, off = both["--edit_on"], both["--edit_off"]
    same_grid = np.allclose((on.dwell_s, on.centre_hz), (off.dwell_s, off.centre_hz), rtol=1e-4)
    if on.points != off.points or not same_grid:
        raise DataError(
            f"--edit_on and --edit_off must be one acquisition: {on.name} has {on.points} points of {on.dwell_s:g} s "
            f"at {on.centre_hz / 1e6:.4f} MHz, {off.name} {off.points} points of {off.dwell_s:g} s at "
            f"{off.centre_hz / 1e6:.4f} MHz; give the two files of one scan."
        )
    if np.array_equal(on.fids, off.fids):
        raise DataError(f"--edit_on and --edit_off ({off.name}) are the same spectrum; give the two of one scan.")
    notes = tuple(dict.fromkeys(off.notes + on.notes))
    seen, how, ratio = order_of.signal_order(np.concatenate([off.fids, on.fids]), on.dwell_s, on.centre_hz)
    if seen == "on-off":
        why = order_of.CONTRADICTED[how].format(ratio=ratio)
        notes += (
            f"Warning: {off.name}, given as --edit_off, looks like edit-on ({why}); check that the two are not "
            "exchanged.",
        )
    fids = np.concatenate([off.fids, on.fids])
    return replace(off, fids=fids, conditions=EDITED, paths=off.paths + on.paths, notes=notes)


def require_edited(scan):
    """The scan, if it has both edit conditions.

    Raises:
        DataError: it has one spectrum only.
    """
    if not scan.edited:
        raise DataError(
            f"{scan.name} holds one spectrum, an edited fit needs two: give a file with an edit dimension (DIM_EDIT) "
            "of two, or the two files with --edit_on and --edit_off; or take a model of one spectrum, such as "
            "--model hybrid_off."
        )
    return scan


def check_field(scan, centre_hz):
    """Refuse a scan from another field strength than a basis's.

    Args:
        scan: the scan.
        centre_hz: spectrometer frequency of the basis (Hz).

    Raises:
        DataError: the spectrometer frequencies differ by more than a percent.
    """
    if abs(centre_hz / scan.centre_hz - 1) > MAX_FIELD_DIFFERENCE:
        gyromagnetic = axes.GYROMAGNETIC_HZ_PER_T[scan.nucleus]
        raise DataError(
            f"{scan.name} was acquired at {scan.centre_hz / gyromagnetic:.2f} T ({scan.centre_hz / 1e6:.1f} MHz), the "
            f"basis is for {centre_hz / gyromagnetic:.2f} T ({centre_hz / 1e6:.1f} MHz); use a basis and a model "
            f"for the field of the scan (fsl_mrs_dl simulate --b0 {scan.centre_hz / gyromagnetic:.3f})."
        )


def resample_scan(scan, dwell_s, points, centre_hz):
    """The scan on a basis's time grid, with every line at its ppm.

    The two spectrometer frequencies may differ a little. Frequencies are then scaled by their ratio, so that
    chemical shifts stay; couplings and linewidths in Hz change by that ratio, at most a percent.

    Args:
        scan: the scan.
        dwell_s: dwell time wanted (s).
        points: number of points wanted.
        centre_hz: spectrometer frequency of the basis (Hz).

    Raises:
        DataError: the field strengths differ by more than a percent.
    """
    check_field(scan, centre_hz)
    fids = axes.resample(scan.fids, scan.dwell_s, dwell_s * centre_hz / scan.centre_hz, points)
    return replace(scan, fids=fids, dwell_s=dwell_s, centre_hz=centre_hz)


def _assemble(acquisition, edit_order, paths):
    """Scan from an acquisition: dimensions reduced to conditions, turned upright, put in order."""
    name, notes = acquisition.name, acquisition.notes
    fids, dimension, reduced = _conditions(acquisition)
    notes += reduced
    if is_mirrored(fids, acquisition.dwell_s, acquisition.centre_hz):
        fids = np.conj(fids)
        notes += ("Warning: the spectrum is stored mirrored (wrong conjugation) and was turned round.",)
    conditions = SINGLE
    if len(fids) == 2:
        for fid, place in zip(fids, ("first", "second")):
            if not fid.any():
                raise DataError(f"{name}: the {place} edit condition is zero everywhere; convert the file again.")
        order, decision = order_of.decide(
            fids, acquisition.dwell_s, acquisition.centre_hz, acquisition.header, dimension, edit_order, name
        )
        fids = fids[::-1] if order == "on-off" else fids
        conditions, notes = EDITED, notes + decision
    return Scan(
        fids, conditions, acquisition.dwell_s, acquisition.centre_hz, acquisition.nucleus, acquisition.echo_time_s,
        name, paths, acquisition.affine, notes,
    )  # fmt: skip


def _conditions(acquisition):
    """(condition, point) FIDs, the number of the edit dimension or None, and notes."""
    data, notes, edit_dimension, averaged = acquisition.data, (), None, []
    for number, tag in zip((5, 6, 7), acquisition.tags):
        length = data.shape[number - 4]
        if length == 1:
            continue
        if tag == "DIM_EDIT":
            if length != 2 or edit_dimension is not None:
                raise DataError(
                    f"{acquisition.name}: exactly two edit conditions are fitted, dim_{number} (DIM_EDIT) has {length}"
                    f"{'' if edit_dimension is None else f' beside dim_{edit_dimension}'}; "
                    "take the two that belong together with mrs_tools split."
                )
            edit_dimension = number
        elif tag == "DIM_DYN":
            averaged.append(number - 4)
            notes += (
                f"{length} transients (DIM_DYN) averaged as they are; align them before with fsl_mrs_preproc_edit "
                "if the frequency drifted.",
            )
        elif tag == "DIM_COIL":
            raise DataError(
                f"{acquisition.name}: {length} receive coils (DIM_COIL) must be combined first, with "
                "fsl_mrs_proc coilcombine, or the whole preprocessing with fsl_mrs_preproc_edit."
            )
        else:
            raise DataError(
                f"{acquisition.name}: only DIM_EDIT and DIM_DYN can be read, dim_{number} is {tag or 'not named'} with "
                f"{length} entries; take one with mrs_tools split, or combine them with fsl_mrs_proc."
            )
    data = data.mean(axis=tuple(averaged), keepdims=True) if averaged else data
    if edit_dimension is None:
        return data.reshape(1, -1), None, notes
    return np.moveaxis(data, edit_dimension - 4, 0).reshape(2, -1), edit_dimension, notes


def is_mirrored(fids, dwell_s, centre_hz):
    """Whether the lines stand on the wrong side of water: decidedly more signal in the mirror image."""
    power = np.mean(np.abs(order_of.narrow_lines(fids, dwell_s, rise_s=15e-3)) ** 2, axis=0)
    distance = axes.ppm_axis(fids.shape[-1], dwell_s, centre_hz) - axes.REFERENCE_PPM
    near, far = (axes.REFERENCE_PPM - limit for limit in UPRIGHT_PPM[::-1])
    upright = power[(distance < -near) & (distance > -far)]
    mirrored = power[(distance > near) & (distance < far)]
    return upright.size > 0 and mirrored.sum() > MIRRORED_RATIO * upright.sum()
