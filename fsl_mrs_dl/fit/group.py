"""One tidy table for all scans of a call."""

import csv
from pathlib import Path

from .result import UNCERTAINTY_HEADINGS, cells

RELATIVE, ABSOLUTE = ("relative_to_largest", "relative_to_sum", "raw"), ("molality", "molarity")
"""Columns of the concentrations; the absolute ones come behind `COLUMNS`, where a scan has a water reference."""

TABLE = "group.csv"
"""Name of the table of all scans."""

TRUST = ("trust", "trust_score", "trust_reasons")

COLUMNS = (
    "scan", "file", "metabolite", *RELATIVE, *UNCERTAINTY_HEADINGS, *TRUST, "model", "weights_sha256", "versions",
)  # fmt: skip

SETTINGS = ("refine", "corrected", "adapted")
"""Last columns: what was done to the network's estimates."""


def unique_names(paths):
    """A folder name for each path: the file's name without its ending, numbered where it comes again."""
    names, taken = [], {TABLE}
    for path in paths:
        name = Path(path).name.removesuffix(".gz").removesuffix(".nii") or "scan"
        free = next(one for one in (name, *(f"{name}_{k}" for k in range(2, len(paths) + 3))) if one not in taken)
        taken.add(free)
        names.append(free)
    return names


def write_group(path, results, names=None):
    """Write a row for each scan and metabolite; error bars are empty where a model has no calibration.

    Args:
        path: of the CSV file.
        results: Results.
        names: what to call the scans; their own names where None.
    """
    absolute = ABSOLUTE if any(result.water is not None for result in results) else ()
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, *absolute, *SETTINGS))
        for index, result in enumerate(results):
            scan = names[index] if names else result.scan.name
            files = " ".join(str(source) for source in result.scan.paths)
            versions = " ".join(f"{name}={value}" for name, value in result.record["dl_versions"].items())
            trust = result.trust
            flag = ("", "", "") if trust is None else (trust.level, trust.score, "; ".join(trust.reasons))
            settings = [getattr(result.model, name) for name in SETTINGS]
            for metabolite, row in result.concentrations.iterrows():
                origin = (result.model.name, result.model.weights_sha256, versions)
                own = (*RELATIVE, *UNCERTAINTY_HEADINGS)
                relative, scaled = (cells(map(row.get, columns)) for columns in (own, absolute))
                writer.writerow([scan, files, metabolite, *relative, *flag, *origin, *scaled, *settings])
