"""Radio-frequency pulses: shapes that are computed, scaled and measured.

A pulse is a list of equally long points with an amplitude (peak nutation rate, Hz, may be negative) and
a phase (rad) each. A point rotates a spin on resonance by 2 pi amplitude dt about Ix cos phase + Iy sin phase.
Shinnar-Le Roux design is in `slr`, files are read in `pulse_files`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ..errors import BasisError

IDEAL_DURATION_S = 1e-9
"""Duration of a pulse that stands for an instantaneous rotation (s)."""


@dataclass(frozen=True)
class Pulse:
    """A radio-frequency waveform.

    Attributes:
        amplitude_hz: (point,) nutation rate (Hz).
        phase_rad: (point,) phase (rad).
        duration_s: duration of the whole pulse (s).
        name: what it is, for reports.
        band_hz: full width about its frequency (Hz) within which an instantaneous pulse turns spins, and beyond which
            it leaves them alone; without limit for real pulses, whose points say what they do.
    """

    amplitude_hz: tuple
    phase_rad: tuple
    duration_s: float
    name: str = ""
    band_hz: float = math.inf

    def __post_init__(self):
        object.__setattr__(self, "amplitude_hz", tuple(np.asarray(self.amplitude_hz, dtype=float).ravel().tolist()))
        object.__setattr__(self, "phase_rad", tuple(np.asarray(self.phase_rad, dtype=float).ravel().tolist()))
        if not self.amplitude_hz or len(self.amplitude_hz) != len(self.phase_rad):
            raise BasisError(
                f"A pulse needs as many phases as amplitudes, at least one, not {len(self.amplitude_hz)} amplitudes "
                f"and {len(self.phase_rad)} phases."
            )
        if not (np.all(np.isfinite(self.amplitude_hz)) and np.all(np.isfinite(self.phase_rad))):
            raise BasisError(f"Pulse {self.name or '(unnamed)'} has amplitudes or phases that are not finite numbers.")
        if not (np.isfinite(self.duration_s) and self.duration_s > 0):
            raise BasisError(f"A pulse needs a duration above 0 s, not {self.duration_s}.")
        if not self.band_hz > 0 or (self.band_hz < math.inf and not is_ideal(self)):
            raise BasisError(
                f"Only an instantaneous pulse (of {IDEAL_DURATION_S:g} s) has a band, above 0 Hz, not {self.band_hz} "
                f"Hz at {self.duration_s} s."
            )

    @property
    def points(self):
        """Number of points."""
        return len(self.amplitude_hz)

    @property
    def complex_hz(self):
        """Amplitude with phase, (point,) complex (Hz)."""
        return np.array(self.amplitude_hz) * np.exp(1j * np.array(self.phase_rad))

    @property
    def peak_hz(self):
        """Largest nutation rate (Hz)."""
        return float(np.max(np.abs(self.amplitude_hz)))

    def scaled(self, factor):
        """The pulse with its amplitude times a factor (B1 error)."""
        return replace(self, amplitude_hz=tuple(factor * np.array(self.amplitude_hz)))


def calibrate(shape, duration_s, flip_rad, name=""):
    """Scale a real shape so that a spin on resonance turns by the wanted angle.

    Args:
        shape: (point,) relative amplitudes, signed; all points act about one axis, so their angles add.
        duration_s: duration (s).
        flip_rad: flip angle wanted (rad).
        name: name of the pulse.

    Raises:
        BasisError: the shape's area is zero, so that no amplitude gives the angle.
    """
    shape = np.asarray(shape, dtype=float)
    mean = shape.mean() if shape.size else 0.0
    if not np.isfinite(mean) or abs(mean) < 1e-9 * max(np.max(np.abs(shape), initial=0.0), 1e-300):
        raise BasisError("A pulse shape with no net area cannot be scaled to a flip angle; give its peak amplitude.")
    amplitude = shape * flip_rad / (2 * np.pi * duration_s * mean)
    return Pulse(amplitude, np.zeros(shape.size), duration_s, name)


def _midpoints(points):
    """Centres of a pulse's points as fractions of its duration from the middle, (point,) in (-0.5, 0.5)."""
    return (np.arange(points) + 0.5) / points - 0.5


def ideal(flip_rad, name="ideal", band_hz=math.inf):
    """An instantaneous rotation: one point of `IDEAL_DURATION_S`, alike for all shifts of its band (Hz, full width)."""
    return replace(calibrate(np.ones(1), IDEAL_DURATION_S, flip_rad, name), band_hz=float(band_hz))


def hard(flip_rad, duration_s, name="hard"):
    """A rectangular pulse."""
    return calibrate(np.ones(1), duration_s, flip_rad, name)


def gaussian(duration_s, flip_rad=np.pi, cutoff=0.01, points=100, name="gaussian"):
    """A Gaussian that falls to the fraction `cutoff` of its peak at both ends."""
    _check_fraction("cutoff", cutoff)
    return calibrate(cutoff ** (4 * _midpoints(points) ** 2), duration_s, flip_rad, name)


