"""What varies between the MEGA-PRESS bases of a pool, and how a drawn basis becomes sequences and spins.

Parameters are drawn first, as arrays over members; `member_sequences` and `member_systems` then turn one
member's numbers into a sequence pair and a table of spin systems without further chance. Slice thickness is
not drawn: gradients and positions both follow it, so that it cancels from the spectra.
"""

import json
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import torch

from ..errors import BasisError
from .builders import megapress, upright
from .pulses import gaussian, hann_sinc, ideal, sinc_gaussian
from .slr import slr
from .spins import SpinSystem

EDITING_SHAPES = ("gaussian", "sinc_gaussian")
REFOCUSING_SHAPES = ("slr", "hann_sinc", "ideal")


@dataclass(frozen=True)
class PoolPriors:
    """Ranges (low, high) of uniform draws, and the settings that all members share.

    The ranges are choices of this project, made to hold what the named sources describe.

    Attributes:
        shift_jitter_ppm: added to the shift of every group of equivalent spins (ppm). Tables hold for 37 C and pH
            7, solutions are often at room temperature; shifts depend on both (Wermter et al., MAGMA 30:579, 2017).
        j_factor: times every group of equal couplings of a part; published couplings differ
            (Govindaraju et al., NMR Biomed 13:129, 2000; Near et al., Magn Reson Med 70:1183, 2013).
        b1_scale: B1 over its nominal value, the same for all pulses (Deelchand et al., NMR Biomed e4199, 2019).
        editing_b1, refocusing_b1: further factors of either class of pulse (their calibration).
        edit_on_ppm, edit_off_ppm: frequency of the editing pulses (ppm), drift included (Mikkelsen et al.,
            NeuroImage 159:32, 2017; Peek et al., guideline for GABA-edited MRS at 3 T, 2023).
        editing_shape: weights of `EDITING_SHAPES`.
        editing_duration_s: duration of the editing pulses (s).
        editing_cutoff: edge of an editing pulse's Gaussian over its peak; with shape and duration it sets
            the bandwidth.
        refocusing_shape: weights of `REFOCUSING_SHAPES`; ideal stands for bases without slice profiles. Edited
            GABA depends on these pulses (Near et al., Magn Reson Med 70:1183, 2013).
        refocusing_duration_s: duration of the refocusing pulses (s).
        time_bandwidth: nominal time-bandwidth product of the refocusing pulses.
        first_refocusing_s: time from excitation to the first refocusing pulse (s).
        editing_delay_s: delay of both editing pulses against te / 4 after their refocusing pulse (s).
        te_s, b0_t, slice_ppm, positions, points, bandwidth_hz, linewidth_hz: as in `builders.megapress`, shared.
    """

    shift_jitter_ppm: tuple = (-0.025, 0.025)
    j_factor: tuple = (0.90, 1.10)
    b1_scale: tuple = (0.70, 1.20)
    editing_b1: tuple = (0.95, 1.05)
    refocusing_b1: tuple = (0.97, 1.03)
    edit_on_ppm: tuple = (1.85, 1.95)
    edit_off_ppm: tuple = (7.3, 7.6)
    editing_shape: tuple = (0.5, 0.5)
    editing_duration_s: tuple = (0.014, 0.020)
    editing_cutoff: tuple = (0.005, 0.12)
    refocusing_shape: tuple = (0.5, 0.35, 0.15)
    refocusing_duration_s: tuple = (0.0045, 0.0070)
    time_bandwidth: tuple = (4.8, 6.5)
    first_refocusing_s: tuple = (0.004, 0.006)
    editing_delay_s: tuple = (-0.002, 0.001)
    te_s: float = 0.068
    b0_t: float = 2.894
    slice_ppm: float = 3.0
    positions: int = 8
    points: int = 2048
    bandwidth_hz: float = 2000.0
    linewidth_hz: float = 1.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_shape"):
                self._check_weights(field.name, value)
            elif isinstance(field.default, tuple):
                self._check_range(field.name, value)
            elif not (np.isfinite(value) and value > 0):
                raise BasisError(f"{field.name} of a pool must be above 0, not {value}.")
        self._check_times()

    def _check_weights(self, name, weights):
        weights = tuple(float(weight) for weight in weights)
        shapes = EDITING_SHAPES if name == "editing_shape" else REFOCUSING_SHAPES
        if len(weights) != len(shapes) or min(weights) < 0 or not 0 < sum(weights) < np.inf:
            raise BasisError(f"{name} needs a weight of 0 or more for each of {', '.join(shapes)}, not {weights}.")
        object.__setattr__(self, name, weights)

    def _check_range(self, name, limits):
        limits = tuple(float(limit) for limit in limits)
        if len(limits) != 2 or not np.all(np.isfinite(limits)) or limits[0] > limits[1]:
            raise BasisError(f"{name} is a range (low, high) of finite numbers, low first, not {limits}.")
        if name not in ("shift_jitter_ppm", "editing_delay_s") and limits[0] <= 0:
            raise BasisError(f"{name} must stay above 0, not {limits}.")
        object.__setattr__(self, name, limits)

    def _check_times(self):
        """Longest pulses and shifted timings must still fit in the echo time."""
        quarter, edit = self.te_s / 4, self.editing_duration_s[1] / 2
        refocus, first = self.refocusing_duration_s[1] / 2, self.first_refocusing_s
        early, late = self.editing_delay_s
        gaps = {
            "excitation to refocusing": first[0] - refocus,
            "refocusing to editing": quarter + early - refocus - edit,
            "editing to refocusing": quarter - late - refocus - edit,
            "editing to reception": quarter - first[1] - late - edit,
        }
        short = {name: gap for name, gap in gaps.items() if gap < -1e-9}
        if short:
            name, gap = short.popitem()
            raise BasisError(
                f"The ranges of timings and pulse durations overlap by {-gap * 1e3:.2f} ms from {name} at TE "
                f"{self.te_s * 1e3:g} ms; narrow them."
            )

    @classmethod
    def fixed(cls, **settings):
        """Priors without any spread: every member is what `builders.megapress` builds by default."""
        centred = {
            "shift_jitter_ppm": (0, 0),
            "edit_on_ppm": (1.9, 1.9),
            "edit_off_ppm": (7.4, 7.4),
            "editing_shape": (1, 0),
            "editing_duration_s": (0.020, 0.020),
            "editing_cutoff": (0.06, 0.06),
            "refocusing_shape": (1, 0, 0),
            "refocusing_duration_s": (0.005, 0.005),
            "time_bandwidth": (5.75, 5.75),
            "first_refocusing_s": (0.005, 0.005),
            "editing_delay_s": (0, 0),
        }
        ones = dict.fromkeys(("j_factor", "b1_scale", "editing_b1", "refocusing_b1"), (1, 1))
        return cls(**(centred | ones | settings))

    def to_json(self):
        """The priors as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        """Priors of `to_json` text.

        Raises:
            BasisError: the text is not that.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as exc:
            raise BasisError(f"These are not the priors of a pool: {exc}") from exc


