"""Alignment finds shift and phase of scans made from a small synthetic basis."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import BasisSet
from fsl_mrs_dl.errors import BasisError, DataError
from fsl_mrs_dl.fit import align_problem
from fsl_mrs_dl.fit import align_search
from fsl_mrs_dl.fit.align import Aligner, align
from fsl_mrs_dl.fit.scan import Scan, read_scan

CENTRE_HZ = 123.2e6
GRID = (2048, 5e-4, CENTRE_HZ)
EDITED = ("edit_off", "edit_on")
DATA = Path(__file__).parent / "data"

LINES = {
    "NAA": [(2.01, 3.0), (2.46, 0.6), (2.52, 0.6), (2.67, 0.8)],
    "Cr": [(3.03, 3.0), (3.91, 2.0)],
    "Glu": [(2.05, 0.5), (2.10, 0.6), (2.31, 0.6), (2.34, 1.0), (2.38, 0.6), (3.74, 1.0), (3.77, 0.6)],
    "GABA": [(1.84, 0.4), (1.89, 0.8), (1.94, 0.4), (2.23, 0.5), (2.28, 0.9), (2.33, 0.5), (2.96, 0.5), (3.01, 0.9)],
}
"""Metabolite -> [(ppm, height of the FID)], roughly as at 3 T."""

SOLUTION = {"NAA": 1.0, "Cr": 0.6, "Glu": 0.5, "GABA": 0.3}


def line_sum(lines, grid, width_hz, shift_ppm=0.0):
    """FID of Lorentzian lines [(ppm, height), ...] on a grid (points, dwell_s, centre_hz)."""
    points, dwell_s, centre_hz = grid
    t = axes.time_axis(points, dwell_s)
    return sum(
        height * np.exp((2j * np.pi * axes.ppm_to_hz(ppm + shift_ppm, centre_hz) - np.pi * width_hz) * t)
        for ppm, height in lines
    )


@pytest.fixture(scope="module")
def basis():
    """Edited basis of lines 1 Hz wide; edit-on lacks NAA's singlet."""
    off = np.stack([line_sum(lines, GRID, 1.0) for lines in LINES.values()])
    on = np.stack([line_sum([line for line in lines if line[0] != 2.01], GRID, 1.0) for lines in LINES.values()])
    return BasisSet(np.stack([off, on]), EDITED, tuple(LINES), GRID[1], CENTRE_HZ, 1.0)


def acquire(
    concentrations, width_hz=5.0, shift_ppm=0.0, phase_rad=0.0, snr=np.inf, water=1.0, grid=GRID, seed=0, extra=()
):
    """Scan with a shift, a phase, a remainder of water `water` times as high as NAA, and noise.

    `snr` is the height of the highest singlet in the edit-off spectrum over the noise's standard deviation.
    """
    rng = np.random.default_rng(seed)
    reference = 3 * max(concentrations.get(name, 0) for name in ("NAA", "Cr"))
    singlet = line_sum([(2.01, reference)], grid, width_hz)
    sigma = np.abs(axes.fid_to_spectrum(singlet)).max() / snr
    water_fid = line_sum([(4.65, water * reference)], grid, 1.3 * width_hz, shift_ppm)
    others = line_sum([*extra, (1.0, 0.0)], grid, width_hz, shift_ppm) + water_fid * np.exp(2j * rng.standard_normal())
    fids = []
    for suppressed in ((), (2.01,)):
        lines = [
            (ppm, concentration * height)
            for name, concentration in concentrations.items()
            for ppm, height in LINES[name]
            if ppm not in suppressed
        ]
        clean = (line_sum(lines, grid, width_hz, shift_ppm) + others) * np.exp(1j * phase_rad)
        fids.append(clean + sigma * (rng.standard_normal(grid[0]) + 1j * rng.standard_normal(grid[0])))
    return Scan(np.stack(fids), EDITED, grid[1], grid[2])


def errors(scan, basis, shift_ppm, phase_rad):
    """Absolute errors of the shift (Hz) and the phase (rad) found."""
    _, shift_hz, found_rad = align(scan, basis)
    turn = (found_rad - phase_rad + np.pi) % (2 * np.pi) - np.pi
    return abs(shift_hz - shift_ppm * scan.centre_hz * 1e-6), abs(turn)


