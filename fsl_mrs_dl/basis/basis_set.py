"""Basis sets: the FIDs of every metabolite in every acquired condition, with their headers."""

import dataclasses
import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np

from ..axes import resample
from ..errors import BasisError
from .basis_check import check_basis
from .basis_files import BasisFile, check_fid, check_name, read_json_folder, write_json_folder
from .lcmodel import read_lcmodel

__all__ = ["BasisSet", "check_basis", "read_basis", "shipped_basis", "write_basis", "EDITED", "SINGLE", "SUBFOLDERS"]

EDITED = ("edit_off", "edit_on")
SINGLE = ("single",)

SUBFOLDERS = {"edit_off": "off", "edit_on": "on", "difference": "diff"}
"""Spectrum of an edited set -> name of its folder."""

SHIPPED = "megapress_te68_3t"

VISIBLE = 0.01
"""Norm of a metabolite's FID relative to the largest one's below which a scan says nothing about it (creatine in a
difference spectrum): it is left out of training scans, and networks learn to report none."""


@dataclasses.dataclass(frozen=True, eq=False)
class BasisSet:
    """FIDs of metabolites at concentration 1; the FID of a scan is concentrations @ fids.

    Attributes:
        fids: (condition, metabolite, point) complex128, memory orientation (see `axes`).
        conditions: ("edit_off", "edit_on") of an edited set, ("single",) otherwise.
        names: metabolites, all different.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        linewidth_hz: full width at half maximum that the lines have (Hz), 0 if unknown.
        nucleus: such as 1H.
        folders: where each condition was read from, None if it was not read.

    Raises:
        BasisError: shapes, names or values do not fit.
    """

    fids: np.ndarray
    conditions: tuple
    names: tuple
    dwell_s: float
    centre_hz: float
    linewidth_hz: float
    nucleus: str = "1H"
    folders: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "fids", np.asarray(self.fids, dtype=complex))
        object.__setattr__(self, "conditions", tuple(self.conditions))
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "folders", tuple(self.folders) or (None,) * len(self.conditions))
        if self.conditions not in (EDITED, SINGLE):
            raise BasisError(f"The conditions of a basis are {EDITED} or {SINGLE}, not {self.conditions}.")
        if self.fids.ndim != 3 or self.fids.shape[:2] != (len(self.conditions), len(self.names)) or not self.names:
            raise BasisError(
                f"Basis FIDs have the shape (condition, metabolite, point), here ({len(self.conditions)}, "
                f"{len(self.names)}, points), not {self.fids.shape}."
            )
        if len(self.folders) != len(self.conditions):
            raise BasisError(f"A basis has one folder per condition, not {len(self.folders)}.")
        for name in self.names:
            check_name(name, "the basis")
        if len(set(self.names)) < len(self.names):
            raise BasisError(f"Each metabolite stands once in a basis, not as in {', '.join(self.names)}.")
        for condition, fids in zip(self.conditions, self.fids, strict=True):
            for name, fid in zip(self.names, fids, strict=True):
                check_fid(fid, f"{name} of {condition}")
        for field in ("dwell_s", "centre_hz"):
            if not 0 < getattr(self, field) < np.inf:
                raise BasisError(f"{field} of a basis must be positive, not {getattr(self, field)}.")
        if not 0 <= self.linewidth_hz < np.inf:
            raise BasisError(f"linewidth_hz of a basis must be 0 or more, not {self.linewidth_hz}.")

    @property
    def points(self):
        """Number of points of every FID."""
        return self.fids.shape[-1]

    @cached_property
    def shown(self):
        """Metabolites that the spectra of the set show: creatine is none of those of a difference."""
        return shown_names(self.names, self.fids)

    def spectrum(self, name):
        """FIDs (metabolite, point) of "edit_off", "edit_on", "difference" (on - off, without 1/2) or "single".

        Raises:
            BasisError: the set does not have it.
        """
        if name == "difference" and self.conditions == EDITED:
            return self.fids[1] - self.fids[0]
        if name not in self.conditions:
            raise BasisError(f"A basis with the conditions {', '.join(self.conditions)} has no spectrum '{name}'.")
        return self.fids[self.conditions.index(name)]

    def folder(self, name):
        """Path that holds a spectrum (as of `spectrum`) as a basis of its own, or None."""
        if name != "difference":
            return self.folders[self.conditions.index(name)] if name in self.conditions else None
        beside = self.folders[0].parent / SUBFOLDERS[name] if self.folders[0] else None
        one_parent = beside is not None and self.folders == tuple(beside.parent / SUBFOLDERS[key] for key in EDITED)
        return beside if one_parent and beside.is_dir() else None

    def keep(self, names):
        """The set with these metabolites only, in this order.

        Raises:
            BasisError: a metabolite is not in the set.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise BasisError(f"The basis has no {', '.join(missing)}; it has {', '.join(self.names)}.")
        chosen = [self.names.index(name) for name in names]
        return dataclasses.replace(self, fids=self.fids[:, chosen], names=tuple(names))

    def resample(self, dwell_s, points):
        """The set on another time grid, each line where it was; lines outside the new band vanish.

        Raises:
            BasisError: the FIDs end before the new grid does, and have not decayed by then.
        """
        tail = np.abs(self.fids[..., -max(self.points // 32, 1) :]).max() / np.abs(self.fids).max()
        if points * dwell_s > self.points * self.dwell_s * (1 + 1e-6) and tail > 0.05:
            raise BasisError(
                f"A basis must last as long as the scan: {points * dwell_s:.3f} s are wanted, it ends after "
                f"{self.points * self.dwell_s:.3f} s at {tail:.0%} of its maximum; simulate it with more points."
            )
        fids = resample(self.fids, self.dwell_s, dwell_s, points)
        return dataclasses.replace(self, fids=fids, dwell_s=float(dwell_s))

    def rounded(self, digits=7):
        """The set with its values rounded to significant digits, so that its files are short."""
        return dataclasses.replace(self, fids=_significant(self.fids, digits))

    def fingerprint(self):
        """SHA-256 (hexadecimal) of what a trained model depends on.

        It covers conditions, names, nucleus, dwell time (to 1e-8), centre (to 1 Hz), number of points and
        values (to 1e-5 of the largest). Neither the order of the metabolites nor one factor on all values
        changes it.
        """
        # Only single IEEE operations on the stored numbers: the same file gives the same digits on every machine.
        largest = max(np.abs(self.fids.real).max(), np.abs(self.fids.imag).max())
        names = sorted(self.names)
        head = [self.conditions, names, self.nucleus, f"{self.dwell_s:.8e}", round(self.centre_hz), self.points]
        digest = hashlib.sha256(json.dumps(head).encode())
        for name in names:
            fids = self.fids[:, self.names.index(name)]
            for part in (fids.real, fids.imag):
                digest.update(np.rint(part / largest * 1e5).astype("<i4").tobytes())
        return digest.hexdigest()


def _significant(values, digits):
    """Complex array with real and imaginary parts rounded to significant decimal digits."""
    pairs = np.ascontiguousarray(values, dtype=complex).view(float)
    rounded = [float(f"{number:.{digits - 1}e}") for number in pairs.ravel().tolist()]
    return np.array(rounded).view(complex).reshape(values.shape)


def read_basis(path):
    """Read a basis set.

    Args:
        path: a folder with off/ and on/ (and diff/, which must then be on - off), a folder of FSL-MRS *.json
            files, or a LCModel .BASIS file; or a list of one such path or of two (edit-off, edit-on).

    Returns:
        BasisSet.

    Raises:
        BasisError: something is missing, malformed, or does not fit together.
    """
    paths = [Path(one) for one in (path if isinstance(path, (list, tuple)) else [path])]
    if len(paths) == 2:
        return _edited(*map(_read_condition, paths))
    if len(paths) != 1:
        raise BasisError(f"A basis is one path or two (edit-off, edit-on), not {len(paths)}.")
    folder = paths[0]
    present = [name for name in SUBFOLDERS.values() if (folder / name).is_dir()]
    if not present:
        return _single(_read_condition(folder))
    if not {"off", "on"} <= set(present):
        raise BasisError(f"An edited basis has the folders off and on; {folder} has only {', '.join(present)}.")
    basis = _edited(*(_read_condition(folder / SUBFOLDERS[name]) for name in EDITED))
    if "diff" in present:
        _check_difference(basis, read_json_folder(folder / "diff", may_be_zero=True))
    return basis


def _read_condition(path):
    """BasisFile of one folder or file."""
    if path.is_dir():
        return read_json_folder(path)
    if not path.exists():
        raise BasisError(f"The basis {path} does not exist.")
    if path.suffix.lower() != ".basis":
        raise BasisError(
            f"A basis is a folder of FSL-MRS JSON files or a LCModel .BASIS file, not {path}; "
            "FSL-MRS's basis_tools convert makes a folder from other formats."
        )
    return read_lcmodel(path)


def _single(file):
    """BasisSet of one condition."""
    return BasisSet(
        fids=file.fids[None],
        conditions=SINGLE,
        names=file.names,
        dwell_s=file.dwell_s,
        centre_hz=file.centre_hz,
        linewidth_hz=file.linewidth_hz,
        nucleus=file.nucleus,
        folders=(file.path,),
    )


def _edited(off, on):
    """BasisSet of edit-off and edit-on, whose headers must agree."""
    return BasisSet(
        fids=np.array([off.fids, _matching(off, on)]),
        conditions=EDITED,
        names=off.names,
        dwell_s=off.dwell_s,
        centre_hz=off.centre_hz,
        linewidth_hz=off.linewidth_hz,
        nucleus=off.nucleus,
        folders=(off.path, on.path),
    )


def _matching(first, other):
    """FIDs (metabolite, point) of a BasisFile in the order of another one with which it must agree."""
    differing = set(first.names) ^ set(other.names)
    if differing:
        raise BasisError(
            f"All conditions of a basis hold the same metabolites; {', '.join(sorted(differing))} "
            f"only in one of {first.path} and {other.path}."
        )
    same = (
        first.fids.shape == other.fids.shape
        and np.allclose((first.dwell_s, first.centre_hz), (other.dwell_s, other.centre_hz), rtol=1e-6, atol=0)
        and first.nucleus == other.nucleus
    )
    if not same:
        heads = [f"{x.fids.shape[1]} points, {x.dwell_s} s, {x.centre_hz} Hz, {x.nucleus}" for x in (first, other)]
        raise BasisError(
            f"All conditions of a basis have one header; {first.path} has {heads[0]}, {other.path} {heads[1]}."
        )
    return other.fids[[other.names.index(name) for name in first.names]]


def _check_difference(basis, file):
    """Raise BasisError, saying what was found, unless a diff folder holds on - off."""
    off = BasisFile(basis.names, basis.fids[0], basis.dwell_s, basis.centre_hz, 0.0, basis.nucleus, basis.folders[0])
    found, expected = _matching(off, file), basis.spectrum("difference")
    allowed = 1e-4 * np.abs(basis.fids).max()
    if np.abs(found - expected).max() <= allowed:
        return
    others = {"(on - off) / 2": 0.5, "off - on": -1.0, "(off - on) / 2": -0.5}
    is_other = (text for text, factor in others.items() if np.abs(found - factor * expected).max() <= allowed)
    raise BasisError(
        f"The folder diff of an edited basis is on - off; {file.path} is {next(is_other, 'something else')}. "
        "Correct it, or remove it: the difference is computed from on and off."
    )


def write_basis(basis, folder, sequences=None):
    """Write FSL-MRS JSON folders: off, on and diff (on - off) of an edited set, or one folder of a single condition.

    Args:
        basis: BasisSet.
        folder: where to write; made if it does not exist.
        sequences: description of the sequence per condition (dictionaries), kept in the field seq, or None.
    """
    for name in basis.conditions + (("difference",) if basis.conditions == EDITED else ()):
        fids, kept = basis.spectrum(name), (sequences or {}).get(name)
        if name == "difference":
            # The subtraction would leave numbers of 17 digits that mean nothing.
            fids = _significant(fids, 7)
        file = BasisFile(
            basis.names, fids, basis.dwell_s, basis.centre_hz, basis.linewidth_hz, basis.nucleus, Path(folder)
        )
        write_json_folder(file, Path(folder) / SUBFOLDERS.get(name, ""), kept)


def shipped_basis(name=SHIPPED):
    """Path of a basis set that comes with the package.

    Raises:
        BasisError: there is no such set.
    """
    package = Path(__file__).resolve().parents[1]
    roots = [root for root in (package / "basis_sets", package.parent / "basis_sets") if root.is_dir()]
    sets = {path.name: path for root in reversed(roots) for path in root.iterdir() if (path / "off").is_dir()}
    if name not in sets:
        raise BasisError(f"There is no shipped basis '{name}'; there are: {', '.join(sorted(sets)) or 'none'}.")
    return sets[name]


def shown_names(names, fids):
    """Metabolites of (condition, metabolite, point) basis spectra that are not all but empty."""
    norms = np.linalg.norm(fids, axis=(0, 2))
    return tuple(name for name, norm in zip(names, norms) if norm > VISIBLE * norms.max())