def draw_members(priors, systems, number, generator):
    """Draw the parameters of a pool.

    Args:
        priors: PoolPriors.
        systems: dict of name -> tuple of SpinSystem that will be varied.
        number: members.
        generator: torch.Generator.

    Returns:
        dict of name -> array with the member as first axis: a float for every range, the index of the shape
        for weights, and for every metabolite "shift_ppm/NAME" (member, group of equal shifts, part after
        part) and "j_factor/NAME" (member, group of equal couplings).
    """

    def uniform(limits, *shape):
        return limits[0] + (limits[1] - limits[0]) * torch.rand(shape, generator=generator, dtype=torch.float64).numpy()

    drawn = {}
    for field in fields(priors):
        value = getattr(priors, field.name)
        if field.name.endswith("_shape"):
            weights = torch.tensor(value, dtype=torch.float64)
            drawn[field.name] = torch.multinomial(weights, number, True, generator=generator).numpy()
        elif isinstance(value, tuple) and field.name not in ("shift_jitter_ppm", "j_factor"):
            drawn[field.name] = uniform(value, number)
    for name, parts in systems.items():
        groups = sum(len(_shift_groups(part)) for part in parts)
        couplings = sum(len(_coupling_groups(part)) for part in parts)
        drawn[f"shift_ppm/{name}"] = uniform(priors.shift_jitter_ppm, number, groups)
        drawn[f"j_factor/{name}"] = uniform(priors.j_factor, number, couplings)
    return drawn