@pytest.mark.parametrize("shift_ppm, phase_rad", [(0.0, 0.0), (0.169, 3.0), (-0.25, -1.5), (0.25, np.pi)])
def test_without_noise_shift_and_phase_are_exact_and_the_scan_comes_back(basis, shift_ppm, phase_rad):
    scan = acquire(SOLUTION, shift_ppm=shift_ppm, phase_rad=phase_rad)
    aligned, shift_hz, found_rad = align(scan, basis)
    assert shift_hz == pytest.approx(shift_ppm * CENTRE_HZ * 1e-6, abs=0.01)
    assert np.exp(1j * found_rad) == pytest.approx(np.exp(1j * phase_rad), abs=0.005)
    assert -np.pi < found_rad <= np.pi
    turned = np.exp(1j * (found_rad + 2 * np.pi * shift_hz * axes.time_axis(scan.points, scan.dwell_s)))
    np.testing.assert_allclose(aligned.fids * turned, scan.fids, atol=1e-9)
    assert aligned.notes == ()


def test_an_aligned_scan_stands_upright_at_its_ppm(basis):
    aligned, _, _ = align(acquire(SOLUTION, shift_ppm=0.2, phase_rad=2.0, snr=50), basis)
    off = axes.fid_to_spectrum(aligned.fids[0])
    ppm = axes.ppm_axis(aligned.points, aligned.dwell_s, aligned.centre_hz)
    inside = (ppm > 1.8) & (ppm < 2.2)
    peak = np.argmax(off.real[inside])
    assert ppm[inside][peak] == pytest.approx(2.01, abs=0.01)
    assert abs(np.angle(off[inside][peak])) < 0.15


MIXTURES = {
    "all": SOLUTION,
    "low NAA": {**SOLUTION, "NAA": 0.03},
    "low Cr": {**SOLUTION, "Cr": 0.02},
    "only NAA": {"NAA": 1.0},
    "only Cr": {"Cr": 1.0},
}


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("width_hz", [2.0, 6.0, 15.0])
def test_noisy_scans_with_water_are_aligned(basis, mixture, width_hz):
    rng = np.random.default_rng(1)
    found = []
    for seed in range(5):
        shift_ppm, phase_rad = rng.uniform(-0.25, 0.25), rng.uniform(-np.pi, np.pi)
        grid = [GRID, (4096, 2e-4, 123.26e6), (1024, 4e-4, 122.9e6)][seed % 3]
        scan = acquire(MIXTURES[mixture], width_hz, shift_ppm, phase_rad, 10, 5.0, grid, seed)
        found.append(errors(scan, basis, shift_ppm, phase_rad))
    shift_error, phase_error = np.array(found).T
    # The Cramer-Rao bounds of the phase are 0.03 to 0.06 rad at this noise, of the shift up to 0.3 Hz.
    assert np.median(shift_error) < 0.5 and shift_error.max() < 1.5
    assert np.median(phase_error) < 0.1 and phase_error.max() < 0.25


def test_choline_is_not_taken_for_creatine(basis):
    scan = acquire({"NAA": 0.1, "Cr": 0.6}, 6.0, 0.1, 1.0, 20, extra=[(3.22, 4.0)])
    shift_error, phase_error = errors(scan, basis, 0.1, 1.0)
    # The choline of the fit stands 1.2 Hz beside this one, which pulls the others that far at most.
    assert shift_error < 1.3 and phase_error < 0.15


def test_a_strong_remainder_of_water_does_not_matter(basis):
    scan = acquire(SOLUTION, 6.0, -0.2, 0.5, 20, water=100.0)
    shift_error, phase_error = errors(scan, basis, -0.2, 0.5)
    assert shift_error < 1.0 and phase_error < 0.15


def test_both_conditions_move_alike(basis):
    scan = acquire(SOLUTION, shift_ppm=0.1, phase_rad=1.0, snr=20)
    aligned, _, _ = align(scan, basis)
    np.testing.assert_allclose(aligned.fids[1] / aligned.fids[0], scan.fids[1] / scan.fids[0], rtol=1e-9)


def test_alignment_is_repeatable_and_settles(basis):
    scan = acquire(SOLUTION, shift_ppm=-0.12, phase_rad=-2.0, snr=100)
    aligned, shift_hz, phase_rad = align(scan, basis)
    assert align(scan, basis)[1:] == (shift_hz, phase_rad)
    _, left_hz, left_rad = align(aligned, basis)
    assert abs(left_hz) < 0.1 and abs(left_rad) < 0.02


def test_a_scale_changes_nothing(basis):
    scan = acquire(SOLUTION, shift_ppm=0.1, phase_rad=1.0, snr=20)
    large = Scan(scan.fids * 1e7, EDITED, scan.dwell_s, scan.centre_hz)
    np.testing.assert_allclose(align(large, basis)[1:], align(scan, basis)[1:], atol=1e-3)


def test_one_spectrum_is_aligned_with_a_basis_of_one(basis):
    single = BasisSet(basis.fids[:1], ("single",), basis.names, basis.dwell_s, basis.centre_hz, 1.0)
    edited = acquire(SOLUTION, shift_ppm=0.1, phase_rad=1.0)
    scan = Scan(edited.fids[:1], ("single",), edited.dwell_s, edited.centre_hz)
    assert align(scan, single)[1] == pytest.approx(12.32, abs=0.01)
    with pytest.raises(BasisError):
        align(scan, basis)


