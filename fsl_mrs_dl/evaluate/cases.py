"""Scans of known contents: folders of NIfTI-MRS files with a truth.csv, or files of generated scans."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..basis.spins import load_systems
from ..errors import DataError
from ..fit.scan import Scan, read_scan
from ..synth.dataset import GRID_DWELL_S
from ..synth.store import StoredScans

STORED = (".h5", ".hdf5")
"""Endings of files of generated scans (`synth.store`)."""


@dataclass(frozen=True, eq=False)
class Case:
    """A scan of known contents.

    Attributes:
        id: its name, different for each case.
        series: what it belongs to.
        scan: Scan.
        truth: metabolite -> concentration, in one unit for the whole scan (mM, or the basis set's scale).
    """

    id: str
    series: str
    scan: Scan
    truth: dict[str, float]


def read_cases(paths, names=None, number=None):
    """Cases of folders and files.

    Args:
        paths: folders with truth.csv (columns id, one a metabolite and, if wanted, series; others are passed over)
            and, for each id, id.nii.gz or id.nii (a scan without a series, or in one called all, is of the folder's
            name); or HDF5 files of fsl_mrs_dl generate.
        names: metabolites wanted, each of which a truth.csv may lack; those of the table of spin systems where None.
        number: the most scans taken from an HDF5 file, from its first; all where None.

    Returns:
        tuple of Case. Ids that two paths share get the name of their folder or file before them.

    Raises:
        DataError: there is no truth.csv, it has none of the metabolites, or a value or a scan is missing.
        ConfigError: an HDF5 file is not one of generated scans.
    """
    names = tuple(load_systems() if names is None else names)
    read = [(Path(path), _stored if Path(path).suffix in STORED else _folder) for path in paths]
    found = [(path, case) for path, reader in read for case in reader(path, names, number)]
    ids = [case.id for _, case in found]
    repeated = {one for one in ids if ids.count(one) > 1}
    cases = [
        Case(f"{path.stem}/{case.id}", case.series, case.scan, case.truth) if case.id in repeated else case
        for path, case in found
    ]
    twice = {case.id for case in cases if sum(other.id == case.id for other in cases) > 1}
    if twice:
        raise DataError(f"Every scan needs an id of its own, {sorted(twice)[0]} is there twice; give one another name.")
    return tuple(cases)


def _folder(folder, names, _):
    """Cases of a folder with truth.csv."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; give one of NIfTI-MRS scans with a truth.csv.")
    try:
        table = pd.read_csv(folder / "truth.csv", dtype={"id": str, "series": str})
    except (OSError, ValueError) as exc:
        raise DataError(f"{folder}/truth.csv: missing or not a table; it lists id and contents of the scans.") from exc
    there = [name for name in names if name in table.columns]
    if "id" not in table.columns or not there:
        lacking = "column id" if there else f"metabolite of {', '.join(names)}"
        raise DataError(f"{folder}/truth.csv has no {lacking}; it needs id and one a metabolite, between commas.")
    truth = table[there].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not np.isfinite(truth).all() or (truth < 0).any():
        raise DataError(f"{folder}/truth.csv: a content is empty, negative or not a number; give all in one unit.")
    if table["id"].isna().any():
        raise DataError(f"{folder}/truth.csv: a row has no id; name its scan.")
    # "all" is what the tables of a study call every scan together.
    own = folder.resolve().name
    series = table["series"].replace("all", own).fillna(own) if "series" in table.columns else [own] * len(table)
    for one, group, contents in zip(table["id"], series, truth, strict=True):
        scan = read_scan(_scan_path(folder, one))
        yield Case(one, group, scan, dict(zip(there, contents.tolist(), strict=True)))


def _scan_path(folder, one):
    """The NIfTI file of an id; DataError where there is none."""
    for ending in (".nii.gz", ".nii"):
        if (folder / (one + ending)).is_file():
            return folder / (one + ending)
    raise DataError(
        f"{folder}: truth.csv names the scan {one}, but there is no {one}.nii.gz; an id is the file's name without "
        "ending, and a row without a file has to go."
    )


def _stored(path, names, number):
    """Cases of a file of generated scans."""
    stored = StoredScans(path)
    made = stored.contents
    there = [name for name in made.names if name in names]
    if not there:
        raise DataError(f"{path} has scans of {', '.join(made.names)}, none of {', '.join(names)}; make others.")
    for index in range(min(len(stored) * stored.batch, number or made.number)):
        batch, row = divmod(index, stored.batch)
        if not row:
            scans = stored[batch]
        drawn = dict(zip(made.names, scans.draw.concentrations[row].double().tolist(), strict=True))
        name = f"scan_{index:05d}"
        scan = Scan(scans.measured[row].numpy(), made.conditions, GRID_DWELL_S, made.centre_hz, name=name)
        yield Case(name, made.recipe.name, scan, {key: drawn[key] for key in there})
