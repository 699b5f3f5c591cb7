"""Table of errors on simulated spectra: a row a method, a column a metabolite."""

import pandas as pd

from ..fit.predict import check_basis_fits
from ..synth.dataset import Stream
from ..synth.priors import PUBLISHED
from ..train.bound import least_squares_errors
from ..train.validate import simulated_estimates

BATCH = 250


def simulated_table(models, bases, number, seed):
    """Errors at the published conditions (lines of 2 Hz, Gaussian noise up to 0.03), beside their bound.

    Args:
        models: TrainedModels.
        bases: BasisSet of each.
        number: spectra; rounded up to whole batches.
        seed: of the spectra.

    Returns:
        DataFrame with a row a model and one for the least-squares bound with the first model's spectra.
    """
    batches = range(-(-number // BATCH))
    names = models[0].config.metabolites
    rows = {}
    for model, basis in zip(models, bases):
        check_basis_fits(model, basis)
        own = model.config.metabolites
        stream = Stream(basis.keep(own), PUBLISHED, seed, None, BATCH)
        found = simulated_estimates(model.network, model.config.input, stream, batches, model.refiner)
        estimate, _ = model.judge(found.estimate, found.spread, found.unexplained, found.own_spread)
        errors = abs(estimate - found.truth).mean(0)
        rows[model.name] = errors[[own.index(name) for name in names]]
    stream = Stream(bases[0].keep(names), PUBLISHED, seed, None, BATCH)
    bound = least_squares_errors(stream, models[0].config.input, batches)
    rows["least-squares bound"] = bound.numpy()
    table = pd.DataFrame(list(rows.values()), index=pd.Index(rows, name="method"), columns=list(names))
    return table.assign(mean=table.mean(axis=1))
