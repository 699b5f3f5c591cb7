"""Error bars of a trained network, from its errors on simulated scans that it was not trained on."""

from dataclasses import fields, replace

import numpy as np

from ..errors import ConfigError
from ..model.conformal import calibrate_errors, open_errors
from ..model.doubt import DOUBTFUL, learn_doubt
from .validate import Estimates, simulated_estimates

SHIFT_SCANS = 8000
"""Scans of each kind that the doubt is learnt from."""


def calibrate(network, config, stream, number, source, refiner=None, title=None, shifts=()):
    """Calibration of a network's error bars.

    Args:
        network: in evaluation mode.
        config: ModelConfig.
        stream: synth.dataset.Stream of scans that it was not trained on.
        number: how many of them, rounded up to whole batches.
        source: what they are, in words.
        refiner, title: as of `validate.simulated_estimates`: error bars are of estimates that are refined like that.
        shifts: Streams of scans unlike those of the training, from which it is learnt how much larger errors are where
            the network's reconstruction leaves more of a scan. The intervals hold on scans of `stream` all the same.

    Returns:
        model.calibration.Calibration.

    Raises:
        ConfigError: there are shifts, but the network reconstructs no spectra.
    """
    if shifts and np.isnan(_estimates(network, config, stream, 1, None, None).unexplained).any():
        raise ConfigError(f"The network {config.network} reconstructs no spectra, so {DOUBTFUL}")
    found = _estimates(network, config, stream, number, refiner, title)
    doubt, spread = None, found.spread
    if shifts:
        others = [_estimates(network, config, one, SHIFT_SCANS, refiner, title) for one in shifts]
        doubt = _learn(found, others)
        spread = doubt(spread, found.unexplained)
    made = calibrate_errors(config.metabolites, found.estimate, found.truth, spread, source, found.own_spread)
    return replace(made, doubt=doubt, steps=0 if refiner is None else refiner.steps)


def _estimates(network, config, stream, number, refiner, title):
    """Estimates on a number of a Stream's scans, rounded up to whole batches."""
    return simulated_estimates(network, config.input, stream, range(-(-number // stream.batch)), refiner, title)


def _learn(usual, others):
    """Doubt from Estimates on scans of the training's kind and as many of each of other kinds."""
    rows = slice(SHIFT_SCANS)
    parts = [[getattr(one, field.name)[rows] for one in (usual, *others)] for field in fields(Estimates)]
    estimate, truth, spread, _, unexplained = map(np.concatenate, parts)
    return learn_doubt(abs(estimate - truth), open_errors(estimate, truth), spread, unexplained)


def calibrate_trained(network, config, source, number, device):
    """Calibration at the end of a training, on a third set of held-out scans of its feed.Source.

    Their bases are those of the training; `fsl_mrs_dl calibrate` takes others.
    """
    stream = source.held_out(3, device)
    of_pool = "" if source.pool is None else ", bases of the training"
    return calibrate(network, config, stream, number, f"recipe {source.recipe.name}, seed {stream.seed}{of_pool}")
