"""Error bars of a trained network, from its errors on simulated scans that it was not trained on."""

from ..model.conformal import calibrate_errors
from .validate import simulated_estimates


def calibrate(network, config, stream, number, source, refiner=None, title=None):
    """Calibration of a network's error bars.

    Args:
        network: in evaluation mode.
        config: ModelConfig.
        stream: synth.dataset.Stream of scans that it was not trained on.
        number: how many of them, rounded up to whole batches.
        source: what they are, in words.
        refiner, title: as of `validate.simulated_estimates`: error bars are of estimates that are refined like that.

    Returns:
        model.calibration.Calibration.
    """
    found = simulated_estimates(network, config.input, stream, range(-(-number // stream.batch)), refiner, title)
    return calibrate_errors(config.metabolites, *found, source)


def calibrate_trained(network, config, source, number, device):
    """Calibration at the end of a training, on a third set of held-out scans of its feed.Source.

    Their bases are those of the training; `fsl_mrs_dl calibrate` takes others.
    """
    stream = source.held_out(3, device)
    of_pool = "" if source.pool is None else ", bases of the training"
    return calibrate(network, config, stream, number, f"recipe {source.recipe.name}, seed {stream.seed}{of_pool}")