def member_sequences(priors, drawn, member):
    """The (off, on) Sequences of one member of `draw_members`."""
    value = {name: array[member].item() for name, array in drawn.items() if array.ndim == 1}
    shape = EDITING_SHAPES[value["editing_shape"]]
    editing = {"gaussian": gaussian, "sinc_gaussian": sinc_gaussian}[shape](
        value["editing_duration_s"], cutoff=value["editing_cutoff"]
    )
    delay = priors.te_s / 4 + value["editing_delay_s"]
    pair = megapress(
        te_s=priors.te_s,
        b0_t=priors.b0_t,
        edit_on_ppm=value["edit_on_ppm"],
        edit_off_ppm=value["edit_off_ppm"],
        editing=editing,
        refocusing=_refocusing(value),
        positions=priors.positions,
        slice_ppm=priors.slice_ppm,
        first_refocusing_s=value["first_refocusing_s"],
        editing_intervals_s=(delay, delay),
        points=priors.points,
        bandwidth_hz=priors.bandwidth_hz,
        linewidth_hz=priors.linewidth_hz,
    )
    # Gradients belong to the nominal pulses; B1 errors come on top, and the receiver phase follows them.
    refocusing, edited = value["b1_scale"] * value["refocusing_b1"], value["b1_scale"] * value["editing_b1"]
    factors = (value["b1_scale"], refocusing, edited, refocusing, edited)
    return upright([_scaled(sequence, factors) for sequence in pair], priors.slice_ppm)


def _refocusing(value):
    shape = REFOCUSING_SHAPES[value["refocusing_shape"]]
    duration_s, time_bandwidth = value["refocusing_duration_s"], value["time_bandwidth"]
    if shape == "slr":
        return slr(duration_s, np.pi, time_bandwidth, passband_ripple=0.02, stopband_ripple=0.02, points=100)
    return hann_sinc(duration_s, np.pi, time_bandwidth) if shape == "hann_sinc" else ideal(np.pi)


def _scaled(sequence, factors):
    pairs = zip(sequence.blocks, factors, strict=True)
    return replace(sequence, blocks=tuple(replace(block, pulse=block.pulse.scaled(factor)) for block, factor in pairs))


def member_systems(systems, drawn, member):
    """Spin systems of one member: equal shifts of a part move together, equal couplings scale together."""
    varied = {}
    for name, parts in systems.items():
        jitter, factors = drawn[f"shift_ppm/{name}"][member].tolist(), drawn[f"j_factor/{name}"][member].tolist()
        built = []
        for part in parts:
            shifts, couplings = _shift_groups(part), _coupling_groups(part)
            moved = {value: value + jitter.pop(0) for value in shifts}
            scaled = {value: value * factors.pop(0) for value in couplings} | {0.0: 0.0}
            built.append(
                SpinSystem(
                    part.name,
                    tuple(moved.get(shift, shift) for shift in part.shifts_ppm),
                    tuple(tuple(scaled.get(j, 0.0) for j in row) for row in part.j_hz),
                    part.scale,
                )
            )
        varied[name] = tuple(built)
    return varied


def _shift_groups(part):
    """Different shifts of a part's protons (ppm), in the order of the table."""
    return list(dict.fromkeys(s for s, hetero in zip(part.shifts_ppm, part.hetero, strict=True) if not hetero))


def _coupling_groups(part):
    """Different couplings of a part above the diagonal (Hz), 0 left out, in the order of the table."""
    return list(dict.fromkeys(j for place, row in enumerate(part.j_hz) for j in row[place + 1 :] if j != 0))
