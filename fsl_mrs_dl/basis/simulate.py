"""Simulated FIDs of metabolites: density matrices carried through a pulse sequence.

The density matrix keeps one axis for every direction of space in which a gradient has been on. A direction
is opened by the first block that needs it and averaged over as soon as no later block does, so that slice
selection along x and then y costs the sum of their positions, not the product. Propagators are kept by
their content: conditions, equal pulses and steps of a phase cycle share them.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ..axes import GYROMAGNETIC_HZ_PER_T, REFERENCE_PPM
from ..errors import BasisError
from ..threads import one_thread
from .propagate import (
    SpinBatch,
    free_propagator,
    pulse_propagator,
    received_signal,
    shift_phase,
    steps_of_points,
)
from .spins import components, find_systems

MEMBERS_AT_ONCE = {"cpu": 16, "other": 256}
"""Members simulated in one batch on a processor or a GPU: bounds memory (16 members of 6 spins at 8 positions take
about 0.1 GB)."""


def simulate(sequences, names, systems=None, device="cpu", progress=None):
    """Simulate metabolites with one or more sequences.

    A proton that the sequence excites fully and leaves in phase has amplitude 1 at the first point, which is
    received right after the last delay. Lines oscillate as exp(+2j pi f t), f > 0 at higher ppm, frequency 0
    at `axes.REFERENCE_PPM` whatever the sequence's own centre is.

    Args:
        sequences: list of Sequence, one a condition, with the same points and bandwidth.
        names: metabolites.
        systems: dict of name -> tuple of SpinSystem; the shipped table when None.
        device: torch device.
        progress: called as progress(done, total) after every metabolite.

    Returns:
        (condition, metabolite, point) complex128 numpy array.

    Raises:
        BasisError: an unknown metabolite, or sequences with different receivers.
    """
    return simulate_members([list(sequences)], names, None if systems is None else [systems], device, progress)[0]


def simulate_members(members, names, systems=None, device="cpu", progress=None):
    """Simulate several bases at once; those of equal layout (blocks, points, positions) share a batch.

    Args:
        members: list over members of a list of Sequence, one a condition.
        names: metabolites.
        systems: one dict of name -> tuple of SpinSystem a member; the shipped table for all when None.
        device: torch device. On the processor, batches run side by side on as many cores as torch may use; the
            result does not depend on their number.
        progress: called as progress(done, total) as metabolites of members are finished.

    Returns:
        (member, condition, metabolite, point) complex128 numpy array.
    """
    points = _check_receivers(members)
    names = list(names)
    shipped = find_systems(names) if systems is None else None
    tables = [shipped or find_systems(names, systems[index]) for index in range(len(members))]
    parts = [{name: components(table[name]) for name in names} for table in tables]
    groups = {}
    for index, sequences in enumerate(members):
        sizes = tuple(tuple(len(part.shifts_ppm) for part in parts[index][name]) for name in names)
        groups.setdefault((sizes, tuple(_layout(sequence) for sequence in sequences)), []).append(index)
    on_cpu = torch.device(device).type == "cpu"
    size = MEMBERS_AT_ONCE["cpu" if on_cpu else "other"]
    jobs = [
        (chosen[start : start + size], place, name)
        for chosen in groups.values()
        for start in range(0, len(chosen), size)
        for place, name in enumerate(names)
    ]
    fids = np.empty((len(members), len(members[0]), len(names), points), dtype=complex)
    done = 0

    def work(job):
        batch, place, name = job
        sequences = list(zip(*(members[index] for index in batch), strict=True))
        fids[batch, :, place] = _metabolite([parts[index][name] for index in batch], sequences, device)
        return len(batch)

    # Matrices of 64 rows gain nothing from several threads within torch, so the batches share the cores.
    workers = torch.get_num_threads() if on_cpu else 1
    with one_thread():
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
        try:
            for finished in pool.map(work, jobs):
                done += finished
                if progress is not None:
                    progress(done, len(members) * len(names))
        finally:
            # An interrupted simulation does not wait for what has not begun.
            pool.shutdown(cancel_futures=True)
    return fids


def _check_receivers(members):
    """Number of points, once every sequence of every member is known to fit one array."""
    conditions = {len(sequences) for sequences in members}
    if len(conditions) != 1 or 0 in conditions:
        raise BasisError(f"A simulation needs at least one sequence, as many in every member, not {conditions}.")
    receivers = {(sequence.points, sequence.bandwidth_hz) for sequences in members for sequence in sequences}
    if len(receivers) != 1:
        raise BasisError(
            f"Sequences simulated together need one receiver, but there are {sorted(receivers)} (Rx_Points, Rx_SW "
            "in Hz); give all of them the same."
        )
    return receivers.pop()[0]


def _layout(sequence):
    """What sequences must share to be simulated in one batch."""
    blocks = []
    for block in sequence.blocks:
        points = block.pulse.points
        steps = steps_of_points(block.pulse.duration_s / points, points)
        blocks.append((points, steps, block.coherence, block.cycle, block.axes_used))
    return tuple(blocks), sequence.resolution, sequence.nucleus


def _metabolite(parts, sequences, device):
    """FIDs of one metabolite, (member, condition, point).

    Args:
        parts: list over members of the metabolite's Components.
        sequences: list over conditions of a list over members of Sequence.
        device: torch device.
    """
    total = 0
    for same in zip(*parts, strict=True):
        batch = SpinBatch(same, device)
        kept = {}
        total = total + torch.stack([_fid(batch, condition, kept) for condition in sequences], 1)
    return total.cpu().numpy()


def _fid(batch, sequences, kept):
    """FID of one component, (member, point); `kept` holds propagators by their content."""
    centre_hz = batch.tensor([sequence.centre_hz for sequence in sequences])
    centre_ppm = batch.tensor([sequence.centre_ppm for sequence in sequences])
    frequencies = batch.frequencies_hz(centre_hz, centre_ppm)
    modes = _keep(kept, ("free", frequencies), lambda: batch.free_modes(frequencies))
    density = _evolve(batch, sequences, frequencies, modes, kept)
    dwell_s = batch.tensor([sequence.dwell_s for sequence in sequences])
    times = torch.arange(sequences[0].points, device=batch.device) * dwell_s[:, None]
    signal = received_signal(batch, density[:, 0, 0, 0], modes, times)
    width = batch.tensor([sequence.linewidth_hz for sequence in sequences])[:, None]
    phase = batch.tensor([sequence.receiver_phase_rad for sequence in sequences])[:, None]
    shift_hz = ((centre_ppm - REFERENCE_PPM) * centre_hz * 1e-6)[:, None]
    return signal * torch.exp(torch.complex(-np.pi * width * times, 2 * np.pi * shift_hz * times + phase))


def _evolve(batch, sequences, frequencies, modes, kept):
    """Density matrix at the first point received, (member, 1, 1, 1, state, state)."""
    density = batch.equilibrium()
    columns = list(zip(*(sequence.blocks for sequence in sequences), strict=True))
    for number, blocks in enumerate(columns):
        density = _cycled(batch, density, _pulse(batch, sequences, blocks, frequencies, kept), blocks[0].cycle)
        delays = batch.tensor([block.delay_s for block in blocks])
        wait = _keep(kept, ("wait", frequencies, delays), lambda times=delays: free_propagator(modes, times))
        density = _turn(density, wait[:, None, None, None])
        areas = [block.rephase_area_ts_per_m for block in blocks]
        if any(any(area) for area in areas):
            density = shift_phase(batch, density, 2 * np.pi * _gradient_hz(batch, sequences, areas))
        if blocks[0].coherence is not None:
            density = density * (batch.orders == blocks[0].coherence)
        later = {axis for rest in columns[number + 1 :] for block in rest for axis in block.axes_used}
        over = [1 + axis for axis in range(3) if axis not in later and density.shape[1 + axis] > 1]
        if over:
            density = density.mean(over, keepdim=True)
    return density


def _cycled(batch, density, propagator, cycle):
    """Density matrix after a pulse, summed over the steps of its phase cycle."""
    if not cycle:
        return _turn(density, propagator)
    steps = ((batch.tensor(phase).expand(1, 1, 1, 1), weight) for phase, weight in cycle)
    return sum(weight * _turn(density, shift_phase(batch, propagator, phase)) for phase, weight in steps)


def _turn(density, propagator):
    """U rho U^+ with broadcasting over positions; a lone member or position never copies the other side."""
    return propagator @ density @ propagator.mH


def _pulse(batch, sequences, blocks, frequencies, kept):
    """Propagator of a block's pulse, (member, x, y, z, state, state), with 1 where its gradient is off."""
    positions = _gradient_hz(batch, sequences, [block.gradient_t_per_m for block in blocks])
    nutation = torch.as_tensor(np.array([block.pulse.complex_hz for block in blocks]), device=batch.device)
    content = (
        nutation,
        batch.tensor([block.pulse.duration_s for block in blocks]),
        batch.tensor([block.pulse.band_hz for block in blocks]),
        frequencies,
        positions.flatten(1),
        batch.tensor([block.frequency_offset_hz for block in blocks]),
    )
    propagator = _keep(kept, ("pulse", *content), lambda: pulse_propagator(batch, *content))
    phase = batch.tensor([block.phase_offset_rad for block in blocks])
    return shift_phase(batch, propagator, phase[:, None]).unflatten(1, positions.shape[1:])


def _gradient_hz(batch, sequences, gradients):
    """Offsets (Hz) of positions in gradients (T/m), or turns of phase for areas (T s/m), (member, x, y, z).

    An axis whose gradient is off in every member has length 1.
    """
    gamma = GYROMAGNETIC_HZ_PER_T[sequences[0].nucleus]
    total = torch.zeros((len(sequences), 1, 1, 1), dtype=torch.float64, device=batch.device)
    for axis in range(3):
        if any(gradient[axis] for gradient in gradients):
            places = batch.tensor(np.array([sequence.positions_m(axis) for sequence in sequences]))
            offsets = gamma * batch.tensor([gradient[axis] for gradient in gradients])[:, None] * places
            shape = [len(sequences), 1, 1, 1]
            shape[1 + axis] = places.shape[1]
            total = total + offsets.reshape(shape)
    return total


def _keep(kept, key, make):
    """The value of a key, made once; tensors in the key count by their content."""
    plain = tuple(part if isinstance(part, str) else (part.shape, part.cpu().numpy().tobytes()) for part in key)
    if plain not in kept:
        kept[plain] = make()
    return kept[plain]
