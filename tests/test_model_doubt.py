"""What a reconstruction leaves unexplained, and how expected errors grow with it."""

import dataclasses

import numpy as np
import pytest
import torch

from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.fit.predict import look, predict_prepared, prepare
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.model.doubt import FLOOR, SMOOTHING_HZ, Doubt, learn_doubt, unexplained
from fsl_mrs_dl.model.inputs import InputConfig, network_input, noise_level
from fsl_mrs_dl.model.output import Output

GRID = InputConfig(2, 123.2e6)
RULE = Doubt((np.log(0.1), np.log(0.2)), (0.5, 2.0), (1.0, 0.0, 3.0))


def lines(generator, hz=8.0):
    """(2, 2, 2048) complex FIDs of a few Lorentzian lines between 2 and 4 ppm, on `GRID`."""
    t = torch.arange(GRID.points) * GRID.dwell_s
    places = -320 + 240 * torch.rand(5, generator=generator)
    shapes = torch.exp(torch.complex(-torch.pi * hz * t.expand(5, -1), 2 * torch.pi * places[:, None] * t))
    return torch.rand(2, 2, 5, generator=generator).to(shapes.dtype) @ shapes


@pytest.fixture
def scans():
    """FIDs, and the Output that reconstructs them without a rest."""
    fids = lines(torch.Generator().manual_seed(1))
    channels, scale = network_input(fids, GRID)
    return fids, Output(torch.ones(2, 3), torch.zeros(2, 4), channels), scale


def test_what_is_left_is_measured_in_each_condition(scans):
    fids, output, _ = scans
    channels, none = output.clean.clone(), torch.zeros(2, 2)
    assert unexplained(output, channels, none, GRID).max() < 1e-6
    channels[:, :2] *= 1.1
    channels[1, 2:] *= 0.7
    found = unexplained(output, channels, none, GRID)
    torch.testing.assert_close(found, torch.tensor([[0.1, 0.0], [0.1, 0.3]]), atol=1e-5, rtol=0)


def test_water_and_a_baseline_are_not_held_against_it(scans):
    fids, output, scale = scans
    t = torch.arange(GRID.points) * GRID.dwell_s
    water = 3 * torch.exp(torch.complex(-torch.pi * 12 * t, 2 * torch.pi * 6 * t))
    broad = 0.05 * torch.exp(torch.complex(-((120 * t) ** 2), -2 * torch.pi * 250 * t))
    seen = network_input(fids + water + broad, GRID)
    channels = seen[0] * (seen[1] / scale)[:, None, None]
    left = (channels - output.clean).square().mean().sqrt() / output.clean.square().mean().sqrt()
    assert left > 0.1 and unexplained(output, channels, torch.zeros(2, 2), GRID).max() < 0.02


def test_noise_is_taken_off_and_fractions_of_a_narrow_line_count_little(scans):
    fids, output, scale = scans
    noise = torch.view_as_complex(torch.randn(*fids.shape, 2, generator=torch.Generator().manual_seed(2)))
    noisy = fids + 0.1 * noise
    channels = network_input(noisy, GRID)[0] * (network_input(noisy, GRID)[1] / scale)[:, None, None]
    without = unexplained(output, channels, noise_level(noisy, scale), GRID)
    assert without.max() < 0.5 * unexplained(output, channels, torch.zeros(2, 2), GRID).min()
    parts = {}
    for width in (1.0, 10.0):
        fids = lines(torch.Generator().manual_seed(3), width)
        moved = fids * torch.exp(2j * torch.pi * 0.3 * torch.arange(GRID.points) * GRID.dwell_s)
        both = [network_input(one, GRID)[0] for one in (fids, moved)]
        output = Output(torch.ones(2, 3), torch.zeros(2, 4), both[0])
        plain = (both[1] - both[0]).square().mean().sqrt() / both[0].square().mean().sqrt()
        parts[width] = float(unexplained(output, both[1], torch.zeros(2, 2), GRID).mean() / plain)
    assert SMOOTHING_HZ > 1 and parts[1.0] < 0.6 * parts[10.0]


