"""Builders of sequence descriptions: MEGA-PRESS, PRESS and STEAM with coherence selection.

Times between pulses run from centre to centre. Slices are selected along z (excitation, if shaped), x and y
(refocusing). A gradient is the pulse's bandwidth over gamma times the slice thickness; an ideal pulse selects nothing.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..axes import GYROMAGNETIC_HZ_PER_T, REFERENCE_PPM
from ..errors import BasisError
from .pulses import bandwidth_hz, gaussian, ideal, is_ideal
from .sequence import Block, Sequence
from .simulate import simulate
from .slr import slr
from .spins import SpinSystem

MEGAPRESS_COHERENCES = (-1, 1, 1, -1, -1)
PRESS_COHERENCES = (-1, 1, -1)
STEAM_COHERENCES = (1, 0, -1)
EXTENT_IN_SLICES = 5 / 3
"""Range of positions simulated along a selected axis, in slice thicknesses."""


def default_editing():
    """Editing pulse used unless another is given: 20 ms Gaussian, inversion width 61 Hz."""
    return gaussian(0.020, np.pi, cutoff=0.06, name="gaussian 20 ms")


def default_refocusing():
    """Refocusing pulse used unless another is given: 5 ms linear-phase SLR, peak B1 27 uT, width 1.16 kHz."""
    return slr(0.005, np.pi, time_bandwidth=5.75, passband_ripple=0.02, stopband_ripple=0.02, points=100)


@dataclass(frozen=True)
class Setup:
    """What every builder needs to know of the scanner; builders take these as keyword arguments.

    Attributes:
        b0_t: static field (T).
        slice_thickness_m, positions: thickness of all slices (m), positions along every selected axis.
        slice_ppm: frequency of excitation and refocusing (ppm).
        points, bandwidth_hz, linewidth_hz: receiver, with the Lorentzian linewidth of every line (Hz).
    """

    b0_t: float = 2.894
    slice_thickness_m: float = 0.03
    positions: int = 8
    slice_ppm: float = 3.0
    points: int = 2048
    bandwidth_hz: float = 2000.0
    linewidth_hz: float = 1.0

    def __post_init__(self):
        if not (self.slice_thickness_m > 0 and self.positions >= 1):
            raise BasisError(
                f"A slice needs a thickness above 0 m and positions, not {self.slice_thickness_m} m and "
                f"{self.positions}."
            )


def megapress(**options):
    """MEGA-PRESS whose singlet at slice_ppm is upright in edit-off.

    Args:
        options: of `megapress_pair`.

    Returns:
        (off, on), Sequences named edit_off and edit_on with the same receiver phase.
    """
    return upright(megapress_pair(**options), options.get("slice_ppm", Setup.slice_ppm))


def megapress_pair(
    te_s=0.068,
    edit_on_ppm=1.9,
    edit_off_ppm=7.4,
    editing=None,
    refocusing=None,
    excitation=None,
    first_refocusing_s=0.005,
    editing_intervals_s=None,
    **setup,
):
    """MEGA-PRESS: excitation, refocusing, editing, refocusing, editing.

    The second refocusing pulse follows the first after te / 2, as an echo at te needs.

    Args:
        te_s: echo time (s).
        edit_on_ppm, edit_off_ppm: frequency of the editing pulses in the two conditions (ppm).
        editing: editing Pulse; `default_editing` when None.
        refocusing: refocusing Pulse; `default_refocusing` when None, `pulses.ideal(numpy.pi)` for no slices.
        excitation: excitation Pulse; an ideal 90 degrees when None.
        first_refocusing_s: time from excitation to the first refocusing pulse (s).
        editing_intervals_s: times from either refocusing pulse to the editing pulse after it (s); te / 4 when None.
        setup: fields of `Setup`.

    Returns:
        (off, on), Sequences named edit_off and edit_on with receiver phase 0.

    Raises:
        BasisError: the pulses do not fit in the echo time.
    """
    setup = Setup(**setup)
    editing = default_editing() if editing is None else editing
    refocusing = default_refocusing() if refocusing is None else refocusing
    excitation = ideal(np.pi / 2) if excitation is None else excitation
    after = (te_s / 4, te_s / 4) if editing_intervals_s is None else editing_intervals_s
    span_hz = _offset_span_hz(refocusing)
    return tuple(
        _assemble(
            name,
            f"MEGA-PRESS, TE {te_s * 1e3:g} ms, editing at {edit_ppm:g} ppm, slices at {setup.slice_ppm:g} ppm",
            (excitation, refocusing, editing, refocusing, editing),
            (*np.cumsum([0, first_refocusing_s, after[0], te_s / 2 - after[0], after[1]]), te_s),
            (setup.slice_ppm, setup.slice_ppm, edit_ppm, setup.slice_ppm, edit_ppm),
            ((_offset_span_hz(excitation), 2), (span_hz, 0), (0, 0), (span_hz, 1), (0, 0)),
            MEGAPRESS_COHERENCES,
            setup,
        )
        for name, edit_ppm in (("edit_off", edit_off_ppm), ("edit_on", edit_on_ppm))
    )


def press(te_s=0.030, te1_s=None, refocusing=None, excitation=None, **setup):
    """PRESS: excitation and two refocusing pulses; other arguments as in `megapress_pair`.

    Args:
        te1_s: first echo time (s), half of te_s when None; the second is the rest.

    Returns:
        Sequence named press, a singlet at slice_ppm upright.
    """
    setup = Setup(**setup)
    te1_s = te_s / 2 if te1_s is None else te1_s
    refocusing = default_refocusing() if refocusing is None else refocusing
    excitation = ideal(np.pi / 2) if excitation is None else excitation
    span_hz = _offset_span_hz(refocusing)
    sequence = _assemble(
        "press",
        f"PRESS, TE {te_s * 1e3:g} ms (first echo {te1_s * 1e3:g} ms), slices at {setup.slice_ppm:g} ppm",
        (excitation, refocusing, refocusing),
        (0, te1_s / 2, te1_s / 2 + te_s / 2, te_s),
        (setup.slice_ppm,) * 3,
        ((_offset_span_hz(excitation), 2), (span_hz, 0), (span_hz, 1)),
        PRESS_COHERENCES,
        setup,
    )
    return upright([sequence], setup.slice_ppm)[0]


def steam(te_s=0.011, tm_s=0.032, excitation=None, **setup):
    """STEAM: three 90-degree pulses te / 2, tm and te / 2 apart; other arguments as in `megapress_pair`.

    Args:
        tm_s: mixing time (s).
        excitation: the Pulse played three times; a 2.6 ms SLR of time-bandwidth 6 when None.

    Returns:
        Sequence named steam, a singlet at slice_ppm upright (its amplitude is half at most).
    """
    setup = Setup(**setup)
    if excitation is None:
        excitation = slr(0.0026, np.pi / 2, 6.0, points=100, name="slr excitation")
    span_hz = _offset_span_hz(excitation)
    sequence = _assemble(
        "steam",
        f"STEAM, TE {te_s * 1e3:g} ms, TM {tm_s * 1e3:g} ms, slices at {setup.slice_ppm:g} ppm",
        (excitation,) * 3,
        (0, te_s / 2, te_s / 2 + tm_s, te_s + tm_s),
        (setup.slice_ppm,) * 3,
        tuple((span_hz, axis) for axis in (2, 0, 1)),
        STEAM_COHERENCES,
        setup,
    )
    # Magnetisation lies across the field in the first half of the second pulse and the second half of the third.
    first, second, third = sequence.blocks
    before = np.add(first.rephase_area_ts_per_m, _rephase(second)).tolist()
    blocks = (
        replace(first, rephase_area_ts_per_m=tuple(before)),
        second,
        replace(third, rephase_area_ts_per_m=_rephase(third)),
    )
    sequence = replace(sequence, blocks=blocks)
    return upright([sequence], setup.slice_ppm)[0]


def upright(sequences, shift_ppm):
    """Give sequences the receiver phase with which a singlet's first point is real and positive in the first.

    Args:
        sequences: Sequences of one scan, one a condition.
        shift_ppm: the singlet's chemical shift (ppm).

    Returns:
        tuple of Sequence.

    Raises:
        BasisError: the first sequence gives no signal there.
    """
    bare = replace(sequences[0], points=1, receiver_phase_rad=0.0)
    first = simulate([bare], ["singlet"], {"singlet": singlet(shift_ppm)})[0, 0, 0]
    if abs(first) < 1e-9:
        raise BasisError(f"{bare.description}: a singlet at {shift_ppm} ppm gives no signal, so it has no phase.")
    return tuple(replace(sequence, receiver_phase_rad=float(-np.angle(first))) for sequence in sequences)


def singlet(shift_ppm):
    """Parts of a metabolite with one proton."""
    return (SpinSystem("singlet", (shift_ppm,), ((0.0,),)),)


def _offset_span_hz(pulse):
    """Offset (Hz) that the gradient of a pulse spans over the slice thickness, 0 for an ideal pulse."""
    return 0.0 if is_ideal(pulse) else bandwidth_hz(pulse)


def _assemble(name, description, pulses, times_s, shifts_ppm, slices, coherences, setup):
    """A Sequence of pulses centred at times_s[:-1] and received from times_s[-1] on."""
    thickness_m, positions = setup.slice_thickness_m, setup.positions
    gamma = GYROMAGNETIC_HZ_PER_T["1H"]
    half = [pulse.duration_s / 2 for pulse in pulses] + [0.0]
    centre_mhz = setup.b0_t * gamma * 1e-6
    extent, resolution, blocks = [(0.0, 0.0)] * 3, [1, 1, 1], []
    for index, (pulse, (span_hz, axis), order) in enumerate(zip(pulses, slices, coherences, strict=True)):
        delay_s = times_s[index + 1] - times_s[index] - half[index] - half[index + 1]
        if delay_s < -1e-9:
            raise BasisError(
                f"{description}: pulse {index + 1} and what follows overlap by {-delay_s * 1e3:.2f} ms; "
                "use shorter pulses or a longer echo time."
            )
        gradient = [0.0, 0.0, 0.0]
        if span_hz:
            gradient[axis] = span_hz / (gamma * thickness_m)
            # Positions stand for cells of equal width that fill the range, so the outer ones lie half a cell inside.
            edge = EXTENT_IN_SLICES / 2 * thickness_m * (1 - 1 / positions)
            extent[axis], resolution[axis] = (-edge, edge), positions
        block = Block(
            pulse,
            max(delay_s, 0.0),
            frequency_offset_hz=(shifts_ppm[index] - REFERENCE_PPM) * centre_mhz,
            phase_offset_rad=0.0 if index == 0 else np.pi / 2,
            gradient_t_per_m=tuple(gradient),
            coherence=order,
        )
        blocks.append(replace(block, rephase_area_ts_per_m=_rephase(block)) if index == 0 else block)
    return Sequence(
        name=name,
        description=description,
        b0_t=setup.b0_t,
        blocks=blocks,
        points=setup.points,
        bandwidth_hz=setup.bandwidth_hz,
        linewidth_hz=setup.linewidth_hz,
        extent_m=extent,
        resolution=resolution,
    )


def _rephase(block):
    """Area (T s/m) that undoes the dephasing in the second half of a symmetric pulse."""
    return tuple(-gradient * block.pulse.duration_s / 2 for gradient in block.gradient_t_per_m)
