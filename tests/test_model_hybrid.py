"""The hybrid network: adjusted bases against the scans' own grid, least squares against scipy, exact concentrations."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import nnls

from fsl_mrs_dl.axes import fid_to_spectrum
from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.model.adjusted import BandGrid, line_shape, modulation, non_negative
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.model.hybrid import Hybrid, HybridConfig
from fsl_mrs_dl.model.inputs import network_input
from fsl_mrs_dl.model.output import to_largest
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.loop import Hardware, train
from fsl_mrs_dl.train.plan import TrainConfig

from .conftest import assert_survives_saving

POINTS, DWELL_S = 2048, 5e-4
SMALL = HybridConfig(widths=(8, 16), dense=32)


def lines(places_hz, width_hz=1.0):
    """(line, point) FIDs of single lines."""
    t = torch.arange(POINTS) * DWELL_S
    rate = torch.complex(torch.full((len(places_hz),), -math.pi * width_hz), 2 * math.pi * torch.tensor(places_hz))
    return torch.exp(rate[:, None] * t)


def test_adjusting_on_the_short_grid_is_adjusting_the_scan():
    grid, first = BandGrid(440), 560
    fids = lines([-300.0, -200.0, -100.0, -90.0])
    t, times = torch.arange(POINTS) * DWELL_S, grid.times(POINTS * DWELL_S)
    one = [torch.tensor([value]) for value in (4.0, 3.0, 2.5, 0.3)]
    kernel, eddy = torch.zeros(1, 10), torch.tensor([[0.0, 0.2, -0.1]])
    kernel[0, 6] = 0.2
    wanted = fid_to_spectrum(fids * line_shape(t, *one, kernel, eddy))[:, first : first + 440]
    found = grid.spectra(grid.shorten(fids, first) * line_shape(times, *one, kernel, eddy))
    assert (found - wanted).norm() < 2e-3 * wanted.norm()


def test_a_line_shape_shifts_turns_and_broadens():
    t = torch.arange(POINTS) * DWELL_S
    shape = line_shape(t, *(torch.tensor([v]) for v in (3.0, 0.0, 5.0, 0.5)), torch.zeros(1, 10), torch.zeros(1, 3))
    expected = torch.exp((2j * math.pi * 5 - math.pi * 3) * t + 0.5j)
    torch.testing.assert_close(shape[0], expected, atol=1e-5, rtol=1e-4)
    single = modulation(t, torch.tensor(3.0), torch.tensor(5.0))
    torch.testing.assert_close(single, expected * np.exp(-0.5j), atol=1e-5, rtol=1e-4)


def test_non_negative_least_squares_is_that_of_scipy():
    generator = np.random.default_rng(3)
    design = generator.normal(size=(40, 12, 4))
    truth = generator.uniform(0, 1, (40, 4)) * (generator.uniform(size=(40, 4)) > 0.3)
    data = np.einsum("bij,bj->bi", design, truth) + 0.02 * generator.normal(size=(40, 12))
    gram, target = design.transpose(0, 2, 1) @ design, np.einsum("bij,bi->bj", design, data)
    small = torch.full((40, 4), 1e-9, dtype=torch.float64)
    found = non_negative(torch.tensor(gram), torch.tensor(target), small, torch.zeros_like(small))
    exact = [nnls(*pair) for pair in zip(design, data)]
    same = [np.allclose(one, best, atol=1e-6) for one, (best, _) in zip(found, exact)]
    # Two rounds are not always enough, but then nearly.
    assert np.mean(same) > 0.9
    left = np.linalg.norm(data - np.einsum("bij,bj->bi", design, found), axis=1)
    np.testing.assert_allclose(left, [rest for _, rest in exact], rtol=1e-2)


def test_what_is_not_there_is_0_and_not_minus_0():
    found = non_negative(torch.eye(2)[None], torch.tensor([[1.0, -1.0]]), torch.full((1, 2), 1e-3), torch.zeros(1, 2))
    assert found[0, 1] == 0 and not torch.signbit(found[0, 1])


def test_a_strong_prior_is_followed():
    gram, target = torch.eye(2)[None], torch.ones(1, 2)
    found = non_negative(gram, target, torch.full((1, 2), 1e6), torch.tensor([[0.2, 0.7]]))
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.7]]), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def model(tiny_basis):
    """A small hybrid network after a few steps."""
    plan = TrainConfig(number=640, batch=32, epochs=2, held_out=64)
    return train("hybrid", tiny_basis, PUBLISHED, plan, SMALL, hardware=Hardware("cpu"), progress=False)


def test_it_learns_fast(model, tiny_basis):
    stream = Stream(tiny_basis, PUBLISHED, 77, None, 64)
    batch = stream[0]
    with torch.no_grad():
        output = model.network(network_input(batch.measured, model.config.input)[0])
    truth = to_largest(batch.draw.concentrations)
    error = (to_largest(output.fractions) - truth).abs().mean()
    guess = (to_largest(torch.ones_like(truth)) - truth).abs().mean()
    # Twenty steps: least squares does what the network cannot know yet.
    assert error < 0.3 * guess and error < (to_largest(output.direct) - truth).abs().mean()


def test_it_brings_its_basis_along(model, tmp_path):
    assert_survives_saving(model, tmp_path / "saved")


@pytest.mark.parametrize(
    "change", [("line_scale", 1e4), ("times", -1.0), ("basis", 50.0), ("nuisance", 1e3), ("nuisance_energy", -1.0)]
)
def test_buffers_that_no_basis_set_makes_are_refused(model, tmp_path, change):
    """They are numbers like any others in a stranger's file, but would give results that mean nothing."""
    save_model(model, tmp_path / "saved")
    weights = load_file(tmp_path / "saved" / "weights.safetensors")
    name, factor = change
    save_file({**weights, name: weights[name] * factor}, tmp_path / "saved" / "weights.safetensors")
    with pytest.raises(ModelError, match="not of the model's configuration"):
        load_model(tmp_path / "saved", calibrated=False)


def test_a_band_of_a_few_points_is_refused(model, tiny_basis):
    grid = dataclasses.replace(model.config.input, ppm=(2.0, 2.1))
    small = Hybrid(SMALL, grid.channels, grid.bins, len(tiny_basis.names))
    with pytest.raises(ConfigError, match="about 64 points"):
        small.take_basis(torch.as_tensor(tiny_basis.fids), dataclasses.replace(model.config, input=grid))


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="multiples of 8"):
        HybridConfig(widths=(12,))
    with pytest.raises(ConfigError, match="direct_weight"):
        HybridConfig(direct_weight=-1.0)