def test_expected_errors_grow_above_the_knees_alone():
    spread = np.log([[0.01, 0.01, 0.01]] * 3)
    left = np.array([[0.05, 0.1], [0.4 - FLOOR, 0.1], [0.4 - FLOOR, 0.4 - FLOOR]])
    grown = np.exp(RULE(spread, left))
    np.testing.assert_allclose(grown[0], 0.01)
    np.testing.assert_allclose(grown[1], [0.02, 0.01, 0.08])
    # 4 ** 0.5 * 2 ** 2 is 8; nothing errs by more than 1.
    np.testing.assert_allclose(grown[2], [0.08, 0.01, 1.0])


def test_the_rule_is_learnt_from_errors():
    random = np.random.default_rng(4)
    left = np.exp(random.uniform(np.log(0.02), np.log(0.9), (60_000, 2)))
    spread = random.uniform(-5, -3, (60_000, 3))
    true = Doubt((np.log(0.1), np.log(0.3)), (0.6, 0.4), (1.0, 0.5, 1.5))
    error = 2 * np.exp(true(spread, left)) * random.exponential(size=spread.shape)
    counted = np.ones(error.shape, dtype=bool)
    found = learn_doubt(error, counted, spread, left)
    growth = [rule(spread, left) - spread for rule in (true, found)]
    assert abs(growth[1] - growth[0]).max() < 0.1
    counted[:, 1] = False
    assert learn_doubt(error, counted, spread, left).weights[1] == 0


def test_errors_that_do_not_grow_give_no_growth():
    random = np.random.default_rng(5)
    left, spread = random.uniform(0, 1, (20_000, 1)), np.full((20_000, 2), -4.0)
    error = np.exp(spread) * random.exponential(size=spread.shape)
    rule = learn_doubt(error, np.ones(error.shape, dtype=bool), spread, left)
    assert abs(rule(spread, left) - spread).max() < 0.1


@pytest.mark.parametrize(
    "values",
    [
        ((0.0,), (0.1, 0.1), (1.0,)),
        ((0.0,) * 3, (0.1,) * 3, (1.0,)),
        ((0.0,), (-0.1,), (1.0,)),
        ((float("nan"),), (0.1,), (1.0,)),
        ((0.0,), (0.1,), ()),
        ((0.0,), (0.1,), (float("inf"),)),
    ],
)
def test_numbers_that_are_no_rule_are_refused(values):
    with pytest.raises(ConfigError):
        Doubt(*values)


def test_intervals_of_scans_that_are_not_explained_are_wider(tiny_model, tiny_basis):
    rule = Doubt((np.log(0.05),) * 2, (1.0, 1.0), (1.0,) * len(tiny_model.config.metabolites))
    calibration = dataclasses.replace(tiny_model.calibration, doubt=rule)
    doubting = dataclasses.replace(tiny_model, calibration=calibration)
    fid = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids) * np.exp(-np.pi * 3 * np.arange(2048) * 5e-4)
    # Lines that no basis spectrum has.
    strange = fid + 0.5 * fid.max() * np.exp((-15 - 2j * np.pi * 150) * np.arange(2048) * 5e-4)
    widths = []
    for one in (fid, strange):
        scan = Scan(one, tiny_basis.conditions, 5e-4, float(tiny_basis.centre_hz))
        prepared = prepare(tiny_model, scan, tiny_basis)
        plain, doubted = (predict_prepared(model, prepared) for model in (tiny_model, doubting))
        np.testing.assert_array_equal(plain.concentrations, doubted.concentrations)
        widths.append((doubted.uncertainty.sd / plain.uncertainty.sd).min())
        assert look(tiny_model, prepared.fids[None]).unexplained is None
    assert widths[0] < widths[1] and widths[1] > 1.5


def test_a_network_that_reconstructs_nothing_cannot_be_doubted(scans):
    fids, output, _ = scans
    with pytest.raises(ModelError, match="reconstructs no spectra"):
        unexplained(dataclasses.replace(output, clean=None), output.clean, torch.zeros(2, 2), GRID)
