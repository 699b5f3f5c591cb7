"""Pulse sequences as FSL-MRS describes them in JSON: blocks of a pulse, a delay, gradients and a filter.

Inside, everything is in Hz, T/m, m, s and rad; `Sequence.from_json` and `Sequence.to_json` convert units.
The fields are those of FSL-MRS's user documentation, page "Sequence description parameters".
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..axes import GYROMAGNETIC_HZ_PER_T, REFERENCE_PPM
from ..config import read_json
from ..errors import BasisError
from .pulse_files import read_pulse
from .pulses import Pulse

_TESLA = {"T": 1.0, "MT": 1e-3, "UT": 1e-6}
_METRES = {"M": 1.0, "CM": 1e-2, "MM": 1e-3}


@dataclass(frozen=True)
class Block:
    """A pulse and what follows it up to the next pulse.

    Attributes:
        pulse: Pulse.
        delay_s: free evolution from the end of this pulse to the start of the next (s).
        frequency_offset_hz: offset of the pulse from the receiver centre (Hz), negative at lower ppm.
        phase_offset_rad: phase added to the whole pulse (rad).
        gradient_t_per_m: (3,) gradient during the pulse (T/m).
        rephase_area_ts_per_m: (3,) area of the gradients in the delay (T s/m).
        coherence: coherence order kept at the end of the block; None keeps all.
        cycle: (step, 2) phase (rad) and weight of every step of a phase cycle of this pulse; the block's result is
            the weighted sum over its steps. Empty for one step. Cycles of several blocks are independent.
    """

    pulse: Pulse
    delay_s: float
    frequency_offset_hz: float = 0.0
    phase_offset_rad: float = 0.0
    gradient_t_per_m: tuple = (0.0, 0.0, 0.0)
    rephase_area_ts_per_m: tuple = (0.0, 0.0, 0.0)
    coherence: int | None = None
    cycle: tuple = ()

    def __post_init__(self):
        for name in ("gradient_t_per_m", "rephase_area_ts_per_m"):
            object.__setattr__(self, name, _floats(name, getattr(self, name), 3))
        scalars = (self.delay_s, self.frequency_offset_hz, self.phase_offset_rad)
        if not np.all(np.isfinite(scalars)):
            raise BasisError(f"A sequence block needs finite delay, frequency offset and phase offset, not {scalars}.")
        if self.delay_s < -1e-12:
            raise BasisError(f"A delay cannot be negative, not {self.delay_s} s: the pulses overlap.")
        object.__setattr__(self, "delay_s", max(float(self.delay_s), 0.0))
        if self.coherence is not None:
            object.__setattr__(self, "coherence", _whole("A coherence order (if not None)", self.coherence))
        object.__setattr__(self, "cycle", tuple(_floats("A phase cycle's step", step, 2) for step in self.cycle))

    @property
    def axes_used(self):
        """Axes (0, 1, 2) along which the block treats positions differently."""
        both = zip(self.gradient_t_per_m, self.rephase_area_ts_per_m, strict=True)
        return tuple(axis for axis, values in enumerate(both) if any(values))


@dataclass(frozen=True)
class Sequence:
    """A pulse sequence, its receiver and the positions to average over.

    Attributes:
        name: name of the sequence or of its condition.
        b0_t: static field (T).
        blocks: tuple of Block.
        points: points received.
        bandwidth_hz: receiver bandwidth, 1 / dwell time (Hz).
        linewidth_hz: Lorentzian full width at half maximum given to every line (Hz).
        receiver_phase_rad: phase that multiplies the FID, exp(+1j phase) (rad).
        centre_ppm: chemical shift at which pulses of frequency offset 0 stand (ppm).
        extent_m: (3, 2) first and last position along x, y and z (m).
        resolution: (3,) number of positions.
        nucleus: the nucleus observed.
        description: free text.
    """

    name: str
    b0_t: float
    blocks: tuple
    points: int
    bandwidth_hz: float
    linewidth_hz: float
    receiver_phase_rad: float = 0.0
    centre_ppm: float = REFERENCE_PPM
    extent_m: tuple = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
    resolution: tuple = (1, 1, 1)
    nucleus: str = "1H"
    description: str = ""

    def __post_init__(self):
        extent = tuple(_floats(f"range of {axis}", row, 2) for axis, row in zip("xyz", self.extent_m, strict=True))
        object.__setattr__(self, "extent_m", extent)
        object.__setattr__(self, "blocks", tuple(self.blocks))
        object.__setattr__(self, "resolution", tuple(_whole("resolution", number) for number in self.resolution))
        object.__setattr__(self, "points", _whole("Rx_Points", self.points))
        if self.nucleus not in GYROMAGNETIC_HZ_PER_T:
            raise BasisError(
                f"Sequence {self.name}: nucleus {self.nucleus} is not simulated, "
                f"only {', '.join(GYROMAGNETIC_HZ_PER_T)}."
            )
        if not self.blocks or not all(isinstance(block, Block) for block in self.blocks):
            raise BasisError(f"Sequence {self.name} needs at least one block of RF, delay and gradients.")
        if len(self.resolution) != 3 or min(self.resolution) < 1:
            raise BasisError(f"Sequence {self.name}: resolution is 3 numbers of at least 1, not {self.resolution}.")
        positive = {"B0 (T)": self.b0_t, "Rx_Points": self.points, "Rx_SW (Hz)": self.bandwidth_hz}
        for name, value in positive.items():
            if not (np.isfinite(value) and value > 0):
                raise BasisError(f"Sequence {self.name}: {name} must be above 0, not {value}.")
        if not (np.isfinite(self.linewidth_hz) and self.linewidth_hz >= 0):
            raise BasisError(f"Sequence {self.name}: Rx_LW must be 0 Hz or more, not {self.linewidth_hz}.")
        if not np.all(np.isfinite((self.receiver_phase_rad, self.centre_ppm))):
            raise BasisError(f"Sequence {self.name}: Rx_Phase and centralShift must be finite numbers.")

    @property
    def centre_hz(self):
        """Spectrometer frequency (Hz)."""
        return self.b0_t * GYROMAGNETIC_HZ_PER_T[self.nucleus]

    @property
    def dwell_s(self):
        """Dwell time (s)."""
        return 1 / self.bandwidth_hz

    @property
    def duration_s(self):
        """Time from the middle of the first pulse to the first point received (s)."""
        whole = sum(block.pulse.duration_s + block.delay_s for block in self.blocks)
        return whole - self.blocks[0].pulse.duration_s / 2

    def positions_m(self, axis):
        """Positions along an axis (m), both ends included; the middle of the range when there is only one."""
        first, last = self.extent_m[axis]
        number = self.resolution[axis]
        return np.linspace(first, last, number) if number > 1 else np.array([(first + last) / 2])

    def with_phase_offsets(self, offsets_rad):
        """The sequence with a phase (rad) added to every block's pulse: one step of a phase cycle."""
        if len(offsets_rad) != len(self.blocks):
            raise BasisError(f"A phase step needs {len(self.blocks)} phases, one a block, not {len(offsets_rad)}.")
        pairs = zip(self.blocks, offsets_rad, strict=True)
        blocks = tuple(replace(block, phase_offset_rad=block.phase_offset_rad + float(add)) for block, add in pairs)
        return replace(self, blocks=blocks)

    def without_filters(self):
        """The sequence with every coherence filter removed, for explicit phase cycling."""
        return replace(self, blocks=tuple(replace(block, coherence=None) for block in self.blocks))

    def to_json(self):
        """The description as FSL-MRS writes it (a dict of plain values; Hz, T/m, m)."""
        return {
            "sequenceName": self.name,
            "description": self.description,
            "B0": self.b0_t,
            "Nucleus": self.nucleus,
            "centralShift": self.centre_ppm,
            "Rx_Points": self.points,
            "Rx_SW": self.bandwidth_hz,
            "Rx_LW": self.linewidth_hz,
            "Rx_Phase": self.receiver_phase_rad,
            "x": list(self.extent_m[0]),
            "y": list(self.extent_m[1]),
            "z": list(self.extent_m[2]),
            "resolution": list(self.resolution),
            "CoherenceFilter": [block.coherence for block in self.blocks],
            "PhaseCycle": [[list(step) for step in block.cycle] for block in self.blocks],
            "RFUnits": "Hz",
            "GradUnits": "T",
            "spaceUnits": "m",
            "RF": [
                {
                    "time": block.pulse.duration_s,
                    "frequencyOffset": block.frequency_offset_hz,
                    "phaseOffset": block.phase_offset_rad,
                    "amp": list(block.pulse.amplitude_hz),
                    "phase": list(block.pulse.phase_rad),
                    "grad": list(block.gradient_t_per_m),
                    "ampScale": 1.0,
                    # This project's own field, and so only where it says something.
                    **({"band": block.pulse.band_hz} if block.pulse.band_hz < np.inf else {}),
                }
                for block in self.blocks
            ],
            "delays": [block.delay_s for block in self.blocks],
            "rephaseAreas": [list(block.rephase_area_ts_per_m) for block in self.blocks],
        }

    @classmethod
    def from_json(cls, fields, source="the sequence description", folder=None):
        """Read a description.

        A pulse may stand in a file of its own beside the description, which is this project's addition: "file"
        in place of "amp" and "phase", with "flipAngle" (rad) or "peak" (in RFUnits), and "phaseUnit" ("rad" or
        "deg") unless it is a .pta file.

        Args:
            fields: dict as FSL-MRS's JSON holds it; of a basis file, its sequence.
            source: where it came from, for errors.
            folder: where files of pulses are looked for; None refuses them.

        Raises:
            BasisError: a field is missing, has the wrong length or an unknown unit.
        """
        if not isinstance(fields, dict):
            raise BasisError(f"{source} is not a sequence description: the JSON must be an object with fields.")
        if "RF" not in fields and isinstance(fields.get("seq"), dict):
            fields = fields["seq"]
        try:
            return _read_fields(cls, fields, folder)
        except KeyError as exc:
            raise BasisError(f"{source} has no field {exc}; a sequence description needs it.") from exc
        except (TypeError, ValueError, OverflowError) as exc:
            raise BasisError(f"{source}: {exc}") from exc