def sinc_gaussian(duration_s, flip_rad=np.pi, lobes=1.0, cutoff=0.01, points=100, name="sinc_gaussian"):
    """A sinc under a Gaussian: `lobes` zero crossings on either side, the Gaussian `cutoff` at both ends.

    With one lobe it is the usual editing pulse: narrower wings and a flatter top than a Gaussian has.
    """
    _check_fraction("cutoff", cutoff)
    x = _midpoints(points)
    return calibrate(np.sinc(2 * lobes * x) * cutoff ** (4 * x**2), duration_s, flip_rad, name)


def hann_sinc(duration_s, flip_rad=np.pi, time_bandwidth=6.0, points=100, name="hann_sinc"):
    """A Hann-windowed sinc of a nominal time-bandwidth product (half as many zero crossings on either side)."""
    if not time_bandwidth > 0:
        raise BasisError(f"A sinc needs a time-bandwidth product above 0, not {time_bandwidth}.")
    x = _midpoints(points)
    return calibrate(np.sinc(time_bandwidth * x) * np.cos(np.pi * x) ** 2, duration_s, flip_rad, name)


def _check_fraction(name, value):
    if not 0 < value < 1:
        raise BasisError(f"{name} is a fraction of the peak between 0 and 1, not {value}.")


def rotations(pulse, offsets_hz):
    """What a pulse does to a lone spin 1/2 (Cayley-Klein form of the Bloch equations without relaxation).

    Args:
        pulse: Pulse.
        offsets_hz: (offset,) offset of the spin from the pulse's frequency (Hz).

    Returns:
        (offset, 2, 2) complex128, the propagator in the frame of the pulse, first state = up.
    """
    offsets = np.atleast_1d(np.asarray(offsets_hz, dtype=float))
    step = 2 * np.pi * pulse.duration_s / pulse.points
    total = np.broadcast_to(np.eye(2, dtype=complex), (offsets.size, 2, 2))
    for nutation in pulse.complex_hz:
        angle = step * np.hypot(np.abs(nutation), offsets)
        cosine, sine = np.cos(angle / 2), 0.5 * step * np.sinc(angle / (2 * np.pi))
        point = np.empty((offsets.size, 2, 2), dtype=complex)
        point[:, 0, 0] = cosine - 1j * sine * offsets
        point[:, 0, 1] = -1j * sine * np.conj(nutation)
        point[:, 1, 0] = -1j * sine * nutation
        point[:, 1, 1] = cosine + 1j * sine * offsets
        total = point @ total
    outside = np.abs(offsets) > pulse.band_hz / 2
    return np.where(outside[:, None, None], np.eye(2), total)


def refocused_fraction(pulse, offsets_hz):
    """Part of transverse magnetisation that a pulse refocuses, (offset,): |beta|^2, 1 for a perfect 180."""
    return np.abs(rotations(pulse, offsets_hz)[:, 1, 0]) ** 2


def excited_fraction(pulse, offsets_hz):
    """Transverse magnetisation that a pulse makes of Mz = 1, (offset,)."""
    turned = rotations(pulse, offsets_hz)
    return 2 * np.abs(turned[:, 0, 0] * turned[:, 1, 0])


def is_ideal(pulse):
    """Whether a pulse stands for an instantaneous rotation."""
    return pulse.duration_s <= IDEAL_DURATION_S


def bandwidth_hz(pulse):
    """Full width (Hz) at which a pulse does half of what it does on its own frequency.

    What it does is excite, for a flip angle below 135 degrees, else refocus or invert (one profile serves
    both: inverted Mz is 1 - 2 |beta|^2).

    Raises:
        BasisError: the profile has no such edge; an ideal pulse without a band has none.
    """
    if pulse.band_hz < math.inf:
        return pulse.band_hz
    if is_ideal(pulse):
        raise BasisError(f"Pulse {pulse.name or '(unnamed)'} acts on all frequencies alike and has no bandwidth.")
    refocuses = refocused_fraction(pulse, 0.0)[0] > np.sin(np.pi * 135 / 360) ** 2
    measure = refocused_fraction if refocuses else excited_fraction
    first, last = 0.0, min(max(0.5 * pulse.points, 2.0), 50.0) / pulse.duration_s
    half = 0.5 * measure(pulse, 0.0)[0]
    for _ in range(3):
        offsets = np.linspace(first, last, 301)
        below = np.flatnonzero(measure(pulse, offsets) < half)
        if below.size == 0 or half < 1e-6:
            raise BasisError(f"Pulse {pulse.name or '(unnamed)'} has no bandwidth: its profile never halves.")
        first, last = offsets[max(below[0] - 1, 0)], offsets[below[0]]
    return float(first + last)
