"""Pulse shapes from files: two columns of text, or Siemens .pta."""

import re
from pathlib import Path

import numpy as np

from ..errors import BasisError
from .pulses import Pulse, calibrate

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def read_pulse(path, duration_s, flip_rad=None, peak_hz=None, phase_unit=None):
    """Read a pulse shape and scale it.

    Args:
        path: a .pta file (amplitude and phase in rad, a header with NAME: VALUE lines), or any other text of two
            columns, amplitude and phase; lines that start with #, % or ; are comments.
        duration_s: duration (s); the files do not hold it.
        flip_rad: flip angle wanted on resonance (rad), for shapes whose phases are all 0 or pi; or
        peak_hz: peak nutation rate wanted (Hz), for any shape.
        phase_unit: "rad" or "deg" of a two-column file's phases; it has to be said, as the file does not.

    Returns:
        Pulse named after the file.

    Raises:
        BasisError: the file is not such a shape, or the scaling is not defined.
    """
    path = Path(path)
    if (flip_rad is None) == (peak_hz is None):
        raise BasisError(f"The pulse {path.name} needs either a flip angle or a peak amplitude, exactly one of them.")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise BasisError(f"Cannot read the pulse {path}: {exc.strerror or exc}.") from exc
    if path.suffix.lower() == ".pta":
        if phase_unit not in (None, "rad"):
            raise BasisError(f"Phases of a .pta file are in rad, not {phase_unit}; leave the unit out.")
        shape, phase = _pta_points(text, path), 1.0
    else:
        if phase_unit not in ("rad", "deg"):
            raise BasisError(f"{path.name} does not say the unit of its phases; give rad or deg, not {phase_unit}.")
        shape, phase = _columns(text, path), np.pi / 180 if phase_unit == "deg" else 1.0
    amplitude, phase_rad = shape[:, 0], shape[:, 1] * phase
    largest = np.max(np.abs(amplitude))
    if not largest > 0:
        raise BasisError(f"The pulse {path.name} has no amplitude above 0; it is not a pulse.")
    if peak_hz is not None:
        return Pulse(amplitude * (peak_hz / largest), phase_rad, duration_s, path.stem)
    signed = amplitude * np.exp(1j * (phase_rad - phase_rad[np.argmax(np.abs(amplitude))]))
    if np.max(np.abs(signed.imag)) > 1e-3 * largest:
        raise BasisError(
            f"The pulse {path.name} turns about more than one axis, so its amplitudes do not add up to a flip angle; "
            "give its peak amplitude in Hz."
        )
    return calibrate(signed.real, duration_s, flip_rad, path.stem)


def _columns(text, path):
    """Rows of two numbers, (point, 2)."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#%;":
            continue
        values = line.replace(",", " ").split()
        try:
            rows.append([float(value) for value in values])
        except ValueError as exc:
            raise BasisError(f"Line {number} of {path} is not numbers but '{line[:40]}'; use two columns.") from exc
        if len(values) != 2 or not np.all(np.isfinite(rows[-1])):
            raise BasisError(
                f"Line {number} of {path} needs two finite numbers, amplitude and phase, not '{line[:40]}'."
            )
    if not rows:
        raise BasisError(f"{path} holds no points; a pulse needs two columns, amplitude and phase.")
    return np.array(rows)


def _pta_points(text, path):
    """Points of a Siemens .pta file, (point, 2): lines 'amplitude phase ; (index)' below a header."""
    point = re.compile(rf"^\s*({_NUMBER})\s+({_NUMBER})\s*;\s*\(\s*(\d+)\s*\)\s*$")
    header = re.compile(r"^\s*[A-Za-z_]+\s*:")
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        match = point.match(line)
        if match:
            if int(match[3]) != len(rows):
                raise BasisError(f"Line {number} of {path} is point {match[3]}, but point {len(rows)} is due.")
            rows.append([float(match[1]), float(match[2])])
        elif line.strip() and not header.match(line):
            raise BasisError(
                f"Line {number} of {path} is neither 'NAME: value' nor 'amplitude phase ; (index)': '{line[:40]}'."
            )
    if not rows:
        raise BasisError(f"{path} holds no points of the form 'amplitude phase ; (index)'; it is not a .pta file.")
    return np.array(rows)
