"""Correcting a model's estimates for a scanner by scans of known contents; its network stays as it is."""

from dataclasses import replace

import numpy as np
import pandas

from ..errors import DataError, ModelError
from ..model.card import adapted_scans, content_hash
from ..model.scanner import learn_scanner
from .predict import check_basis_fits, predict
from .quantify import scan_for


def adapt(model, basis, scans, contents):
    """A model with a ScannerCorrection.

    Args:
        model: TrainedModel, as it shall be used: refined or not, with its correction for shrinkage or without.
        basis: BasisSet that it was trained with.
        scans: pairs of a name and a Scan, of one scanner.
        contents: {name: {metabolite: concentration}}, in one unit for a scan, of all that the spectra show.

    Returns:
        TrainedModel whose card names the scans, and a DataFrame of mean absolute errors of these: a row for each
        metabolite that is shown and their mean, columns before and after (each scan corrected by the others).

    Raises:
        ModelError: the model is corrected for a scanner already.
        DataError: contents are missing, or there are too few scans or none that show how to correct others.
        FslMrsDlError: a scan cannot be quantified.
    """
    if model.scanner is not None:
        raise ModelError(f"{model.name} is corrected for a scanner already: take the model that it was made from.")
    check_basis_fits(model, basis)
    names = model.config.metabolites
    shown = [name in basis.shown for name in names]
    estimates, truth, hashes = [], [], {}
    for name, scan in scans:
        known = [contents[name].get(metabolite, 0.0 if not seen else None) for metabolite, seen in zip(names, shown)]
        if None in known or not sum(np.array(known)[shown]) > 0:
            raise DataError(
                f"{name}: contents of {', '.join(basis.shown)} are needed, and not all of them 0; it has "
                f"{contents[name]}."
            )
        estimates.append(predict(model, scan_for(basis, scan), basis).concentrations)
        truth.append(known)
        hashes[name] = content_hash(scan.fids)
    settings = {"steps": model.steps, "corrected": model.corrected}
    found, errors = learn_scanner(names, np.array(estimates), np.array(truth), shown, **settings)
    table = pandas.DataFrame(errors.T, index=pandas.Index(names, name="metabolite"), columns=["before", "after"])
    table = table.dropna()
    table.loc["mean"] = table.mean()
    card = {
        **model.card,
        "adapted_to": {
            "model": f"{model.name}, weights {model.weights_sha256}",
            "contents": "known: its estimates are corrected, its weights are the same",
            "mean error before": round(found.before, 4),
            "mean error after, each scan corrected by the others": round(found.after, 4),
            "scans": {**adapted_scans(model.card), **hashes},
        },
    }
    return replace(model, card=card, scanner=found), table
