"""Scans of known contents: a folder of NIfTI-MRS files and truth.csv."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError


@dataclass(frozen=True)
class Phantoms:
    """Scans of known contents.

    Attributes:
        paths: of the scans.
        series: name of the series of each.
        names: metabolites.
        truth: (scan, metabolite) concentrations (mM).
    """

    paths: tuple[Path, ...]
    series: tuple[str, ...]
    names: tuple[str, ...]
    truth: np.ndarray


def read_phantoms(folder, names):
    """Scans of a folder whose truth.csv has the columns id, series and one a metabolite (mM).

    Args:
        folder: holds truth.csv and, for each id, id.nii.gz or id.nii.
        names: metabolites wanted.

    Raises:
        DataError: no truth.csv, a column or a scan is missing, or a value is no number.
    """
    folder = Path(folder)
    try:
        table = pd.read_csv(folder / "truth.csv", dtype={"id": str, "series": str})
    except (OSError, ValueError) as exc:
        raise DataError(f"{folder}/truth.csv: missing or not a table; it lists id, series and contents in mM.") from exc
    lacking = [name for name in ("id", *names) if name not in table.columns]
    if lacking:
        raise DataError(f"{folder}/truth.csv has no column {lacking[0]}: it needs id, series, {', '.join(names)}.")
    truth = table[list(names)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not np.isfinite(truth).all():
        raise DataError(f"{folder}/truth.csv: a content is empty or not a number; give every one in mM.")
    paths = tuple(_scan_path(folder, scan) for scan in table["id"])
    series = tuple(table["series"]) if "series" in table.columns else ("all",) * len(paths)
    return Phantoms(paths, series, tuple(names), truth)


def _scan_path(folder, scan):
    """The NIfTI file of an id; DataError where there is none."""
    for ending in (".nii.gz", ".nii"):
        if (folder / (scan + ending)).is_file():
            return folder / (scan + ending)
    raise DataError(f"{folder}: truth.csv names the scan {scan}, but there is no {scan}.nii.gz.")