def test_noise_alone_and_a_far_reference_are_warned_of(basis):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 2048)) + 1j * rng.standard_normal((2, 2048))
    aligned, _, _ = align(Scan(noise, EDITED, 5e-4, CENTRE_HZ), basis)
    assert any("hardly any metabolite signal" in note for note in aligned.notes)
    aligned, _, _ = align(acquire({"NAA": 1.0, "Cr": 0.8}, 10.0, shift_ppm=0.33), basis)
    assert any("limit of the search" in note for note in aligned.notes)


def test_another_field_strength_is_refused(basis):
    scan = Scan(acquire(SOLUTION).fids, EDITED, 5e-4, 297.2e6)
    with pytest.raises(DataError, match="6.98 T"):
        align(scan, basis)


@pytest.mark.parametrize("name", ["D1_08", "D2_04"])
def test_the_example_scans_are_aligned(basis, name):
    scan = read_scan(DATA / f"{name}.nii.gz")
    aligned, shift_hz, phase_rad = align(scan, basis)
    assert abs(shift_hz) < 15 and abs(phase_rad) < 0.6 and aligned.notes == scan.notes


def test_many_scans_are_aligned_as_one_by_one(basis):
    scans = [acquire(SOLUTION, 4.0 + seed, 0.05 * seed - 0.1, seed - 2.0, 15, seed=seed) for seed in range(5)]
    shifts_hz, phases_rad, notes = Aligner(scans[0], basis).find(np.array([scan.fids[0] for scan in scans]))
    for scan, *found in zip(scans, shifts_hz, phases_rad, notes):
        aligned, shift_hz, phase_rad = align(scan, basis)
        assert (*found[:2],) == pytest.approx((shift_hz, phase_rad), abs=1e-6) and found[2] == aligned.notes


def test_what_is_kept_between_scans_changes_nothing(basis):
    other = basis.keep(["Glu", "NAA"])
    kinds = [(basis, 2048), (other, 2048), (basis, 800)]
    scans = [acquire(SOLUTION, 4.0, 0.05 * seed, seed, 15, seed=seed) for seed in range(2)]
    cases = [(Scan(scan.fids[:, :points], EDITED, 5e-4, CENTRE_HZ), kind) for scan in scans for kind, points in kinds]
    fresh = []
    for scan, kind in cases:
        align_problem.problem_of.cache_clear()
        fresh.append(align(scan, kind)[1:])
    align_problem.problem_of.cache_clear()
    assert [align(scan, kind)[1:] for scan, kind in cases] == fresh
    found = align_problem.problem_of.cache_info()
    assert (found.misses, found.hits) == (len(kinds), len(cases) - len(kinds)) and found.maxsize is not None


@pytest.mark.parametrize("failure", [RuntimeError("Too many iterations"), np.linalg.LinAlgError("Singular matrix")])
def test_a_search_without_solution_is_a_data_error(basis, monkeypatch, failure):
    def fail(*_):
        raise failure

    monkeypatch.setattr(align_search, "_MOST_PIVOTS", 0)  # all are left to scipy
    monkeypatch.setattr(align_search, "nnls", fail)
    with pytest.raises(DataError, match=f"could not be aligned to the basis .{failure}.: check that .* ppm"):
        align(acquire(SOLUTION), basis)


def test_a_basis_that_is_all_but_zero_is_said(basis):
    silent = BasisSet(basis.fids * 1e-200, EDITED, basis.names, GRID[1], CENTRE_HZ, 1.0)
    with pytest.raises(DataError, match="not positive definite.*and that the basis set does"):
        align(acquire(SOLUTION), silent)


def test_amplitudes_of_many_scans_are_those_of_an_active_set_method_one_by_one():
    random = np.random.default_rng(5)
    templates = random.normal(size=(300, 22, 90)) + 1j * random.normal(size=(300, 22, 90))
    templates[:, 1:] += 1.5 * templates[:, :1]  # overlapping lines, so that many amplitudes end at 0
    data = random.normal(size=(300, 90, 1)) + templates[:, :4].sum(1)[..., None]
    gram, root, whitened = align_search.normal(templates, data)
    amplitudes, shares = align_search._amplitudes(gram, root, whitened[..., 0], np.full(300, 0.3))
    target = (whitened[..., 0] * np.exp(-0.3j)).real
    for scan in range(300):
        expected, left = nnls(root[scan].T, target[scan])
        np.testing.assert_allclose(amplitudes[scan], expected, atol=1e-9)
        assert shares[scan] == pytest.approx(target[scan] @ target[scan] - left**2, abs=1e-9)
    assert (amplitudes == 0).any(1).mean() > 0.5
