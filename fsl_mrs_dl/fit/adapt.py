"""Correcting a model's estimates for a scanner by scans of known contents; its network stays as it is."""

from dataclasses import dataclass, replace

import numpy as np
import pandas

from ..errors import DataError, FslMrsDlError, ModelError
from ..model.card import content_hash, known_hashes
from ..model.checkpoint import TrainedModel
from ..model.scanner import fingerprint_of, learn_scanner

ODD = (0.1, 4)
"""Mean error of a scan beyond which its contents may be of another one: at least so much, and so many medians."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """A model that is corrected for a scanner, and what there is to say about it.

    Attributes:
        model: TrainedModel with a ScannerCorrection; its card names the scans.
        errors: DataFrame of mean absolute errors of these: a row for each metabolite that is shown and their mean,
            columns before and after (each corrected by the scans of other contents alone).
        out_of_range: names of those that the trust flag calls so.
        odd: names of those whose own mean error stays far larger than that of the others.
    """

    model: TrainedModel
    errors: pandas.DataFrame
    out_of_range: tuple[str, ...]
    odd: tuple[str, ...]


def adapt(quantifier, scans, contents):
    """Correct the model of a Quantifier for a scanner.

    Args:
        quantifier: Quantifier, whose model is as it shall be used: refined or not, corrected for shrinkage or not.
        scans: pairs of a name and a Scan, of one scanner.
        contents: {name: {metabolite: concentration}}, in one unit for a scan, of all that the spectra show.

    Returns:
        Adapted.

    Raises:
        ModelError: the model is corrected for a scanner already, or its weights have seen a scan.
        DataError: contents are missing or no concentrations, a scan is there twice or cannot be quantified, there are
            too few of different contents, or they do not show how to correct others.
    """
    model, basis = quantifier.model, quantifier.basis
    if model.scanner is not None:
        origin = str(model.card.get("corrected_for", {}).get("model", "")).partition(",")[0][:80]
        origin = f", {origin}" if origin else ""
        raise ModelError(
            f"{model.name} is corrected for a scanner already: take the model that it was made from{origin}."
        )
    names = model.config.metabolites
    shown = np.array([name in basis.shown for name in names])
    estimates, truth, hashes, spoilt, taught = [], [], {}, [], known_hashes(model.card)
    for name, scan in scans:
        truth.append(_known(name, contents.get(name, {}), names, shown))
        content = content_hash(scan.fids)
        if name in hashes or content in hashes.values():
            raise DataError(f"{name} is there already, by its name or by its content: leave one of the two out.")
        if content in taught:
            raise ModelError(f"{model.name} was trained on {name}, whose error says nothing of others: leave it out.")
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
    index = pandas.Index(names, name="metabolite")
    table = pandas.DataFrame(errors.mean(1).T, index=index, columns=["before", "after"]).dropna()
    table.loc["mean"] = table.mean()
    own = np.nanmean(errors[1], 1)
    odd = tuple(np.array(list(hashes))[own > max(ODD[0], ODD[1] * np.median(own))].tolist())
    facts = {
        "model": f"{model.name}, weights {model.weights_sha256}, which are the same",
        "mean error before": round(found.before, 4),
        "mean error after, each corrected by scans of other contents": round(found.after, 4),
        "scans": hashes,
    }
    made = replace(model, card={**model.card, "corrected_for": facts}, scanner=found)
    return Adapted(made, table, tuple(spoilt), odd)


def _known(name, contents, metabolites, shown):
    """Contents of a scan in the order of the metabolites, 0 of those not shown.

    Raises:
        DataError: one is missing or no concentration, or all are 0.
    """
    wanted = [metabolite for metabolite, seen in zip(metabolites, shown) if seen]
    missing = [metabolite for metabolite in wanted if metabolite not in contents]
    if missing:
        raise DataError(
            f"{name} has no content of {', '.join(missing)}: give a column for each of {', '.join(wanted)}, 0 where "
            "there is none."
        )
    known = [contents[metabolite] if seen else 0.0 for metabolite, seen in zip(metabolites, shown)]
    if not np.isfinite(known).all() or min(known) < 0 or not max(known) > 0:
        raise DataError(f"{name}: contents must be numbers of 0 or more, and not all of {', '.join(wanted)} 0.")
    return known
