"""The least-squares bound against its formula."""

from dataclasses import replace

import torch

from fsl_mrs_dl.model.inputs import InputConfig
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.bound import least_squares_errors

from .conftest import pool_of


def test_the_bound_is_nothing_without_noise_and_grows_with_it(tiny_basis):
    config = InputConfig(2, tiny_basis.centre_hz)
    errors = []
    for sigma in (0.0, 0.01, 0.02):
        stream = Stream(tiny_basis, replace(PUBLISHED, noise_sigma=(sigma, sigma)), batch=500)
        errors.append(least_squares_errors(stream, config, [0]))
    assert errors[0].max() < 1e-4
    torch.testing.assert_close(errors[2] / errors[1], torch.full((3,), 2.0).double(), atol=0.35, rtol=0)


def test_the_bound_knows_edit_on_of_other_members(tiny_basis):
    pool = pool_of(tiny_basis, (1.0, 1.0))
    pool.fids[1, 1] *= 0.5
    recipe = replace(PUBLISHED, pool_fraction=1.0, other_on_fraction=1.0, noise_sigma=(0.0, 0.0))
    stream = Stream(tiny_basis, recipe, pool=pool, batch=64)
    assert least_squares_errors(stream, InputConfig(2, tiny_basis.centre_hz), [0]).max() < 1e-4
