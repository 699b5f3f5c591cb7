"""FSL-MRS basis folders: one JSON file per metabolite, read and written.

The fields are those that fsl_mrs_sim writes: basis.basis_re and basis.basis_im (the conjugate of the memory
orientation), basis_dwell (s), basis_centre (MHz), basis_width (Hz), basis_name, and optionally
basis_nucleus or seq.Nucleus. Files are input of unknown origin: everything read is checked.
"""

import collections
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._version import __version__
from ..axes import conjugate_for_disk
from ..errors import BasisError

MAX_FILE_BYTES = 256 * 2**20
MAX_POINTS = 2**20
MIN_POINTS = 16
MAX_METABOLITES = 500

_NAME = re.compile(r"(?!\.)[^/\\:*?\"<>|\x00-\x1f\x7f]{1,64}")


class BasisFile(NamedTuple):
    """FIDs of one condition as read.

    Attributes:
        names: metabolites.
        fids: (metabolite, point) complex128, memory orientation.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        linewidth_hz: full width at half maximum of the lines (Hz), 0 if the file does not state it.
        nucleus: such as 1H.
        path: file or folder.
    """

    names: tuple
    fids: np.ndarray
    dwell_s: float
    centre_hz: float
    linewidth_hz: float
    nucleus: str
    path: Path


def read_text(path, encoding="utf-8"):
    """Text of a file of bounded size.

    Raises:
        BasisError: it cannot be read, is too large, or is not text.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BasisError(f"A basis file has at most {MAX_FILE_BYTES // 2**20} MiB; {path} is larger.")
        return path.read_text(encoding=encoding)
    except OSError as exc:
        raise BasisError(f"The basis file {path} cannot be read ({exc.strerror}).") from exc
    except UnicodeDecodeError as exc:
        raise BasisError(f"The basis file {path} is not a text file.") from exc


def check_name(name, path):
    """Raise BasisError unless a metabolite's name can be the name of a file."""
    usable = isinstance(name, str) and _NAME.fullmatch(name) and name == name.strip()
    if not usable:
        raise BasisError(f"A metabolite needs a name of 1 to 64 characters usable in a file name; {path} has {name!r}.")


