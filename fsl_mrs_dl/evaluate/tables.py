"""Tables of errors: a row a method, a column a metabolite."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..errors import DataError
from ..fit.predict import check_basis_fits, predict
from ..fit.quantify import scan_for
from ..fit.scan import read_scan
from ..synth.dataset import Stream
from ..synth.priors import PUBLISHED
from ..train.bound import least_squares_errors
from ..train.validate import simulated_errors
from .metrics import mean_absolute_error
from .phantoms import read_phantoms

BATCH = 250


def _with_mean(rows, names):
    """DataFrame of error rows with their mean over the metabolites."""
    table = pd.DataFrame(rows, columns=list(names))
    table["mean"] = table.mean(axis=1)
    return table


def _by_name(prediction, names):
    """Concentrations of a Prediction in the order of names."""
    return prediction.concentrations[[prediction.names.index(name) for name in names]]


def _index(pairs):
    """Index of (method, series) pairs."""
    return pd.MultiIndex.from_tuples(pairs, names=["method", "series"])


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
        errors = simulated_errors(model.network, model.config.input, stream, batches)
        rows[model.name] = errors[[own.index(name) for name in names]].numpy()
    stream = Stream(bases[0].keep(names), PUBLISHED, seed, None, BATCH)
    bound = least_squares_errors(stream, models[0].config.input, batches)
    table = _with_mean([*rows.values(), bound.numpy()], names)
    table.index = _index([(method, "all") for method in (*rows, "least-squares bound")])
    return table

def phantom_table(models, bases, folder):
    """Errors on scans of known contents, in all and by series.

    Args:
        models: TrainedModels.
        bases: BasisSet of each; a model of one spectrum gets that spectrum of edited scans.
        folder: of the scans, with truth.csv.

    Returns:
        DataFrame with a row a model and series.
    """
    names = models[0].config.metabolites
    phantoms = read_phantoms(folder, names)
    scans = [read_scan(path) for path in phantoms.paths]
    series = np.array(phantoms.series)
    groups = {"all": np.ones(len(series), bool)} | {name: series == name for name in dict.fromkeys(series)}
    rows, index = [], []
    for model, basis in zip(models, bases):
        shown = tqdm(scans, model.name, leave=False, delay=1)
        found = [_by_name(predict(model, scan_for(basis, scan), basis), names) for scan in shown]
        for group, members in groups.items():
            rows.append(mean_absolute_error(np.array(found)[members], phantoms.truth[members]))
            index.append((model.name, group))
    table = _with_mean(rows, names)
    table.index = _index(index)
    return table


def read_errors(path, like):
    """Errors of other methods from a CSV file, as rows of a phantom table.

    Args:
        path: CSV with a column method and one a metabolite.
        like: DataFrame of `phantom_table`.

    Raises:
        DataError: the file is missing or lacks a column.
    """
    names = [name for name in like.columns if name != "mean"]
    try:
        read = pd.read_csv(path)
        table = _with_mean(read[names].astype(float).to_numpy(), names)
        table.index = _index([(method, "all") for method in read["method"]])
    except (OSError, ValueError, KeyError) as exc:
        raise DataError(f"{path}: not a table of errors; it needs the columns method, {', '.join(names)}.") from exc
    return table
