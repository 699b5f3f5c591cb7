"""Correcting a model's estimates for a scanner by scans of known contents; its network stays as it is."""

from dataclasses import dataclass, replace

import numpy as np
import pandas

from ..errors import DataError, FslMrsDlError, ModelError
from ..model.card import content_hash
from ..model.checkpoint import TrainedModel
from ..model.scanner import fingerprint_of, learn_scanner


@dataclass(frozen=True, eq=False)
class Adapted:
    """A model that is corrected for a scanner, and what there is to say about it.

    Attributes:
        model: TrainedModel with a ScannerCorrection; its card names the scans.
        errors: DataFrame of mean absolute errors of these: a row for each metabolite that is shown and their mean,
            columns before and after (each corrected by the scans of other contents alone).
        out_of_range: names of those that the trust flag calls so.
    """

    model: TrainedModel
    errors: pandas.DataFrame
    out_of_range: tuple[str, ...]


def adapt(quantifier, scans, contents):
    """Correct the model of a Quantifier for a scanner.

    Args:
        quantifier: Quantifier, whose model is as it shall be used: refined or not, corrected for shrinkage or not.
        scans: pairs of a name and a Scan, of one scanner.
        contents: {name: {metabolite: concentration}}, in one unit for a scan, of all that the spectra show.

    Returns:
        Adapted.

    Raises:
        ModelError: the model is corrected for a scanner already.
        DataError: contents are missing or no concentrations, a scan is there twice or cannot be quantified, there are
            too few of different contents, or they do not show how to correct others.
    """
    model, basis = quantifier.model, quantifier.basis
    if model.scanner is not None:
        raise ModelError(f"{model.name} is corrected for a scanner already: take the model that it was made from.")
    names = model.config.metabolites
    shown = np.array([name in basis.shown for name in names])
    estimates, truth, hashes, spoilt = [], [], {}, []
    for name, scan in scans:
        truth.append(_known(name, contents.get(name, {}), names, shown))
        content = content_hash(scan.fids)
        if content in hashes.values():
            raise DataError(f"{name} is a scan that is there already under another name: leave one of them out.")
        hashes[name] = content
        try:
            prediction, trust = quantifier.estimate(scan)
        except FslMrsDlError as exc:
            raise DataError(f"{name}: {exc}") from exc
        estimates.append(prediction.concentrations)
        spoilt += [name] if trust.out_of_range else []
    settings = {"steps": model.steps, "corrected": model.corrected}
    settings["calibration_sha256"] = fingerprint_of(model.calibration)
    estimates, truth = (np.reshape(rows, (-1, len(names))) for rows in (estimates, truth))
    found, errors = learn_scanner(names, estimates, truth, shown, **settings)
    table = pandas.DataFrame(errors.T, index=pandas.Index(names, name="metabolite"), columns=["before", "after"])
    table = table.dropna()
    table.loc["mean"] = table.mean()
    facts = {
        "model": f"{model.name}, weights {model.weights_sha256}, which are the same",
        "mean error before": round(found.before, 4),
        "mean error after, each corrected by scans of other contents": round(found.after, 4),
        "scans": hashes,
    }
    return Adapted(replace(model, card={**model.card, "corrected_for": facts}, scanner=found), table, tuple(spoilt))


def _known(name, contents, metabolites, shown):
    """Contents of a scan in the order of the metabolites, 0 of those not shown.

    Raises:
        DataError: one is missing or no concentration, or all are 0.
    """
    known = [contents.get(metabolite, np.nan) if seen else 0.0 for metabolite, seen in zip(metabolites, shown)]
    if not np.isfinite(known).all() or min(known) < 0 or not max(known) > 0:
        wanted = ", ".join(metabolite for metabolite, seen in zip(metabolites, shown) if seen)
        raise DataError(
            f"{name}: contents of {wanted} are needed, each 0 or more and not all of them 0; it has {contents}."
        )
    return known
