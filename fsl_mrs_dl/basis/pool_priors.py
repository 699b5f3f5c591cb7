"""What varies between the MEGA-PRESS bases of a pool: the priors, and the draw from them.

`pool_members` turns one member's numbers into sequences and spin systems without further chance.
"""

import difflib
import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import torch

from ..errors import BasisError
from .relaxation import T2_S, T2_UNKNOWN_S
from .spins import SPIN_TABLES

CHOICES = {
    "editing_shape": ("gaussian", "sinc_gaussian", "slr", "ideal"),
    "refocusing_shape": ("slr", "hann_sinc", "ideal"),
    "pathways": ("crushed", "cycled", "short_cycle"),
    "spin_table": SPIN_TABLES,
    "relaxation": ("none", "in_vivo"),
}
"""What is drawn by weight. Fields of `PoolPriors` of these names hold one weight a choice."""

PER_METABOLITE = ("shift_jitter_ppm", "j_factor", "t2_factor")
"""Ranges of which every metabolite, or every group of its spins, draws its own value."""

DESIGN = (
    "edit_off_ppm editing_duration_s editing_cutoff editing_time_bandwidth editing_band_hz refocusing_duration_s "
    "time_bandwidth first_refocusing_s editing_delay_s editing_gap_s slice_centre_ppm slice_thickness_m"
).split()
"""Ranges that say how the sequence was made. The others say how well scanner, sample and spin systems meet it."""

SIGNED = ("shift_jitter_ppm", "editing_delay_s", "editing_gap_s", "slice_position_m")
FROM_ZERO = ("b1_spread", "calibration", "design")
NOMINAL_THICKNESS_M = 0.03
"""Slice thickness to which the region of positions belongs (m): it spans `builders.EXTENT_IN_SLICES` of them."""


