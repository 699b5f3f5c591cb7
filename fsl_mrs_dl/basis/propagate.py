"""Propagators of coupled spins 1/2: free evolution, shaped pulses and what is received.

Everything is batched: over members (bases with their own shifts, couplings, pulses and timings) first, then
over positions. Rotations are exp(-1j theta (Ix cos phi + Iy sin phi)); the free Hamiltonian is
2 pi sum f Iz + 2 pi sum J I.I. A pulse is the product over its points of exact rotations of every single
spin (shift, gradient and RF together), split symmetrically from the couplings (Strang splitting). The
isotropic coupling commutes with the RF, so that the error of a step of length dt stays near
dt^2 / 12 times coupling times the spread of the offsets; long points are cut and short ones joined for that.
"""

import math

import torch

from .spins import coherence_orders, exchange_operators, iz_values, raising_operator

COMPLEX = torch.complex128
REAL = torch.float64
LONGEST_STEP_S = 1e-4
"""Longest time (s) over which rotations and couplings are split."""


class SpinBatch:
    """The same coupled spins in several members, with their own shifts and couplings.

    Attributes:
        spins: number of spins; a density matrix has 2**spins rows.
        weight: (member,) how many such components a metabolite holds.
    """

    def __init__(self, components, device):
        """Args: components: one Component a member, all of one size; device: torch device."""
        self.device = device
        self.spins = len(components[0].shifts_ppm)
        self.weight = self.tensor([component.weight for component in components])
        self.shifts_ppm = self.tensor([component.shifts_ppm for component in components])
        self.offsets_hz = self.tensor([component.offsets_hz for component in components])
        rows, columns = torch.triu_indices(self.spins, self.spins, 1)
        j_hz = self.tensor([component.j_hz for component in components])[:, rows, columns]
        self.coupling = torch.einsum("mp,pab->mab", 2 * math.pi * j_hz, self.tensor(exchange_operators(self.spins)))
        self.iz = self.tensor(iz_values(self.spins))
        self.orders = torch.as_tensor(coherence_orders(self.spins), device=device)
        self.detector = self.tensor(raising_operator(self.spins))
        self._coupling_modes = None

    def tensor(self, values):
        """A float64 tensor on the batch's device."""
        return torch.as_tensor(values, dtype=REAL, device=self.device)

    def frequencies_hz(self, centre_hz, centre_ppm):
        """Offsets from the receiver centre, (member, spin) (Hz); both arguments are (member,)."""
        return (self.shifts_ppm - centre_ppm[:, None]) * centre_hz[:, None] * 1e-6 + self.offsets_hz

    def equilibrium(self):
        """Iz summed over spins, (member, 1, 1, 1, state, state); a proton turned by 90 degrees gives amplitude 1."""
        diagonal = self.iz.sum(0) * 4 / 2**self.spins
        return (self.weight[:, None] * diagonal).to(COMPLEX).diag_embed()[:, None, None, None]

    def free_modes(self, frequencies_hz):
        """Energies (rad/s) (member, state) and modes (member, state, state) of free evolution."""
        diagonal = 2 * math.pi * frequencies_hz @ self.iz
        energies, modes = torch.linalg.eigh(self.coupling + diagonal.diag_embed())
        return energies, modes.to(COMPLEX)

    def coupling_propagator(self, times_s):
        """exp(-1j coupling t), (member, state, state), for times (member,) (s)."""
        if self._coupling_modes is None:
            self._coupling_modes = torch.linalg.eigh(self.coupling)
        energies, modes = self._coupling_modes
        phases = torch.exp(-1j * energies * times_s[:, None])
        return (modes.to(COMPLEX) * phases[:, None, :]) @ modes.to(COMPLEX).mT


def free_propagator(modes, times_s):
    """exp(-1j H t), (member, state, state), from `SpinBatch.free_modes` and times (member,) (s)."""
    energies, vectors = modes
    return (vectors * torch.exp(-1j * energies * times_s[:, None])[:, None, :]) @ vectors.mT


def point_rotations(nutation_hz, offsets_hz, step_s):
    """Exact rotation of single spins by one point of a pulse.

    Args:
        nutation_hz: (point, member) complex, amplitude with phase (Hz).
        offsets_hz: (member, position, spin) offset from the pulse's frequency (Hz).
        step_s: (member,) length of a point (s).

    Returns:
        (point, member, position, spin, 2, 2) complex128.
    """
    turn = 2 * math.pi * step_s[:, None, None]
    rf, offset = nutation_hz[:, :, None, None] * turn, offsets_hz * turn
    angle = torch.sqrt(rf.real**2 + rf.imag**2 + offset**2)
    cosine, sine = torch.cos(angle / 2), 0.5 * torch.sinc(angle / (2 * math.pi))
    rows = (
        torch.complex(cosine, -sine * offset),
        -1j * sine * rf.conj(),
        -1j * sine * rf,
        torch.complex(cosine, sine * offset),
    )
    return torch.stack(rows, -1).unflatten(-1, (2, 2))


