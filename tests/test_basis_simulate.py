"""Density-matrix simulation against analytic spectra and brute force."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from fsl_mrs_dl.axes import REFERENCE_PPM, fid_to_spectrum, ppm_axis, time_axis
from fsl_mrs_dl.basis.builders import megapress, press
from fsl_mrs_dl.basis.pulses import Pulse, gaussian, hann_sinc, ideal, refocused_fraction
from fsl_mrs_dl.basis.sequence import Block, Sequence
from fsl_mrs_dl.basis.simulate import simulate, simulate_members
from fsl_mrs_dl.basis.spins import SpinSystem, load_systems
from fsl_mrs_dl.errors import BasisError

B0_T = 2.9
POINTS, BANDWIDTH_HZ, WIDTH_HZ = 512, 2000.0, 2.0
EXCITE = ideal(np.pi / 2)
GAMMA_HZ_PER_T = 42.577478518e6


def sequence(blocks, **settings):
    """A sequence whose receiver turns magnetisation along -y upright."""
    given = {"points": POINTS, "bandwidth_hz": BANDWIDTH_HZ, "linewidth_hz": WIDTH_HZ, "receiver_phase_rad": np.pi / 2}
    return Sequence(name="test", b0_t=B0_T, blocks=blocks, **(given | settings))


def system(shifts_ppm, couplings=None):
    """A table with one part; couplings maps a pair of spins to Hz."""
    j_hz = np.zeros((len(shifts_ppm),) * 2)
    for pair, value in (couplings or {}).items():
        j_hz[pair] = value
    return {"m": (SpinSystem("m", tuple(shifts_ppm), tuple(map(tuple, j_hz))),)}


def hz(shift_ppm):
    """Frequency of a chemical shift (Hz)."""
    return (shift_ppm - REFERENCE_PPM) * GAMMA_HZ_PER_T * B0_T * 1e-6


def decay():
    """Times (s) and the decay of the linewidth."""
    times = time_axis(POINTS, 1 / BANDWIDTH_HZ)
    return times, np.exp(-np.pi * WIDTH_HZ * times)


def run(blocks, systems, **settings):
    return simulate([sequence(blocks, **settings)], ["m"], systems)[0, 0]


@pytest.mark.parametrize("centre_ppm", [4.65, 3.0])
def test_singlet_after_an_ideal_pulse(centre_ppm):
    times, width = decay()
    fid = run([Block(EXCITE, 0.0)], system([2.0]), centre_ppm=centre_ppm)
    assert fid == pytest.approx(np.exp(2j * np.pi * hz(2.0) * times) * width, abs=1e-5)
    spectrum = fid_to_spectrum(fid).real
    peak = ppm_axis(POINTS, 1 / BANDWIDTH_HZ, GAMMA_HZ_PER_T * B0_T)[np.argmax(spectrum)]
    assert peak == pytest.approx(2.0, abs=0.02)


def test_spin_echo_of_an_ax_pair_is_modulated_by_j():
    echo_s, j = 0.05, 7.0
    blocks = [Block(EXCITE, echo_s / 2), Block(ideal(np.pi), echo_s / 2, phase_offset_rad=np.pi / 2)]
    # Far apart, so that the coupling is weak.
    fid = run(blocks, system([-400.0, 400.0], {(0, 1): j}), bandwidth_hz=1e6, receiver_phase_rad=-np.pi / 2)
    times = time_axis(POINTS, 1e-6)
    lines = np.exp(2j * np.pi * hz(-400.0) * times) + np.exp(2j * np.pi * hz(400.0) * times)
    expected = lines * np.cos(np.pi * j * (echo_s + times)) * np.exp(-np.pi * WIDTH_HZ * times)
    phase = fid[0] / abs(fid[0]) * np.sign(np.cos(np.pi * j * echo_s))
    assert abs(phase.imag) < 1e-2
    assert fid / phase == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("band_hz", "share"), [(np.inf, 0.0), (80.0, 1.0), (10.0, 0.0)])
def test_selective_pulses_without_duration_edit_what_lies_in_their_band(band_hz, share):
    j, lower_ppm, upper_ppm = 7.0, -400.0, 400.0
    echo_s = 1 / (2 * j)
    # At this echo time J leaves nothing in phase, unless the lower spin is turned at a quarter and three quarters.
    edit = ideal(np.pi, band_hz=band_hz), echo_s / 4, hz(lower_ppm) + 20.0, np.pi / 2
    refocus = Block(ideal(np.pi), echo_s / 4, phase_offset_rad=np.pi / 2)
    blocks = [Block(EXCITE, echo_s / 4)] + [Block(*edit), refocus, Block(*edit)]
    fid = run(blocks, system([lower_ppm, upper_ppm], {(0, 1): j}), bandwidth_hz=1e6)
    upper = np.exp(-2j * np.pi * hz(upper_ppm) * time_axis(POINTS, 1e-6))
    assert abs(np.mean(fid * upper)) == pytest.approx(share, abs=0.03)


def test_intensities_of_a_strongly_coupled_ab_pair():
    j, shifts = 12.0, (3.0, 3.1)
    times, width = decay()
    distance, middle = hz(shifts[1]) - hz(shifts[0]), (hz(shifts[0]) + hz(shifts[1])) / 2
    root = np.hypot(distance, j)
    expected = 0
    for side in (-1, 1):
        for inner, amplitude in ((root - j, 1 + j / root), (root + j, 1 - j / root)):
            expected = expected + amplitude / 2 * np.exp(2j * np.pi * (middle + side * inner / 2) * times)
    fid = run([Block(EXCITE, 0.0)], system(shifts, {(0, 1): j}))
    assert fid == pytest.approx(expected * width, abs=1e-5)


def test_hetero_nucleus_makes_a_doublet_that_pulses_do_not_refocus_together():
    times, width = decay()
    j, echo_s = 6.0, 0.04
    systems = system([3.0, 3.0, 100.0], {(0, 2): j, (1, 2): j})
    fid = run([Block(EXCITE, 0.0)], systems)
    line = np.exp(2j * np.pi * hz(3.0) * times) * width
    assert fid == pytest.approx(2 * line * np.cos(np.pi * j * times), abs=2e-5)
    blocks = [Block(EXCITE, echo_s / 2), Block(ideal(np.pi), echo_s / 2)]
    echo = run(blocks, systems)
    # Only the protons are turned, so that shift and coupling are both refocused.
    assert abs(echo) == pytest.approx(abs(fid), abs=1e-4)


def test_shaped_pulse_on_coupled_spins_agrees_with_brute_force():
    shifts, j = (3.0, 1.9, 2.3), {(0, 1): 7.3, (1, 2): -14.0, (0, 2): 3.0}
    offset_hz, phase = -300.0, 0.7
    pulse = gaussian(0.012, points=60)
    blocks = [Block(EXCITE, 0.003), Block(pulse, 0.004, offset_hz, phase)]
    found = run(blocks, system(shifts, j), points=1)[0]

    single = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]) / 2
    spin = [[np.kron(np.kron(np.eye(2**i), op), np.eye(2 ** (2 - i))) for op in single] for i in range(3)]
    total = [sum(spin[i][k] for i in range(3)) for k in range(3)]
    free = 2 * np.pi * sum(hz(s) * spin[i][2] for i, s in enumerate(shifts))
    free = free + 2 * np.pi * sum(v * sum(spin[a][k] @ spin[b][k] for k in range(3)) for (a, b), v in j.items())
    density = -total[1]
    density = expm(-1j * free * 0.003) @ density @ expm(1j * free * 0.003)
    pieces = 40
    for index in range(pulse.points * pieces):
        step = pulse.duration_s / pulse.points / pieces
        angle = phase + 2 * np.pi * offset_hz * (index + 0.5) * step
        rf = 2 * np.pi * pulse.amplitude_hz[index // pieces] * (np.cos(angle) * total[0] + np.sin(angle) * total[1])
        turn = expm(-1j * (free + rf) * step)
        density = turn @ density @ turn.conj().T
    density = expm(-1j * free * 0.004) @ density @ expm(1j * free * 0.004)
    expected = 1j * np.trace(density @ (total[0] + 1j * total[1])) / 2
    assert found == pytest.approx(expected, abs=3e-4)


def test_a_pulse_acts_at_its_frequency_offset():
    # An inversion at the lower line leaves only the upper one upright.
    pulse = gaussian(0.03)
    offset_hz = hz(2.0)
    fid = run([Block(pulse, 0.0, offset_hz, coherence=0), Block(EXCITE, 0.0)], system([2.0, 3.5]))
    times, width = decay()
    expected = (np.exp(2j * np.pi * hz(3.5) * times) - np.exp(2j * np.pi * hz(2.0) * times)) * width
    assert fid == pytest.approx(expected, abs=2e-3)


def test_slice_profile_and_displacement():
    pulse = hann_sinc(0.005)
    gradient, shift_ppm = 0.001, 1.5
    refocus = Block(pulse, 0.0075, gradient_t_per_m=(0, gradient, 0), coherence=-1)
    blocks = [Block(EXCITE, 0.0075, coherence=1), refocus]
    places = np.linspace(-0.02, 0.03, 11)
    fid = run(blocks, system([shift_ppm]), extent_m=((0, 0), (-0.02, 0.03), (0, 0)), resolution=(1, 11, 1))
    profile = refocused_fraction(pulse, hz(shift_ppm) + GAMMA_HZ_PER_T * gradient * places)
    # The refocused signal has the phase of the pulse's beta squared, so only its size is compared where that is flat.
    assert abs(fid[0]) == pytest.approx(profile.mean(), rel=1e-4)
    far = run(blocks, system([shift_ppm]), extent_m=((0, 0), (0.05, 0.06), (0, 0)), resolution=(1, 11, 1))
    assert abs(far[0]) < 0.02


def _small_megapress():
    off, on = megapress(b0_t=B0_T, positions=3, points=16, bandwidth_hz=BANDWIDTH_HZ)
    return off, replace(on, resolution=(3, 2, 1))


def test_x_then_y_equals_the_full_grid():
    on = _small_megapress()[1]
    systems = system([2.3, 1.9, 3.0], {(0, 1): 7.3, (1, 2): 7.0})
    found = simulate([on], ["m"], systems)[0, 0]
    grid = []
    for x in on.positions_m(0):
        for y in on.positions_m(1):
            grid.append(replace(on, extent_m=((x, x), (y, y), (0, 0)), resolution=(1, 1, 1)))
    assert found == pytest.approx(simulate(grid, ["m"], systems)[:, 0].mean(0), abs=1e-10)


def test_a_direction_used_twice_is_not_averaged_in_between():
    refocus = Block(hann_sinc(0.005), 0.004, gradient_t_per_m=(0.001, 0, 0))
    blocks = [Block(EXCITE, 0.004), refocus, refocus]
    space = {"extent_m": ((-0.02, 0.02), (0, 0), (0, 0)), "resolution": (5, 1, 1)}
    found = run(blocks, system([3.0]), **space)
    single = [
        run(blocks, system([3.0]), extent_m=((x, x), (0, 0), (0, 0))) for x in sequence(blocks, **space).positions_m(0)
    ]
    assert found == pytest.approx(np.mean(single, 0), abs=1e-10)


def test_rephasing_area_undoes_a_gradient():
    area = 3e-6
    blocks = [
        Block(EXCITE, 0.001, rephase_area_ts_per_m=(0, 0, area)),
        Block(ideal(np.pi), 0.001, rephase_area_ts_per_m=(0, 0, area)),
    ]
    space = {"extent_m": ((0, 0), (0, 0), (-0.02, 0.02)), "resolution": (1, 1, 64)}
    assert abs(run(blocks, system([3.0]), **space)[0]) == pytest.approx(1, abs=1e-6)
    dephased = abs(run(blocks[:1], system([3.0]), **space)[0])
    phase = 2 * np.pi * GAMMA_HZ_PER_T * area * np.linspace(-0.02, 0.02, 64)
    assert dephased == pytest.approx(abs(np.exp(1j * phase).mean()), abs=1e-6)


def test_coherence_selection_equals_a_full_phase_cycle():
    filtered = press(te_s=0.04, b0_t=B0_T, positions=3, points=16)
    bare = filtered.without_filters()
    # Three spins change their order by 4 at most, so that 7 steps tell all changes apart.
    steps = [(2 * np.pi * one / 7, 2 * np.pi * two / 7) for one in range(7) for two in range(7)]
    systems = system([2.3, 1.9, 3.0], {(0, 1): 7.3, (1, 2): 6.0})
    fids = simulate([bare.with_phase_offsets((0, *step)) for step in steps], ["m"], systems)[:, 0]
    # Orders change by 2 in the first refocusing pulse and by -2 in the second.
    weights = np.array([np.exp(2j * (one - two)) for one, two in steps]) / len(steps)
    assert weights @ fids == pytest.approx(simulate([filtered], ["m"], systems)[0, 0], abs=1e-10)


def test_a_filter_that_removes_everything_leaves_nothing():
    assert abs(run([Block(EXCITE, 0.0, coherence=0)], system([3.0]))).max() < 1e-12


def test_uncoupled_spins_simulated_apart_equal_the_whole():
    pair = _small_megapress()
    apart = system([2.3, 1.9, 3.0], {(0, 1): 7.3})
    whole = system([2.3, 1.9, 3.0], {(0, 1): 7.3, (1, 2): 1e-9})
    assert simulate(pair, ["m"], apart) == pytest.approx(simulate(pair, ["m"], whole), abs=1e-5)


def test_order_of_spins_does_not_matter():
    pair = _small_megapress()
    one = system([2.3, 1.9, 3.0], {(0, 1): 7.3, (1, 2): 6.0})
    two = system([3.0, 1.9, 2.3], {(1, 2): 7.3, (0, 1): 6.0})
    assert simulate(pair, ["m"], one) == pytest.approx(simulate(pair, ["m"], two), abs=1e-10)


def test_a_batch_of_members_equals_one_by_one():
    pair = _small_megapress()
    other = tuple(
        replace(
            item,
            b0_t=2.85,
            linewidth_hz=3.0,
            blocks=tuple(replace(b, pulse=b.pulse.scaled(0.9), delay_s=1.01 * b.delay_s) for b in item.blocks),
        )
        for item in pair
    )
    unlike = (press(b0_t=B0_T, positions=2, points=16), pair[1])
    tables = [system([2.3, 1.9, 3.0], {(0, 1): 7.3 + i, (1, 2): 6.0}) for i in range(3)]
    together = simulate_members([pair, other, unlike], ["m"], tables)
    for index, sequences in enumerate((pair, other, unlike)):
        alone = simulate(sequences, ["m"], tables[index])
        assert together[index] == pytest.approx(alone, abs=1e-12)


def test_editing_suppresses_naa_and_makes_gaba():
    off, on = simulate(megapress(b0_t=B0_T, positions=4), ["GABA", "NAA", "Cr"])
    ppm = ppm_axis(2048, 1 / 2000, GAMMA_HZ_PER_T * B0_T)
    spectra = [fid_to_spectrum(fids).real for fids in (off, on)]
    naa = [spectrum[1][abs(ppm - 2.008) < 0.05].max() for spectrum in spectra]
    assert naa[1] < 0.02 * naa[0]
    creatine = [spectrum[2][abs(ppm - 3.027) < 0.05].max() for spectrum in spectra]
    assert creatine[0] == pytest.approx(creatine[1], rel=0.01)
    edited = (spectra[1] - spectra[0])[0][abs(ppm - 3.01) < 0.15].max()
    assert edited > 0.02 * creatine[0]


def test_progress_is_reported_and_unusable_input_refused():
    seen = []
    pair = _small_megapress()
    simulate(pair, ["NAA", "Cr"], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    with pytest.raises(BasisError, match="one receiver"):
        simulate([pair[0], replace(pair[1], points=17)], ["Cr"])
    with pytest.raises(BasisError, match="at least one sequence"):
        simulate([], ["Cr"])
    with pytest.raises(BasisError, match="No spin system for Xyz"):
        simulate(pair, ["Xyz"])


def test_every_shipped_metabolite_has_its_protons_at_the_first_point():
    # A pulse and nothing else: the first point counts the protons.
    systems = {name: parts for name, parts in load_systems().items() if name != "Glc"}
    fids = simulate([sequence([Block(EXCITE, 0.0)], points=1)], list(systems), systems)[0, :, 0]
    for (name, parts), first in zip(systems.items(), fids, strict=True):
        protons = sum(part.scale * (len(part.shifts_ppm) - sum(part.hetero)) for part in parts)
        assert first.real == pytest.approx(protons, rel=1e-6), name


def test_phase_and_amplitude_of_points_matter():
    water = system([REFERENCE_PPM])
    plain = run([Block(Pulse([250.0], [0.0], 1e-3), 0.0)], water, points=1)
    turned = run([Block(Pulse([-250.0], [0.3], 1e-3), 0.0)], water, points=1)
    offset = run([Block(Pulse([250.0], [0.0], 1e-3), 0.0, phase_offset_rad=0.3 + np.pi)], water, points=1)
    assert abs(plain[0]) == pytest.approx(1, abs=1e-9)
    assert turned == pytest.approx(offset, abs=1e-12)
    # The signal turns with the phase of the pulse.
    assert turned[0] / plain[0] == pytest.approx(-np.exp(0.3j), abs=1e-9)


def test_a_phase_cycle_is_the_weighted_sum_of_its_steps():
    pulse = gaussian(0.010, 0.7 * np.pi)
    cycle = ((0.0, 0.5), (np.pi / 2, -0.25), (0.3, 0.75))
    spins = system([2.0, 3.0], {(0, 1): 8.0})
    blocks = [Block(EXCITE, 0.005), Block(pulse, 0.004, frequency_offset_hz=-100.0)]
    cycled = run([blocks[0], replace(blocks[1], cycle=cycle)], spins)
    steps = [weight * run([blocks[0], replace(blocks[1], phase_offset_rad=phase)], spins) for phase, weight in cycle]
    assert cycled == pytest.approx(sum(steps), abs=1e-12)


def test_threads_do_not_change_a_simulation():
    members = [megapress(positions=2, points=64, editing=gaussian(duration)) for duration in (0.015, 0.020)]
    before = torch.get_num_threads()
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(simulate_members(members, ["GABA", "Cr"]))
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)
    assert np.array_equal(*results)
