"""LCModel .BASIS files.

A .BASIS file is a row of Fortran namelists: $SEQPAR (HZPPPM in MHz, FWHMBA in ppm), $BASIS1 (FMTBAS, BADELT in
s, NDATAB) and, per metabolite, $BASIS (METABO, ISHIFT) followed by NDATAB complex numbers: the plain
Fourier transform of the FID, its zero frequency first, to be rotated by ISHIFT points towards lower
indices (LCModel User's Manual, section 8). In the time domain it is the conjugate of the memory orientation.
"""

import re

import numpy as np

from ..axes import conjugate_for_disk
from ..errors import BasisError
from .basis_files import (
    MAX_METABOLITES,
    MAX_POINTS,
    MIN_POINTS,
    BasisFile,
    check_fid,
    check_finite,
    check_name,
    check_positive,
    read_text,
)

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\s*=\s*(?:'((?:[^']|'')*)'|([^\s,']+))")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][-+]?\d+|[-+]\d{3})?")


def read_lcmodel(path):
    """Read an unencrypted .BASIS file.

    Args:
        path: Path.

    Returns:
        BasisFile, sorted by name as FSL-MRS has it; nucleus 1H, the only one that the format knows.

    Raises:
        BasisError: the file is encrypted, malformed, or holds values that cannot be used.
    """
    header, blocks = _sections(read_text(path, encoding="latin-1"))
    dwell_s = _number(header, "BADELT", path)
    if dwell_s < 0:
        raise BasisError(
            f"{path} is encrypted (BADELT is negative) and only LCModel can read it; "
            "simulate a basis for your sequence with fsl_mrs_dl simulate."
        )
    check_positive(dwell_s, "BADELT (s)", path)
    centre_mhz = check_positive(_number(header, "HZPPPM", path), "HZPPPM (MHz)", path)
    points = _number(header, "NDATAB", path)
    if not (points.is_integer() and MIN_POINTS <= points <= MAX_POINTS):
        raise BasisError(f"NDATAB must be a whole number from {MIN_POINTS} to {MAX_POINTS}, not {points}, in {path}.")
    if not 1 <= len(blocks) <= MAX_METABOLITES:
        raise BasisError(f"A .BASIS file holds 1 to {MAX_METABOLITES} metabolites; {path} has {len(blocks)}.")
    fids = {}
    for fields, lines in blocks:
        name = fields.get("METABO", "").strip()
        check_name(name, path)
        if name in fids:
            raise BasisError(f"Each metabolite stands once in a basis; {path} holds {name} twice.")
        fids[name] = _block_fid(fields, lines, int(points), f"{path} ({name})")
    width_ppm = _number(header, "FWHMBA", path) if "FWHMBA" in header else 0.0
    return BasisFile(
        names=tuple(sorted(fids)),
        fids=np.array([fids[name] for name in sorted(fids)]),
        dwell_s=dwell_s,
        centre_hz=centre_mhz * 1e6,
        # LCModel writes -1 where the width is not stated.
        linewidth_hz=width_ppm * centre_mhz if width_ppm > 0 else 0.0,
        nucleus="1H",
        path=path,
    )


def _sections(text):
    """Header fields, and per metabolite its fields and lines of numbers.

    Returns:
        dictionary of all assignments outside $BASIS and $NMUSED; list of (fields, lines) per $BASIS.
    """
    header, blocks, open_name, body = {}, [], None, []
    for line in text.splitlines():
        stripped = line.strip()
        if open_name is None and stripped[:1] in ("$", "&"):
            word, _, line = stripped[1:].partition(" ")
            open_name, body, stripped = word.upper(), [], line.strip()
        if open_name is None:
            if blocks and stripped:
                blocks[-1][1].append(line)
            continue
        end = re.search(r"[$&]END\b", line, re.IGNORECASE)
        body.append(line[: end.start()] if end else line)
        if end or stripped == "/":
            fields = {key.upper(): quoted or bare for key, quoted, bare in _ASSIGNMENT.findall("\n".join(body))}
            if open_name == "BASIS":
                blocks.append((fields, []))
            elif open_name != "NMUSED":
                header.update(fields)
            open_name = None
    return header, blocks


def _number(fields, key, path):
    """A field of a namelist as float, or BasisError."""
    try:
        return float(fields[key].replace("D", "E").replace("d", "e"))
    except KeyError as exc:
        raise BasisError(f"A .BASIS file states {key}; {path} does not.") from exc
    except ValueError as exc:
        raise BasisError(f"{key} must be a number, not {fields[key][:40]!r}, in {path}.") from exc


def _block_fid(fields, lines, points, where):
    """FID (point,) complex128 in memory orientation of one metabolite's numbers."""
    text = "\n".join(lines)
    try:
        values = np.array(text.split(), dtype=float)
    except ValueError:
        # Fixed-width Fortran numbers may touch each other, have a D, or no letter before a long exponent.
        values = _fortran_numbers(text, where)
    if values.size != 2 * points:
        raise BasisError(f"NDATAB promises {points} complex points; {where} has {values.size / 2:g}.")
    shift = _number(fields, "ISHIFT", where) if "ISHIFT" in fields else 0.0
    if not shift.is_integer() or abs(shift) > points:
        raise BasisError(f"ISHIFT must be a whole number of at most {points}, not {shift}, in {where}.")
    check_finite(values, where)
    spectrum = values[0::2] + 1j * values[1::2]
    check_fid(spectrum, where)
    return conjugate_for_disk(np.fft.ifft(np.roll(spectrum, -int(shift))))


def _fortran_numbers(text, where):
    """Numbers of Fortran E fields, with or without gaps between them."""
    left_over = _NUMBER.sub(" ", text).split()
    if left_over:
        raise BasisError(f"{where} holds {left_over[0][:40]!r} where numbers are expected.")
    fixed = (re.sub(r"(?<=[\d.])([-+]\d{3})$", r"E\1", word) for word in _NUMBER.findall(text))
    return np.array([float(word.upper().replace("D", "E")) for word in fixed])