def steps_of_points(step_s, points):
    """How a pulse's points make up the steps over which couplings are split off, at most `LONGEST_STEP_S` long.

    Args:
        step_s: length of a point (s).
        points: number of points.

    Returns:
        pieces, joined: a point is cut into so many pieces; a step joins so many (a divisor of the points).
    """
    pieces = max(1, math.ceil(step_s / LONGEST_STEP_S - 1e-6))
    most = max(1, math.floor(LONGEST_STEP_S / step_s + 1e-6))
    return pieces, max(number for number in range(1, min(most, points) + 1) if points % number == 0)


def pulse_propagator(batch, nutation_hz, duration_s, band_hz, frequencies_hz, positions_hz, frequency_offset_hz):
    """Propagator of a pulse whose frequency offset is a phase that grows from 0 at its start.

    Args:
        batch: SpinBatch.
        nutation_hz: (member, point) complex, amplitude with phase (Hz).
        duration_s: (member,) duration of the pulse (s).
        band_hz: (member,) full width (Hz) about the pulse's frequency outside of which it turns nothing, or infinity;
            for pulses of no duration.
        frequencies_hz: (member, spin) offsets from the receiver centre (Hz).
        positions_hz: (member, position) offsets that the gradient adds (Hz).
        frequency_offset_hz: (member,) offset of the pulse from the receiver centre (Hz).

    Returns:
        (member, position, state, state) complex128.
    """
    points = nutation_hz.shape[1]
    step_s = duration_s / points
    pieces, joined = steps_of_points(float(step_s.max()), points)
    if batch.spins == 1:
        pieces, joined = 1, points
    offsets = frequencies_hz[:, None, :] + positions_hz[:, :, None] - frequency_offset_hz[:, None, None]
    turns = point_rotations(nutation_hz.mT, offsets, step_s / pieces)
    inside = offsets.abs() <= band_hz[:, None, None] / 2
    if not inside.all():
        turns = torch.where(inside[..., None, None], turns, torch.eye(2, dtype=COMPLEX, device=turns.device))
    turns = turns.repeat_interleave(pieces, 0)
    turns = _ordered_product(turns.unflatten(0, (-1, joined)).movedim(1, 0))
    if batch.spins == 1:
        total = turns[0, :, :, 0]
    else:
        total = _split_product(batch, turns, step_s / pieces * joined)
    return rotate_about_z(batch, total, 2 * math.pi * (frequency_offset_hz * duration_s)[:, None])


def _ordered_product(matrices):
    """Product of matrices along the first axis, the last one standing leftmost."""
    while matrices.shape[0] > 1:
        odd = matrices[-1:] if matrices.shape[0] % 2 else matrices[:0]
        even = matrices.shape[0] // 2 * 2
        matrices = torch.cat([matrices[1:even:2] @ matrices[0:even:2], odd])
    return matrices[0]


def _split_product(batch, turns, step_s):
    """Product over points of rotations of single spins between half steps of coupling."""
    half = batch.coupling_propagator(step_s / 2)
    whole = half @ half
    members, positions = turns.shape[1:3]
    states = 2**batch.spins
    total = half[:, None].expand(members, positions, states, states)
    # From the last point to the first: couplings then multiply from the right, as one matrix product.
    for index in range(turns.shape[0] - 1, -1, -1):
        total = total @ _kron(turns[index])
        coupling = whole if index else half
        total = (total.reshape(members, positions * states, states) @ coupling).unflatten(1, (positions, states))
    return total


def _kron(turns):
    """Kronecker product over spins, (..., spin, 2, 2) to (..., state, state)."""
    total = turns[..., 0, :, :]
    for spin in range(1, turns.shape[-3]):
        product = total[..., :, None, :, None] * turns[..., spin, None, :, None, :]
        total = product.flatten(-4, -3).flatten(-2, -1)
    return total


def rotate_about_z(batch, propagator, angle_rad):
    """Multiply a propagator (..., state, state) by a rotation about z by an angle (...) from the left."""
    phases = torch.exp(-1j * angle_rad[..., None] * batch.iz.sum(0))
    return phases[..., :, None] * propagator


def shift_phase(batch, propagator, phase_rad):
    """Propagator of the same pulse with a phase added: Rz(phase) U Rz(-phase); phase is (member, 1, ...)."""
    return propagator * torch.exp(-1j * phase_rad[..., None, None] * batch.orders)


def received_signal(batch, density, modes, times_s):
    """Signal of coherence order -1 under free evolution.

    Args:
        batch: SpinBatch.
        density: (member, state, state) density matrix at the first point.
        modes: from `SpinBatch.free_modes`.
        times_s: (member, point) times of the points (s).

    Returns:
        (member, point) complex128, oscillating as exp(+2j pi f t).
    """
    energies, vectors = modes
    detector = vectors.mT @ batch.detector.to(COMPLEX) @ vectors
    amplitudes = (vectors.mT @ density @ vectors) * detector.mT
    phases = torch.exp(-1j * energies[:, None, :] * times_s[..., None])
    return ((phases @ amplitudes) * phases.conj()).sum(-1)