@dataclass(frozen=True)
class PoolPriors:
    """Ranges (low, high) of uniform draws, weights of choices, and the settings that all members share.

    The ranges are choices of this project, made to hold what the named sources describe. A range whose ends
    are equal is not varied.

    Attributes:
        shift_jitter_ppm: added to the shift of every group of equivalent spins (ppm). Tables hold for 37 C and pH
            7, solutions are often at room temperature; shifts depend on both (Wermter et al., MAGMA 30:579, 2017).
        j_factor: times every group of equal couplings of a part. Couplings belong to the molecule; published ones
            differ by rounding and measurement (Govindaraju et al., NMR Biomed 13:129, 2000). Where they differ by
            more (GABA: Near et al., Magn Reson Med 70:1183, 2013), `spin_table` has both.
        b1_scale: B1 over its nominal value, the same for all pulses (Deelchand et al., NMR Biomed 34:e4199, 2021).
        editing_b1, refocusing_b1: further factors of either class of pulse (their calibration). With b1_scale, the
            editing pulses turn by 113 to 238 degrees.
        edit_on_ppm, edit_off_ppm: frequency of the editing pulses (ppm): published values 1.88 to 1.9 and 7.4 to
            7.5, with drift of up to 10 Hz at 3 T (Mikkelsen et al., NeuroImage 159:32, 2017; Peek et al.,
            Anal Biochem 669:115113, 2023).
        editing_shape: weights of "gaussian", "sinc_gaussian", "slr", "ideal"; ideal stands for simulators whose editing
            pulses turn a band at once and nothing beside it, which no scanner does.
        editing_duration_s: duration of the editing pulses (s); 14 to 20 ms are usual (Choi et al., NMR Biomed
            34:e4411, 2021).
        editing_cutoff: edge of an editing pulse's Gaussian over its peak; with shape and duration it sets
            the bandwidth.
        refocusing_shape: weights of "slr", "hann_sinc", "ideal"; ideal stands for bases without slice profiles.
            Edited GABA depends on these pulses (Near et al., Magn Reson Med 70:1183, 2013).
        refocusing_duration_s: duration of the refocusing pulses (s): 4.4 (Siemens), 5.2 (GE), 6.9 (Philips), 7.0 ms
            (universal) (MRSCloud: Hui et al., Magn Reson Med 88:1994, 2022, and its source).
        time_bandwidth: nominal time-bandwidth product of the refocusing pulses.
        first_refocusing_s: time from excitation to the first refocusing pulse (s). MRSCloud has 6.55 (universal),
            7.0 (Philips), 7.35 (GE) and 7.75 ms (Siemens); FID-A's examples 4.5 and 5 ms.
        editing_delay_s: delay of the first editing pulse against te / 4 after its refocusing pulse (s). MRSCloud
            places it in the middle between refocusing pulses and so at -first_refocusing_s / 2; FID-A's examples
            have 0 and, for Siemens, -4.5 ms. Pulses that would overlap are moved by the least that separates them.
        te_s, b0_t, positions, points, bandwidth_hz, linewidth_hz: as in `builders.Setup`, shared.
        slice_ppm: shift at which a singlet is upright (ppm), shared.
        b1_spread: standard deviation of B1 within the voxel over its mean. The signal is the mean over two equal
            parts of the voxel with B1 that much below and above, which has that mean and deviation.
        slice_centre_ppm: frequency of the refocusing pulses (ppm), which says how far the slices of other shifts
            are displaced.
        slice_thickness_m: thickness of the slices in a region of fixed size, 5/3 of 30 mm (m).
        slice_position_m: middle of the slices against the middle of that region (m).
        editing_gap_s: how much later than the first the second editing pulse comes after its refocusing pulse (s).
        editing_time_bandwidth: time-bandwidth product of editing pulses of shape slr.
        editing_band_hz: full width of the band of editing pulses of shape ideal (Hz).
        pathways: weights of "crushed" (coherence orders selected after every pulse, as by perfect crushers), and of
            "cycled" and "short_cycle", where only a phase cycle selects (`pool_members.CYCLES`).
        spin_table: weights of `spins.SPIN_TABLES`; their sources stand with the tables.
        relaxation: weights of "none" and "in_vivo": lines broadened by each metabolite's T2 (`relaxation`).
        t2_factor: times each metabolite's T2 of the literature at 3 T.
        calibration, design: share of the ranges that a member uses, about the values of `fixed`, those of `DESIGN`
            and the rest: most scanners are near what their basis set supposes, some are not, and one that is off
            in one thing tends to be off in others.
    """

    shift_jitter_ppm: tuple = (-0.020, 0.020)
    j_factor: tuple = (0.97, 1.03)
    b1_scale: tuple = (0.70, 1.20)
    editing_b1: tuple = (0.90, 1.10)
    refocusing_b1: tuple = (0.95, 1.05)
    edit_on_ppm: tuple = (1.81, 1.99)
    edit_off_ppm: tuple = (7.3, 7.6)
    editing_shape: tuple = (0.4, 0.4, 0.2, 0.0)
    editing_duration_s: tuple = (0.0125, 0.0220)
    editing_cutoff: tuple = (0.005, 0.12)
    refocusing_shape: tuple = (0.45, 0.30, 0.25)
    refocusing_duration_s: tuple = (0.0044, 0.0070)
    time_bandwidth: tuple = (4.8, 6.5)
    first_refocusing_s: tuple = (0.0040, 0.0080)
    editing_delay_s: tuple = (-0.005, 0.001)
    te_s: float = 0.068
    b0_t: float = 2.894
    slice_ppm: float = 3.0
    positions: int = 8
    points: int = 2048
    bandwidth_hz: float = 2000.0
    linewidth_hz: float = 1.0
    b1_spread: tuple = (0.0, 0.15)
    slice_centre_ppm: tuple = (2.0, 3.2)
    slice_thickness_m: tuple = (0.025, 0.036)
    slice_position_m: tuple = (-0.003, 0.003)
    editing_gap_s: tuple = (-0.001, 0.001)
    editing_time_bandwidth: tuple = (1.3, 1.8)
    editing_band_hz: tuple = (50.0, 110.0)
    pathways: tuple = (0.65, 0.20, 0.15)
    spin_table: tuple = (0.45, 0.35, 0.20)
    relaxation: tuple = (0.4, 0.6)
    t2_factor: tuple = (0.7, 1.5)
    calibration: tuple = (0.1, 1.0)
    design: tuple = (0.1, 1.0)

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in CHOICES:
                self._check_weights(field.name, value)
            elif isinstance(field.default, tuple):
                self._check_range(field.name, value)
            elif not (np.isfinite(value) and value > 0):
                raise BasisError(f"{field.name} of a pool must be above 0, not {value}.")
        if self.b1_spread[1] >= 1:
            raise BasisError(f"b1_spread must stay below 1, so that no part has B1 below 0, not {self.b1_spread}.")
        self._check_times()

    def _check_weights(self, name, weights):
        weights, choices = tuple(float(weight) for weight in weights), CHOICES[name]
        if len(weights) != len(choices) or min(weights) < 0 or not 0 < sum(weights) < np.inf:
            raise BasisError(f"{name} needs a weight of 0 or more for each of {', '.join(choices)}, not {weights}.")
        object.__setattr__(self, name, weights)

    def _check_range(self, name, limits):
        limits = tuple(float(limit) for limit in limits)
        if len(limits) != 2 or not np.all(np.isfinite(limits)) or limits[0] > limits[1]:
            raise BasisError(f"{name} is a range (low, high) of finite numbers, low first, not {limits}.")
        if name not in (*SIGNED, *FROM_ZERO) and limits[0] <= 0:
            raise BasisError(f"{name} must stay above 0, not {limits}.")
        if name in FROM_ZERO and limits[0] < 0:
            raise BasisError(f"{name} must be 0 or more, not {limits}.")
        object.__setattr__(self, name, limits)

    def _check_times(self):
        """The longest pulses must fit in the echo time somewhere."""
        edit, refocus, first = self.editing_duration_s[1], self.refocusing_duration_s[1], self.first_refocusing_s
        gaps = {
            "excitation to refocusing": first[0] - refocus / 2,
            "the first to the second refocusing": self.te_s / 2 - refocus - edit,
            "the second refocusing to reception": self.te_s / 2 - first[1] - refocus / 2 - edit,
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
            "edit_on_ppm": (1.9, 1.9),
            "edit_off_ppm": (7.4, 7.4),
            "editing_duration_s": (0.020, 0.020),
            "editing_cutoff": (0.06, 0.06),
            "refocusing_duration_s": (0.005, 0.005),
            "time_bandwidth": (5.75, 5.75),
            "first_refocusing_s": (0.005, 0.005),
            "slice_centre_ppm": (3.0, 3.0),
            "slice_thickness_m": (NOMINAL_THICKNESS_M, NOMINAL_THICKNESS_M),
            "editing_time_bandwidth": (1.5, 1.5),
            "editing_band_hz": (60.0, 60.0),
        }
        zeros = dict.fromkeys((*SIGNED, "b1_spread"), (0, 0))
        factors = ("j_factor", "b1_scale", "editing_b1", "refocusing_b1", "t2_factor", "calibration", "design")
        ones = dict.fromkeys(factors, (1, 1))
        first = {name: (1, *[0] * (len(choices) - 1)) for name, choices in CHOICES.items()}
        return cls(**(centred | zeros | ones | first | settings))

    def with_ranges(self, values, source):
        """These priors with other ranges or weights.

        Args:
            values: dict of name -> list of numbers, JSON-like.
            source: where they are from, for errors.

        Raises:
            BasisError: a name is none of a range or of weights, or a value does not fit it.
        """
        if not isinstance(values, dict):
            raise BasisError(f"{source} must be a JSON object, name to range, not a {type(values).__name__}.")
        known = sorted(field.name for field in fields(self) if isinstance(field.default, tuple))
        unknown = sorted(set(values) - set(known))
        if unknown:
            near = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"a pool varies {', '.join(known)}."
            raise BasisError(f"{source}: {unknown[0]} is nothing that a pool varies; {hint}")
        try:
            return replace(self, **{name: tuple(value) for name, value in values.items()})
        except BasisError as exc:
            raise BasisError(f"{source}: {exc}") from exc
        except (TypeError, ValueError, OverflowError) as exc:
            raise BasisError(f"{source}: a range of a pool is a list of numbers, [low, high] ({exc}).") from exc

    def ranges_unlike(self, other):
        """Ranges and weights that differ from another one's, as `with_ranges` takes them."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        ideal = CHOICES["editing_shape"].index("ideal")
        if not (self.editing_shape[ideal] or other.editing_shape[ideal]):
            # Of older pools; nothing has a band.
            del pairs["editing_band_hz"]
        return {name: list(own) for name, (own, its) in pairs.items() if isinstance(own, tuple) and own != its}

    def to_json(self):
        """The priors as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        """Priors of `to_json` text; what an older text does not name was not varied.

        Raises:
            BasisError: the text is not that.
        """
        try:
            given = json.loads(text)
            for name in CHOICES.keys() & given.keys():
                given[name] = (*given[name], *[0] * (len(CHOICES[name]) - len(given[name])))
            return cls.fixed(**given)
        except (TypeError, ValueError, AttributeError) as exc:
            raise BasisError(f"These are not the priors of a pool: {exc}") from exc
        except RecursionError as exc:
            raise BasisError("These are not the priors of a pool: lists within lists without end.") from exc


