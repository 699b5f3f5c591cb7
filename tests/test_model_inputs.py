"""Network input: the right band, one scale, the same for training and scans."""

import dataclasses

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.model.inputs import InputConfig, network_input, spectrum_channels

CONFIG = InputConfig(conditions=2, centre_hz=123.2e6)


def line(shift_ppm, phase_rad=0.0):
    """(1, condition, point) FID of one line, in edit-off alone."""
    t = torch.arange(2048, dtype=torch.float64) * 5e-4
    fid = torch.exp((2j * np.pi * axes.ppm_to_hz(shift_ppm, 123.2e6) - 10) * t + 1j * phase_rad)
    return torch.stack([fid, 0 * fid])[None]


def test_a_line_comes_out_in_its_bin_and_channel():
    channels, _ = network_input(line(2.01), CONFIG)
    ppm = axes.ppm_axis(2048, 5e-4, 123.2e6)[slice(*CONFIG.band)]
    assert channels.shape == (1, 4, CONFIG.bins) and ppm[0] >= 1.0 and ppm[-1] <= 4.5
    assert ppm[channels[0, 0].argmax()] == pytest.approx(2.01, abs=0.005)
    assert channels[0, 0].max() == pytest.approx(1, abs=0.02) and channels[0, 2:].abs().max() == 0
    turned, _ = network_input(line(2.01, np.pi / 2), CONFIG)
    torch.testing.assert_close(turned[0, 1], channels[0, 0], atol=1e-6, rtol=0)


def test_the_scale_is_taken_out():
    one, scale = network_input(line(3.0), CONFIG)
    ten, larger = network_input(10 * line(3.0), CONFIG)
    torch.testing.assert_close(one, ten)
    assert larger / scale == pytest.approx(10, rel=1e-5)
    torch.testing.assert_close(spectrum_channels(line(3.0), CONFIG), one * scale)


def test_a_batch_equals_one_by_one():
    both, _ = network_input(torch.cat([line(2.0), line(3.0)]), CONFIG)
    alone, _ = network_input(line(3.0), CONFIG)
    torch.testing.assert_close(both[1:], alone)


def test_a_resampled_spectrum_is_the_same_spectrum_at_more_points():
    finer = dataclasses.replace(CONFIG, resample_bins=2048)
    channels, scale = network_input(line(2.01), finer)
    assert channels.shape == (1, 4, 2048) and finer.bins == 2048
    ppm = np.linspace(1.0, 4.5, 2048)
    assert ppm[channels[0, 0].argmax()] == pytest.approx(2.01, abs=0.001)
    # On the FIDs' own grid it is what was there before.
    own = axes.ppm_axis(2048, 5e-4, 123.2e6)[slice(*CONFIG.band)]
    same = dataclasses.replace(CONFIG, ppm=(own[0], own[-1]), resample_bins=len(own))
    for one, other in zip(network_input(line(2.01), same), network_input(line(2.01), CONFIG)):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_what_cannot_be_is_refused():
    for bins in (7, 2**16 + 1):
        with pytest.raises(ConfigError, match=f"resample_bins must be at least 8 and at most 65536, not {bins}"):
            InputConfig(conditions=2, centre_hz=123.2e6, resample_bins=bins)
    with pytest.raises(ConfigError, match="conditions"):
        InputConfig(conditions=3, centre_hz=123.2e6)
    with pytest.raises(ConfigError, match="points lie between"):
        InputConfig(conditions=2, centre_hz=123.2e6, ppm=(2.0, 2.01))
