"""Pulses: calibration and profiles against the Bloch equations, SLR design, files."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from fsl_mrs_dl.basis import pulses
from fsl_mrs_dl.basis.pulse_files import read_pulse
from fsl_mrs_dl.basis.slr import slr
from fsl_mrs_dl.errors import BasisError


def bloch_mz(pulse, offset_hz):
    """Mz after a pulse on Mz = 1, by integration of the Bloch equations."""
    step = pulse.duration_s / pulse.points
    state = np.array([0.0, 0.0, 1.0])
    for nutation in pulse.complex_hz:
        axis = 2 * np.pi * np.array([nutation.real, nutation.imag, offset_hz])
        state = solve_ivp(lambda _, m, axis=axis: np.cross(axis, m), (0, step), state, rtol=1e-9, atol=1e-11).y[:, -1]
    return state[2]


@pytest.mark.parametrize(
    "pulse",
    [
        pulses.gaussian(0.02, points=20),
        pulses.sinc_gaussian(0.014, lobes=1.5, points=25),
        pulses.hann_sinc(0.005, np.pi / 2, points=30),
    ],
    ids=lambda pulse: pulse.name,
)
def test_inversion_profile_is_that_of_the_bloch_equations(pulse):
    offsets = np.array([0.0, 20.0, -35.0, 80.0])
    mz = 1 - 2 * pulses.refocused_fraction(pulse, offsets)
    assert mz == pytest.approx([bloch_mz(pulse, offset) for offset in offsets], abs=1e-6)


def test_rotation_sense():
    # A turn by 90 degrees about x takes z to -y, about y it takes z to x.
    for phase, expected in ((0.0, (0, -1)), (np.pi / 2, (1, 0))):
        turn = pulses.rotations(pulses.Pulse([250.0], [phase], 1e-3), 0.0)[0]
        density = turn @ np.diag([0.5, -0.5]) @ turn.conj().T
        mx, my = 2 * density[0, 1].real, -2 * density[0, 1].imag
        assert (mx, my) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("flip", [np.pi / 2, np.pi])
def test_calibration_gives_the_flip_angle(flip):
    for pulse in (pulses.gaussian(0.02, flip), pulses.hann_sinc(0.004, flip), pulses.hard(flip, 1e-4)):
        assert pulses.refocused_fraction(pulse, 0.0)[0] == pytest.approx(np.sin(flip / 2) ** 2, abs=1e-12)


def test_bandwidth_is_where_the_profile_halves():
    for pulse in (pulses.gaussian(0.02), slr(0.005, np.pi, 5.75, 0.02, 0.02, 100)):
        edge = pulses.bandwidth_hz(pulse) / 2
        assert pulses.refocused_fraction(pulse, edge)[0] == pytest.approx(
            pulses.refocused_fraction(pulse, 0.0)[0] / 2, abs=1e-3
        )
    with pytest.raises(BasisError, match="no bandwidth"):
        pulses.bandwidth_hz(pulses.ideal(np.pi))
    selective = pulses.ideal(np.pi, band_hz=60.0)
    assert pulses.bandwidth_hz(selective) == 60
    np.testing.assert_allclose(pulses.refocused_fraction(selective, [-40, -29, 0, 29, 40]), [0, 1, 1, 1, 0], atol=1e-9)


def test_slr_refocuses_its_band_and_nothing_else():
    pulse = slr(0.005, np.pi, time_bandwidth=6.0, passband_ripple=0.01, stopband_ripple=0.01, points=128)
    assert pulses.bandwidth_hz(pulse) * pulse.duration_s == pytest.approx(6.0, rel=0.03)
    inside = pulses.refocused_fraction(pulse, np.linspace(0, 400, 41))
    outside = pulses.refocused_fraction(pulse, np.linspace(820, 5000, 100))
    assert inside.min() > 0.985
    assert outside.max() < 0.012


def test_slr_excites_with_linear_phase():
    pulse = slr(0.003, np.pi / 2, time_bandwidth=6.0, points=128)
    offsets = np.linspace(-400, 400, 9)
    turned = pulses.rotations(pulse, offsets)
    assert pulses.excited_fraction(pulse, offsets).min() > 0.95
    transverse = turned[:, 0, 0] * np.conj(turned[:, 1, 0])
    rephased = transverse * np.exp(2j * np.pi * offsets * pulse.duration_s / 2)
    assert np.ptp(np.unwrap(np.angle(rephased))) < 0.05


def test_unusable_shapes_are_refused():
    with pytest.raises(BasisError, match="no net area"):
        pulses.calibrate([1, -1], 0.01, np.pi)
    with pytest.raises(BasisError, match="as many phases"):
        pulses.Pulse([1.0, 2.0], [0.0], 0.01)
    with pytest.raises(BasisError, match="duration above 0"):
        pulses.Pulse([1.0], [0.0], 0.0)
    with pytest.raises(BasisError, match="between 0 and 1"):
        pulses.gaussian(0.02, cutoff=1.5)
    with pytest.raises(BasisError, match="No SLR pulse"):
        slr(0.005, np.pi, time_bandwidth=0.5)


def test_two_column_and_pta_files_give_the_same_pulse(tmp_path):
    shape = np.sin(np.linspace(0, np.pi, 12)) - 0.2
    text = tmp_path / "pulse.txt"
    text.write_text("# amplitude phase\n" + "\n".join(f"{abs(a):.8f} {180.0 * (a < 0)}" for a in shape))
    pta = tmp_path / "pulse.pta"
    lines = [f"{abs(a):.8f}\t{np.pi * (a < 0):.9f}\t; ({index})" for index, a in enumerate(shape)]
    pta.write_text("PULSENAME: demo\nCOMMENT: shape\nREFGRAD: 1.0\n\n" + "\n".join(lines) + "\n")
    one = read_pulse(text, 0.004, flip_rad=np.pi, phase_unit="deg")
    two = read_pulse(pta, 0.004, flip_rad=np.pi)
    expected = pulses.calibrate(shape, 0.004, np.pi)
    assert one.amplitude_hz == pytest.approx(expected.amplitude_hz, abs=1e-4)
    assert two.amplitude_hz == pytest.approx(expected.amplitude_hz, abs=1e-4)
    assert read_pulse(pta, 0.004, peak_hz=700.0).peak_hz == pytest.approx(700.0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1 0\nabc 0\n", "Line 2 .* is not numbers"),
        ("a.txt", "1 0 3\n", "Line 1 .* needs two finite numbers"),
        ("a.txt", "# nothing\n", "holds no points"),
        ("a.txt", "0 0\n0 0\n", "no amplitude above 0"),
        ("a.pta", "PULSENAME: x\n1 0\n", "Line 2 .* is neither"),
        ("a.pta", "PULSENAME: x\n1 0 ; (0)\n1 0 ; (2)\n", "point 1 is due"),
        ("a.pta", "PULSENAME: x\n", "not a .pta file"),
    ],
)
def test_damaged_pulse_files_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    unit = "rad" if name.endswith("txt") else None
    with pytest.raises(BasisError, match=message):
        read_pulse(tmp_path / name, 0.01, flip_rad=np.pi, phase_unit=unit)


def test_scaling_of_a_file_must_be_said(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1 0\n1 1.2\n")
    with pytest.raises(BasisError, match="exactly one"):
        read_pulse(path, 0.01)
    with pytest.raises(BasisError, match="give rad or deg"):
        read_pulse(path, 0.01, peak_hz=10.0)
    with pytest.raises(BasisError, match="more than one axis"):
        read_pulse(path, 0.01, flip_rad=np.pi, phase_unit="rad")
    with pytest.raises(BasisError, match="Cannot read"):
        read_pulse(tmp_path / "none.txt", 0.01, peak_hz=1.0, phase_unit="rad")