def check_positive(value, what, path):
    """A finite number above 0 as float, or BasisError naming the field and the file."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e30:
        raise BasisError(f"{what} must be a positive number, not {str(value)[:40]!r}, in {path}.")
    return float(value)


def check_finite(values, path):
    """Raise BasisError unless all of an array of floats are finite, with room for sums and squares of them."""
    if not (np.abs(values) < 1e100).all():
        raise BasisError(f"Basis FIDs must be finite; {path} contains NaN, infinite or huge values.")


def check_fid(values, path, may_be_zero=False):
    """Raise BasisError unless an FID (point,) has a usable length and finite values, not all of them 0."""
    if values.ndim != 1 or not MIN_POINTS <= values.size <= MAX_POINTS:
        raise BasisError(
            f"A basis FID is a list of {MIN_POINTS} to {MAX_POINTS} points; {path} has the shape {values.shape}."
        )
    check_finite(values.real, path)
    check_finite(values.imag, path)
    if not may_be_zero and not values.any():
        raise BasisError(f"Basis FIDs must hold a signal; all values in {path} are 0.")


def read_json_folder(folder, may_be_zero=False):
    """Read every *.json of a folder, in the order of the file names, as FSL-MRS does.

    Args:
        folder: Path.
        may_be_zero: whether a metabolite may have no signal, as in a difference that cancels it.

    Returns:
        BasisFile. The linewidth is the most frequent one.

    Raises:
        BasisError: no file, or a file that is malformed or does not fit the others.
    """
    paths = sorted(folder.glob("*.json"))
    if not 1 <= len(paths) <= MAX_METABOLITES:
        raise BasisError(
            f"A basis folder holds 1 to {MAX_METABOLITES} metabolite files *.json; {folder} has {len(paths)}."
        )
    files = [_read_json(path, may_be_zero) for path in paths]
    first = files[0]
    for file in files[1:]:
        for field, rule in (("dwell_s", 1e-6), ("centre_hz", 1e-6)):
            one, other = getattr(first, field), getattr(file, field)
            if abs(one - other) > rule * one:
                raise BasisError(f"All files of a basis have one {field}; {first.path} has {one}, {file.path} {other}.")
        if file.fids.shape != first.fids.shape:
            raise BasisError(
                f"All files of a basis have one length; {first.path} has {first.fids.shape[1]} points, "
                f"{file.path} {file.fids.shape[1]}."
            )
        if file.nucleus != first.nucleus:
            raise BasisError(
                f"All files of a basis have one nucleus; {first.path} has {first.nucleus}, {file.path} {file.nucleus}."
            )
    names = [file.names[0] for file in files]
    twice = [file for file in files if names.count(file.names[0]) > 1]
    if twice:
        raise BasisError(
            f"Each metabolite stands in one file; {twice[0].path} and {twice[1].path} both hold {twice[0].names[0]}."
        )
    width = collections.Counter(file.linewidth_hz for file in files).most_common(1)[0][0]
    fids = np.concatenate([file.fids for file in files])
    return BasisFile(tuple(names), fids, first.dwell_s, first.centre_hz, width, first.nucleus, folder)


def _read_json(path, may_be_zero):
    """BasisFile of one metabolite's JSON file."""
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as exc:
        raise BasisError(f"The basis file {path} is not valid JSON ({str(exc)[:80]}).") from exc
    basis = content.get("basis") if isinstance(content, dict) else None
    if not isinstance(basis, dict):
        raise BasisError(f"A FSL-MRS basis file has a field 'basis'; {path} has none.")
    needed = ("basis_re", "basis_im", "basis_dwell", "basis_centre", "basis_name")
    missing = [key for key in needed if key not in basis]
    if missing:
        raise BasisError(f"The field 'basis' of {path} lacks {', '.join(missing)}.")
    check_name(basis["basis_name"], path)
    real, imaginary = (_numbers(basis[key], key, path) for key in ("basis_re", "basis_im"))
    if real.shape != imaginary.shape:
        raise BasisError(
            f"basis_re and basis_im must be equally long; {path} has {real.size} and {imaginary.size} values."
        )
    stored = real + 1j * imaginary
    check_fid(stored, path, may_be_zero)
    width = basis.get("basis_width")
    sequence = content.get("seq")
    nucleus = basis.get("basis_nucleus") or (sequence.get("Nucleus") if isinstance(sequence, dict) else None) or "1H"
    if not isinstance(nucleus, str):
        raise BasisError(f"A nucleus is a text such as 1H; {path} has {str(nucleus)[:40]!r}.")
    return BasisFile(
        names=(basis["basis_name"],),
        fids=conjugate_for_disk(stored)[None],
        dwell_s=check_positive(basis["basis_dwell"], "basis_dwell (s)", path),
        centre_hz=check_positive(basis["basis_centre"], "basis_centre (MHz)", path) * 1e6,
        # FSL-MRS itself writes null for sets that it converted from LCModel.
        linewidth_hz=check_positive(width, "basis_width (Hz)", path) if width else 0.0,
        nucleus=nucleus,
        path=path,
    )


def _numbers(values, key, path):
    """(point,) float64 array of a JSON list, or BasisError."""
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise BasisError(f"{key} must be a list of numbers, in {path}.")
    try:
        array = np.array(values, dtype=float)
    except OverflowError as exc:
        raise BasisError(f"{key} holds a number out of range, in {path}.") from exc
    check_finite(array, path)
    return array


def write_json_folder(file, folder, sequence=None):
    """Write one FSL-MRS JSON file per metabolite; the same input gives the same bytes.

    Args:
        file: BasisFile (its path is not used).
        folder: Path, made if it does not exist.
        sequence: dictionary for the field seq of every file, or None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, fid in zip(file.names, conjugate_for_disk(file.fids), strict=True):
        # Adding 0 turns -0.0 into 0.0.
        content = {
            "seq": sequence,
            "basis": {
                "basis_re": (fid.real + 0.0).tolist(),
                "basis_im": (fid.imag + 0.0).tolist(),
                "basis_dwell": file.dwell_s,
                "basis_centre": file.centre_hz / 1e6,
                "basis_width": file.linewidth_hz or None,
                "basis_name": name,
                "basis_nucleus": file.nucleus,
            },
            "meta": {"SimVersion": f"fsl_mrs_dl {__version__}"},
        }
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
