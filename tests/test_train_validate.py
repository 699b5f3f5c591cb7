"""Errors on simulated scans are those of the estimates, and nothing else is worked out for them."""

import numpy as np

from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.train import validate

from .conftest import PHANTOM


def test_errors_are_of_the_estimates_and_take_no_look_at_what_is_unexplained(tiny_model, tiny_basis, monkeypatch):
    what = tiny_model.network, tiny_model.config.input, Stream(tiny_basis, PHANTOM, seed=5, batch=16), range(2)
    found = validate.simulated_estimates(*what)
    assert found.unexplained.shape == (32, 2) and np.isfinite(found.unexplained).all()

    def not_now(*_):
        raise AssertionError("errors need nothing of this")

    monkeypatch.setattr(validate, "unexplained", not_now)
    errors = validate.simulated_errors(*what)
    np.testing.assert_allclose(errors.numpy(), abs(found.estimate - found.truth).mean(0))