def read_sequence(path):
    """Read a sequence description (or the one inside a simulated basis file) from JSON."""
    return Sequence.from_json(read_json(path, "a sequence description", BasisError), str(path), Path(path).parent)


def write_sequence(sequence, path):
    """Write a sequence description as JSON."""
    Path(path).write_text(json.dumps(sequence.to_json(), indent=1) + "\n", encoding="utf-8")


def _read_fields(cls, fields, folder):
    nucleus = fields.get("Nucleus", "1H")
    gamma = GYROMAGNETIC_HZ_PER_T.get(nucleus, 1.0)
    rf_hz = _unit("RFUnits", fields.get("RFUnits", "Hz"), {"HZ": 1.0} | {k: v * gamma for k, v in _TESLA.items()})
    gradient_t = _unit("GradUnits", fields.get("GradUnits", "T"), {"HZ": 1 / gamma} | _TESLA)
    metres = _unit("spaceUnits", fields.get("spaceUnits", "m"), _METRES)
    pulses = fields["RF"]
    if not isinstance(pulses, list) or not all(isinstance(rf, dict) for rf in pulses):
        raise ValueError("RF must be a list of objects, one a pulse.")
    lists = {name: list(fields[name]) for name in ("delays", "rephaseAreas", "CoherenceFilter")}
    # This project's own field, and so not in other descriptions.
    lists["PhaseCycle"] = list(fields.get("PhaseCycle", [()] * len(pulses)))
    for name, values in lists.items():
        if len(values) != len(pulses):
            raise ValueError(f"{name} needs one entry for each of the {len(pulses)} RF blocks, not {len(values)}.")
    blocks = [
        Block(
            pulse=_read_waveform(rf, rf_hz, folder),
            delay_s=float(delay),
            frequency_offset_hz=float(rf.get("frequencyOffset", 0.0)),
            phase_offset_rad=float(rf.get("phaseOffset", 0.0)),
            gradient_t_per_m=tuple(gradient_t * g for g in _floats("grad", rf["grad"], 3)),
            rephase_area_ts_per_m=tuple(gradient_t * a for a in _floats("rephaseAreas", area, 3)),
            coherence=None if order in (None, "None") else order,
            cycle=tuple(cycle),
        )
        for rf, delay, area, order, cycle in zip(pulses, *lists.values(), strict=True)
    ]
    return cls(
        name=str(fields.get("sequenceName", "")),
        description=str(fields.get("description", "")),
        b0_t=float(fields["B0"]),
        nucleus=nucleus,
        centre_ppm=float(fields.get("centralShift", 0.0)),
        points=_receiver(fields, "Points"),
        bandwidth_hz=float(_receiver(fields, "SW")),
        linewidth_hz=float(_receiver(fields, "LW")),
        receiver_phase_rad=float(_receiver(fields, "Phase")),
        extent_m=tuple(tuple(metres * end for end in _floats(axis, fields[axis], 2)) for axis in "xyz"),
        resolution=tuple(fields["resolution"]),
        blocks=tuple(blocks),
    )


