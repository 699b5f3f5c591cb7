"""Conventions: sign of frequency, ppm reference, first point, resampling."""

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import DataError

CENTRE_HZ = 123.2e6


def line(shift_ppm, points, dwell_s, width_hz=4.0):
    """One Lorentzian line of amplitude 1 at a chemical shift."""
    t = axes.time_axis(points, dwell_s)
    return np.exp((2j * np.pi * axes.ppm_to_hz(shift_ppm, CENTRE_HZ) - np.pi * width_hz) * t)


def test_a_line_stands_at_its_ppm():
    spectrum = axes.fid_to_spectrum(line(2.01, 4096, 5e-4))
    assert axes.ppm_axis(4096, 5e-4, CENTRE_HZ)[np.argmax(spectrum.real)] == pytest.approx(2.01, abs=0.003)


def test_halved_first_point_leaves_no_offset():
    spectrum = axes.fid_to_spectrum(line(2.01, 4096, 5e-4))
    ppm = axes.ppm_axis(4096, 5e-4, CENTRE_HZ)
    far = np.abs(ppm - 8) < 0.5
    assert abs(spectrum.real[far].mean()) < 2e-4 * spectrum.real.max()


def test_spectrum_and_fid_are_inverse_in_numpy_and_torch():
    fid = line(3.0, 512, 5e-4)
    np.testing.assert_allclose(axes.spectrum_to_fid(axes.fid_to_spectrum(fid)), fid, atol=1e-12)
    both = torch.as_tensor(fid)
    np.testing.assert_allclose(axes.fid_to_spectrum(both).numpy(), axes.fid_to_spectrum(fid), atol=1e-12)
    torch.testing.assert_close(axes.spectrum_to_fid(axes.fid_to_spectrum(both)), both)


def test_a_zoomed_spectrum_is_the_sum_at_its_frequencies():
    fid = torch.as_tensor(np.stack([line(3.0, 512, 5e-4), line(2.0, 512, 5e-4)]))
    halved = fid.clone()
    halved[:, 0] /= 2
    frequencies = torch.linspace(-431.0, 17.0, 300, dtype=torch.float64)
    times = torch.as_tensor(axes.time_axis(512, 5e-4))
    direct = halved @ torch.exp(-2j * np.pi * times[:, None] * frequencies) / 512**0.5
    torch.testing.assert_close(axes.zoomed_spectrum(fid, 5e-4, -431.0, 17.0, 300), direct, atol=1e-10, rtol=1e-10)
    single = axes.zoomed_spectrum(fid.to(torch.complex64), 5e-4, -431.0, 17.0, 300)
    assert single.dtype == torch.complex64
    torch.testing.assert_close(single, direct.to(torch.complex64), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "dwell_s, points", [(2.5e-4, 4096), (8.33e-5, 12288), (5e-4, 2048), (4e-4, 2560), (4.17e-4, 3000)]
)
def test_resampling_keeps_place_amplitude_and_phase(dwell_s, points):
    fid = line(2.01, points, dwell_s) * np.exp(0.3j) + 0.5 * line(3.9, points, dwell_s)
    wanted = line(2.01, 2048, 5e-4) * np.exp(0.3j) + 0.5 * line(3.9, 2048, 5e-4)
    spectrum = axes.fid_to_spectrum(axes.resample(fid, dwell_s, 5e-4, 2048))
    expected = axes.fid_to_spectrum(wanted)
    inside = np.abs(axes.ppm_axis(2048, 5e-4, CENTRE_HZ) - 3) < 2
    assert np.abs(spectrum - expected)[inside].max() < 0.01 * np.abs(expected).max()


def test_resampling_a_batch_equals_one_by_one():
    fids = np.stack([line(2.0, 1024, 4e-4), line(3.0, 1024, 4e-4)])
    batch = axes.resample(fids, 4e-4, 5e-4, 800)
    np.testing.assert_allclose(batch[1], axes.resample(fids[1], 4e-4, 5e-4, 800), atol=1e-12)


def test_resampling_to_the_same_grid_changes_nothing_and_pads_with_zeros():
    fid = line(2.0, 1024, 5e-4)
    np.testing.assert_array_equal(axes.resample(fid, 5e-4, 5e-4, 1000), fid[:1000])
    np.testing.assert_allclose(axes.resample(fid, 5e-4, 5e-4, 2048)[:1024], fid, atol=1e-9)
    assert np.abs(axes.resample(fid, 5e-4, 5e-4, 2048)[1024:]).max() < 1e-9


def test_resampling_refuses_a_dwell_time_of_zero():
    with pytest.raises(DataError, match="positive"):
        axes.resample(np.ones(8, complex), 0.0, 5e-4, 8)
