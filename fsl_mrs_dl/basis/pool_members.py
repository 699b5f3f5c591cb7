"""From the drawn numbers of a pool to the sequences and spin systems of its members, without further chance."""

from dataclasses import replace

import numpy as np

from .builders import megapress_pair
from .pool_priors import CHOICES, NOMINAL_THICKNESS_M, coupling_groups, shift_groups
from .pulses import gaussian, hann_sinc, ideal, sinc_gaussian
from .slr import slr
from .spins import SPIN_TABLES, SpinSystem

QUARTER_TURN = -np.pi / 2

EDITING_CYCLES = ((0.0, 0.5), (QUARTER_TURN, 0.5)), tuple((step * QUARTER_TURN, 0.25) for step in range(4))
FULL_CYCLE = tuple((step * QUARTER_TURN, 0.25 * (-1) ** step) for step in range(4))
SHORT_CYCLE = ((0.0, 0.5), (QUARTER_TURN, -0.5))
CYCLES = {
    name: ((), refocusing, EDITING_CYCLES[0], refocusing, EDITING_CYCLES[1])
    for name, refocusing in (("cycled", FULL_CYCLE), ("short_cycle", SHORT_CYCLE))
}
"""Phase cycles of the five pulses, steps of phase (rad) and weight. Refocusing pulses: EXORCYCLE (Bodenhausen et al.,
J Magn Reson 27:511, 1977), or only its first two steps, 0 and 90 degrees subtracted, which leaves part of what
imperfect pulses do wrong. Editing pulses: 0 and 90, then 0, 90, 180 and 270 degrees. The short one and the editing
pulses are as in FID-A's run_simMegaPressShaped (Simpson et al., Magn Reson Med 77:23, 2017)."""


def member_sequences(priors, drawn, member):
    """Sequences of one member of `pool_priors.draw_members`.

    Returns:
        tuple over the parts of the voxel (one, or two of different B1) of (off, on), with receiver phase 0.
    """
    value = {name: array[member].item() for name, array in drawn.items() if array.ndim == 1}
    delay = priors.te_s / 4 + value["editing_delay_s"]
    pair = megapress_pair(
        te_s=priors.te_s,
        b0_t=priors.b0_t,
        edit_on_ppm=value["edit_on_ppm"],
        edit_off_ppm=value["edit_off_ppm"],
        editing=_editing(value),
        refocusing=_refocusing(value),
        slice_thickness_m=NOMINAL_THICKNESS_M,
        positions=priors.positions,
        slice_ppm=value["slice_centre_ppm"],
        first_refocusing_s=value["first_refocusing_s"],
        editing_intervals_s=(delay, delay + value["editing_gap_s"]),
        points=priors.points,
        bandwidth_hz=priors.bandwidth_hz,
        linewidth_hz=priors.linewidth_hz,
    )
    pair = [_placed(sequence, value) for sequence in pair]
    cycle = CYCLES.get(_choice(value, "pathways"))
    if cycle is not None:
        pair = [_cycled(sequence, cycle) for sequence in pair]
    # Gradients belong to the nominal pulses; B1 errors come on top.
    spread = (-value["b1_spread"], value["b1_spread"]) if priors.b1_spread[1] > 0 else (0.0,)
    parts = []
    for deviation in spread:
        b1 = value["b1_scale"] * (1 + deviation)
        refocusing, editing = b1 * value["refocusing_b1"], b1 * value["editing_b1"]
        parts.append(tuple(_scaled(sequence, (b1, refocusing, editing, refocusing, editing)) for sequence in pair))
    return tuple(parts)


def _choice(value, name):
    return CHOICES[name][value[name]]


def _editing(value):
    duration_s, cutoff = value["editing_duration_s"], value["editing_cutoff"]
    shape = _choice(value, "editing_shape")
    if shape == "slr":
        return slr(duration_s, np.pi, value["editing_time_bandwidth"], 0.05, 0.05, points=100)
    if shape == "ideal":
        return ideal(np.pi, band_hz=value["editing_band_hz"])
    return {"gaussian": gaussian, "sinc_gaussian": sinc_gaussian}[shape](duration_s, cutoff=cutoff)


def _refocusing(value):
    shape = _choice(value, "refocusing_shape")
    duration_s, time_bandwidth = value["refocusing_duration_s"], value["time_bandwidth"]
    if shape == "slr":
        return slr(duration_s, np.pi, time_bandwidth, passband_ripple=0.02, stopband_ripple=0.02, points=100)
    return hann_sinc(duration_s, np.pi, time_bandwidth) if shape == "hann_sinc" else ideal(np.pi)


def _placed(sequence, value):
    """Slices of the drawn thickness and middle in the region of the nominal ones."""
    weaker = NOMINAL_THICKNESS_M / value["slice_thickness_m"]
    blocks = tuple(
        replace(block, gradient_t_per_m=tuple(weaker * gradient for gradient in block.gradient_t_per_m))
        for block in sequence.blocks
    )
    # Where a slice is selected, positions count from the middle of the slice.
    middle = value["slice_position_m"]
    extent = tuple(
        (first - middle, last - middle) if first != last else (first, last) for first, last in sequence.extent_m
    )
    return replace(sequence, blocks=blocks, extent_m=extent)


def _cycled(sequence, cycle):
    pairs = zip(sequence.without_filters().blocks, cycle, strict=True)
    return replace(sequence, blocks=tuple(replace(block, cycle=steps) for block, steps in pairs))


def _scaled(sequence, factors):
    pairs = zip(sequence.blocks, factors, strict=True)
    return replace(sequence, blocks=tuple(replace(block, pulse=block.pulse.scaled(factor)) for block, factor in pairs))


def member_systems(tables, drawn, member):
    """Spin systems of one member: equal shifts of a part move together, equal couplings scale together.

    Args:
        tables: dict of table of `spins.SPIN_TABLES` -> dict of metabolite -> tuple of SpinSystem.
        drawn: from `pool_priors.draw_members`.
        member: index of the member.
    """
    systems = tables[SPIN_TABLES[drawn["spin_table"][member]]]
    varied = {}
    for name, parts in systems.items():
        jitter, factors = drawn[f"shift_ppm/{name}"][member].tolist(), drawn[f"j_factor/{name}"][member].tolist()
        built = []
        for part in parts:
            moved = {value: value + jitter.pop(0) for value in shift_groups(part)}
            scaled = {value: value * factors.pop(0) for value in coupling_groups(part)} | {0.0: 0.0}
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