def draw_members(priors, tables, number, seed):
    """Draw the parameters of a pool.

    Every parameter has a random generator of its own, made of the seed and its name, so that a variation that
    is switched off, or added later, leaves the draws of all others as they are.

    Args:
        priors: PoolPriors.
        tables: dict of table of `spins.SPIN_TABLES` -> dict of metabolite -> tuple of SpinSystem to be varied.
        number: members.
        seed: seed of the draw.

    Returns:
        dict of name -> array with the member as first axis: a float for every range, the index of the choice
        for weights, and for every metabolite "shift_ppm/NAME" (member, group of equal shifts, part after
        part), "j_factor/NAME" (member, group of equal couplings) and "t2_s/NAME" (member,). Where tables
        differ in the number of groups, a member leaves the last ones unused.
    """
    drawn = {}
    shares = ("calibration", "design")
    shares = {name: _uniform(getattr(priors, name), _generator(seed, name), number) for name in shares}
    drawn |= shares
    nominal = vars(priors.fixed())
    for field in fields(priors):
        value, generator = getattr(priors, field.name), _generator(seed, field.name)
        if field.name in CHOICES:
            weights = torch.tensor(value, dtype=torch.float64)
            drawn[field.name] = torch.multinomial(weights, number, True, generator=generator).numpy()
        elif isinstance(value, tuple) and field.name not in (*PER_METABOLITE, *shares):
            share = shares["design" if field.name in DESIGN else "calibration"]
            middle = np.clip(nominal[field.name][0], *value)
            drawn[field.name] = _depart(_uniform(value, generator, number), middle, share)
    _separate_pulses(priors, drawn)
    for name in dict.fromkeys(name for systems in tables.values() for name in systems):
        variants = [systems[name] for systems in tables.values() if name in systems]
        shifts = max(sum(len(shift_groups(part)) for part in parts) for parts in variants)
        couplings = max(sum(len(coupling_groups(part)) for part in parts) for parts in variants)
        t2_s = T2_S.get(name, T2_UNKNOWN_S)
        for kind, limits, middle, shape in (
            ("shift_ppm", priors.shift_jitter_ppm, 0, (number, shifts)),
            ("j_factor", priors.j_factor, 1, (number, couplings)),
            ("t2_s", np.multiply(priors.t2_factor, t2_s), t2_s, (number,)),
        ):
            values = _uniform(limits, _generator(seed, f"{kind}/{name}"), *shape)
            drawn[f"{kind}/{name}"] = _depart(values, np.clip(middle, *limits), shares["calibration"])
    return drawn


