"""Concentrations of a study's long table in the three normalisations that are compared.

A long table has a row a method, spectrum, scan and metabolite, with the columns of `COLUMNS`. `spectrum` is a key of
`SPECTRA`. `estimate` is NaN where the method failed or does not report the metabolite, `failure` the reason or "".
"""

import numpy as np

from ..errors import DataError

COLUMNS = ("method", "spectrum", "id", "series", "metabolite", "truth", "estimate", "seconds", "failure")

SPECTRA = {"off": "edit-off", "on": "edit-on", "diff": "difference", "both": "both", "single": "single"}
"""Spectrum that a method used -> its name in tables and figures."""

NORMALISATIONS = {
    "max": "relative to the largest",
    "sum": "relative to the sum",
    "Cr": "relative to Cr",
}
"""Normalisation -> its title."""

FIRST = "max"
"""The measure of the published study, in which figures are drawn."""

_ONE_SCAN = ["method", "spectrum", "id"]


def check_table(frame):
    """Refuse a long table that lacks a column, has a row twice, or contents that cannot be.

    Raises:
        DataError: one of these; it says which.
    """
    lacking = [name for name in COLUMNS if name not in frame.columns]
    if lacking:
        raise DataError(f"A table of estimates needs the columns {', '.join(COLUMNS)}; {lacking[0]} is missing.")
    if frame.empty:
        raise DataError("A table of estimates needs at least one row: give methods and scans.")
    unknown = sorted(set(frame["spectrum"]) - set(SPECTRA))
    if unknown:
        raise DataError(f"The spectrum of an estimate is {', '.join(SPECTRA)}, not {unknown[0]!r}.")
    twice = frame.duplicated([*_ONE_SCAN, "metabolite"])
    if twice.any():
        row = frame.loc[twice.idxmax()]
        raise DataError(f"{row['method']} has two estimates of {row['metabolite']} in {row['id']}: keep one.")
    wrong = ~(np.isfinite(frame["truth"]) & (frame["truth"] >= 0))
    if wrong.any():
        row = frame.loc[wrong.idxmax()]
        raise DataError(f"The content of {row['metabolite']} in {row['id']} is {row['truth']}: it must be 0 or more.")


def labels(frame):
    """Name of method and spectrum of each row, as "LCModel, edit-off"."""
    return frame["method"] + ", " + frame["spectrum"].map(SPECTRA)


def normalise(frame, to):
    """The table with truth and estimate in one normalisation, their error and the label of the method.

    Truth and estimate are divided alike, over the metabolites that the method reports for the scan: a method that
    cannot see creatine is not charged with its share of the sum.

    Args:
        frame: long table, see above.
        to: key of `NORMALISATIONS`.

    Returns:
        DataFrame with truth and estimate normalised (NaN where there is nothing to divide by) and the columns error
        (estimate - truth) and label. Relative to Cr, the rows of Cr itself are left out, being 1 for every method.
    """
    table = frame.reset_index(drop=True)
    for name in ("truth", "estimate"):
        values = table[name].where(table["estimate"].notna())
        if to == "Cr":
            values = values.where(table["metabolite"] == "Cr")
        groups = values.groupby([table[key] for key in _ONE_SCAN])
        divisor = groups.transform("max") if to == "max" else groups.transform("sum", min_count=1)
        table[name] = table[name] / divisor.where(divisor > 0)
    table["error"] = table["estimate"] - table["truth"]
    table["label"] = labels(table)
    return table if to != "Cr" else table[table["metabolite"] != "Cr"].reset_index(drop=True)


def without_reference(frame, table):
    """Scans that a method fitted and that cannot be normalised.

    Args:
        frame: long table.
        table: `normalise` of it.

    Returns:
        list of (label, id), in the order of the table.
    """
    fitted = frame.loc[frame["estimate"].notna()]
    fitted = dict.fromkeys(zip(labels(fitted), fitted["id"]))
    usable = table.loc[table["error"].notna()]
    usable = set(zip(usable["label"], usable["id"]))
    return [pair for pair in fitted if pair not in usable]


def failures(frame):
    """DataFrame (label, id, series, failure) of the scans on which a method failed."""
    failed = frame[frame["failure"].fillna("") != ""]
    failed = failed.assign(label=labels(failed))
    return failed[["label", "id", "series", "failure"]].drop_duplicates().reset_index(drop=True)
