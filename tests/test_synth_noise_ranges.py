"""Signal-free ranges: lines, tails, filters and zero-filling do not get into the noise."""

import numpy as np
import pytest

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import DataError
from fsl_mrs_dl.synth.noise_ranges import noise_values

CENTRE_HZ = 123.2e6
DWELL_S = 5e-4
SIGMA = 0.004


def make_fids(points=2048, lines=((3.0, 0.6, 2.0), (4.6, 0.4, 15.0)), sigma=SIGMA, seed=0):
    """Two conditions of lines (ppm, amplitude, width in Hz) with Gaussian noise; the maximum is near 1."""
    t = axes.time_axis(points, DWELL_S)
    signal = sum(
        amplitude * np.exp((2j * np.pi * axes.ppm_to_hz(ppm, CENTRE_HZ) - np.pi * width) * t)
        for ppm, amplitude, width in lines
    )
    parts = np.random.default_rng(seed).normal(0, sigma, (2, points, 2))
    return signal + parts[..., 0] + 1j * parts[..., 1]


def test_noise_has_its_level_relative_to_the_maximum_and_no_signal_range():
    fids = 50 * make_fids()
    noise = noise_values(fids, DWELL_S, CENTRE_HZ)
    assert noise.fid_maximum == np.abs(fids).max()
    assert noise.values.std() == pytest.approx(50 * SIGMA / noise.fid_maximum, rel=0.05)
    assert all(high <= 0 or low >= 6 for low, high in noise.ranges_ppm)
    assert noise.values.mean() == pytest.approx(0, abs=0.1 * SIGMA)


def test_nothing_is_taken_from_white_noise():
    fids = make_fids(lines=((3.0, 0.0, 1.0),))
    fids[:, 0] = 2.0
    fids -= fids.mean(axis=1, keepdims=True)
    noise = noise_values(fids, DWELL_S, CENTRE_HZ, ((-3, -1), (7, 9)))
    spectra = axes.fid_to_spectrum(fids / noise.fid_maximum)
    taken = [slice(*np.searchsorted(noise.ppm, (low - 1e-3, high + 1e-3))) for low, high in noise.ranges_ppm]
    rows = [part[piece] for row in spectra for part in (row.real, row.imag) for piece in taken]
    # The first point puts a level into the real parts; only that is taken out.
    for row, found in zip(rows, np.split(noise.values, np.cumsum([row.size for row in rows])[:-1]), strict=True):
        level = row.mean() if abs(row.mean()) > 4 * row.std() / np.sqrt(row.size) else 0.0
        assert np.allclose(found, (row - level) * np.sqrt(row.size / (row.size - (level != 0))), atol=1e-12)


def test_a_line_among_the_noise_is_left_out():
    clean = noise_values(make_fids(), DWELL_S, CENTRE_HZ)
    with_line = noise_values(make_fids(lines=((3.0, 0.6, 2.0), (4.6, 0.4, 15.0), (8.0, 0.02, 3.0))), DWELL_S, CENTRE_HZ)
    assert any(low < 8.0 < high for low, high in clean.ranges_ppm)
    assert not any(low < 8.0 < high for low, high in with_line.ranges_ppm)


def test_tails_are_taken_out_of_the_ranges():
    noise = noise_values(make_fids(lines=((4.65, 1.0, 20.0),)), DWELL_S, CENTRE_HZ)
    assert noise.values.std() == pytest.approx(SIGMA, rel=0.05)
    assert min(abs(edge - 4.65) for pair in noise.ranges_ppm for edge in pair) > 1.3


def test_the_edge_of_a_receiver_filter_is_left_out():
    fids = make_fids()
    ppm = axes.ppm_axis(2048, DWELL_S, CENTRE_HZ)
    # A sharp edge above, a slow fall to 0.7 below.
    weight = np.where(ppm > 11, 0.2, 1.0) * np.interp(ppm, (-3.4, -0.5), (0.7, 1.0))
    noise = noise_values(axes.spectrum_to_fid(axes.fid_to_spectrum(fids) * weight), DWELL_S, CENTRE_HZ)
    assert max(high for _, high in noise.ranges_ppm) < 11.1
    assert min(low for low, _ in noise.ranges_ppm) > -3
    assert noise.values.std() * noise.fid_maximum == pytest.approx(SIGMA, rel=0.05)


def test_zero_filling_is_cut():
    fids = make_fids()
    filled = noise_values(np.pad(fids, ((0, 0), (0, 2048))), DWELL_S, CENTRE_HZ)
    assert np.array_equal(filled.values, noise_values(fids, DWELL_S, CENTRE_HZ).values)
    assert "2048 points of zero-filling" in filled.notes[0]


def test_given_ranges_are_taken_as_they_are_with_a_warning_where_there_are_lines():
    quiet = noise_values(make_fids(), DWELL_S, CENTRE_HZ, ((-2, 0), (9, 11)))
    assert quiet.notes == ()
    assert np.allclose(quiet.ranges_ppm, ((-2, 0), (9, 11)), atol=0.01)
    loud = noise_values(make_fids(), DWELL_S, CENTRE_HZ, ((2.5, 3.5), (-2, 0)))
    assert loud.notes[0].startswith("Warning")


@pytest.mark.parametrize(
    ("fids", "ranges", "words"),
    [
        (make_fids(), ((20.0, 30.0),), "in 20 to 30 ppm in a band of -3.47 to 12.76"),
        (make_fids(), ((-1.0, -0.5),), "at least 400 signal-free values"),
        (np.eye(2048)[:1] + 1e-20, None, "constant"),
        (make_fids(sigma=0), None, "none of the 19 blocks"),
        (make_fids() * np.exp(-20 * axes.time_axis(2048, DWELL_S)), None, "filtered or denoised"),
        (np.zeros((1, 2048)), None, "zero everywhere"),
        (np.full((1, 2048), np.nan), None, "finite"),
        (np.ones(2048), None, "condition, point"),
    ],
)
def test_what_has_no_noise_is_refused_with_the_way_out(fids, ranges, words):
    with pytest.raises(DataError, match=words):
        noise_values(fids, DWELL_S, CENTRE_HZ, ranges)
