"""A conventional fit of one scan beside the network's, for the report."""

import math

from ..errors import DataError
from ..fit.comparison import Comparison
from .conventional import SpectraFit
from .methods import FAILURES


def compare(result, fit, name, title):
    """Fit the scan of a Result in the conventional way, with its basis set.

    Args:
        result: Result.
        fit: (Scan of one spectrum, BasisSet of one condition on its grid) -> {metabolite: concentration} and
            {metabolite: its standard deviation}.
        name, title: as `Comparison`.

    Returns:
        Comparison; a fit that fails is one of its failures.
    """
    bounds = {}

    def noted(scan, basis, spectrum):
        values, bounds[spectrum] = fit(scan, basis)
        if not all(map(math.isfinite, values.values())) or max(values.values()) <= 0:
            raise DataError("no estimate is above 0, or one is no number")
        return values

    edited = result.scan.edited
    basis = result.basis if edited else result.basis.keep(result.basis.shown)
    try:
        found = SpectraFit(noted, basis)(result.scan)
    except FAILURES as exc:
        found = dict.fromkeys(("off", "diff") if edited else ("single",), exc)
    if not edited:
        # The spectrum of a basis set in a folder off, on or diff has that name; a result calls an only one single.
        found, bounds = ({"single": value for value in one.values()} for one in (found, bounds))
    failures = {key: _line(values) for key, values in found.items() if isinstance(values, Exception)}
    first = next(iter(found))
    if first in failures:
        failures = {key: failures.get(key, f"{first} has no largest value to refer to") for key in found}
        return Comparison(name, title, {}, failures)
    largest = max(found[first].values())
    values = {
        key: {metabolite: (found[key][metabolite] / largest, sd / largest) for metabolite, sd in bounds[key].items()}
        for key in found
        if key not in failures
    }
    return Comparison(name, title, values, failures)


def _line(exc):
    """An exception in one line."""
    return " ".join(str(exc).split()) or type(exc).__name__