def _read_waveform(rf, rf_hz, folder):
    """Pulse of one RF block, whose own numbers or file hold it."""
    scale, duration_s = float(rf.get("ampScale", 1.0)), float(rf["time"])
    if "file" not in rf:
        amplitude, phase = (np.atleast_1d(np.asarray(rf[name], dtype=float)) for name in ("amp", "phase"))
        return Pulse(rf_hz * scale * amplitude, phase, duration_s, band_hz=_band(rf))
    if _band(rf) < np.inf:
        raise BasisError("A pulse in a file is a real one and has no band; leave the field band out.")
    name = str(rf["file"])
    if folder is None or Path(name).name != name:
        raise BasisError(f"A pulse's file stands beside its sequence description, named without folder, not {name}.")
    flip_rad, peak = rf.get("flipAngle"), rf.get("peak")
    pulse = read_pulse(
        folder / name,
        duration_s,
        flip_rad=None if flip_rad is None else float(flip_rad),
        peak_hz=None if peak is None else rf_hz * float(peak),
        phase_unit=rf.get("phaseUnit"),
    )
    return pulse.scaled(scale)


def _band(rf):
    """Full width (Hz) of the band of an RF block's pulse, infinite where it has none."""
    band = rf.get("band")
    if isinstance(band, bool) or not isinstance(band, (int, float, type(None))):
        raise ValueError(f"band must be a number (Hz), not {band!r}.")
    return np.inf if band is None else float(band)


def _receiver(fields, name):
    """A receiver field, spelled Rx_ or RX_."""
    return fields[f"RX_{name}"] if f"RX_{name}" in fields else fields[f"Rx_{name}"]


def _unit(field, unit, factors):
    """Factor of a unit, written in any case."""
    factor = factors.get(str(unit).upper())
    if factor is None:
        raise ValueError(f"{field} {unit} is not known; use one of {', '.join(factors)} (in any case).")
    return factor


def _whole(name, value):
    """A number without a fraction as int."""
    number = float(value)
    if isinstance(value, bool) or not number.is_integer():
        raise BasisError(f"{name} must be a whole number, not {value}.")
    return int(number)


def _floats(name, values, number):
    """A tuple of finite floats of a given length."""
    array = np.asarray(values, dtype=float).ravel()
    if array.size != number or not np.all(np.isfinite(array)):
        raise BasisError(f"{name} needs {number} finite numbers, not {values}.")
    return tuple(array.tolist())