def _depart(values, middle, share):
    """Values (member, ...) brought nearer to a middle, to a share (member,) of their distance."""
    return middle + (values - middle) * share.reshape(-1, *[1] * (values.ndim - 1))


def _generator(seed, name):
    """Random generator of one parameter."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _uniform(limits, generator, *shape):
    return limits[0] + (limits[1] - limits[0]) * torch.rand(shape, generator=generator, dtype=torch.float64).numpy()


def _separate_pulses(priors, drawn):
    """Move editing pulses that would overlap with others, or with reception, by the least that separates them."""
    edit, refocus = drawn["editing_duration_s"] / 2, drawn["refocusing_duration_s"] / 2
    quarter, first = priors.te_s / 4, drawn["first_refocusing_s"]
    earliest = refocus + edit - quarter
    delay = np.clip(drawn["editing_delay_s"], earliest, quarter - refocus - edit)
    second = np.clip(delay + drawn["editing_gap_s"], earliest, quarter - first - edit)
    drawn["editing_delay_s"], drawn["editing_gap_s"] = delay, second - delay


def shift_groups(part):
    """Different shifts of a part's protons (ppm), in the order of the table."""
    return list(dict.fromkeys(s for s, hetero in zip(part.shifts_ppm, part.hetero, strict=True) if not hetero))


def coupling_groups(part):
    """Different couplings of a part above the diagonal (Hz), 0 left out, in the order of the table."""
    return list(dict.fromkeys(j for place, row in enumerate(part.j_hz) for j in row[place + 1 :] if j != 0))
