"""A study from its cases and methods to its folder."""

import json
import os
import shutil

from tqdm import tqdm

from .._version import __version__
from ..folders import check_free
from .methods import ModelFit
from .normalise import failures, normalise
from .run import SUFFIX, run_study
from .study_page import write_study

ESTIMATES = "estimates"
"""Folder, within that of a study, of what every method said (see `run.run_study`) and of run.json."""

_UNFINISHED = "_unfinished"


def make_study(cases, methods, output, seed, missing=None, basis=None, workers=1, overwrite=False):
    """Run the methods on the cases and write the folder of the study, see `study_page.write_study`.

    Until it is whole, estimates are kept in a folder beside it, named as it is with `_unfinished`: the same call goes
    on from there. A study that is overwritten keeps the estimates of what is the same.

    Args:
        cases: of `cases.read_cases`.
        methods: of `methods.Method`.
        output: folder to make.
        seed: of bootstrap and noise.
        missing: {name: reason} of methods that could not be run.
        basis: BasisSet that scans are rebuilt from, for the comparison of scans with simulations; None to leave it out.
        workers: as of `run.run_study`.
        overwrite: whether an existing folder is replaced.

    Returns:
        DataFrame of `run.run_study`.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    missing = missing or {}
    target = check_free(output, overwrite)
    kept = target.with_name(target.name + _UNFINISHED)
    if overwrite and not kept.exists():
        kept.mkdir(parents=True)
        for path in (target / ESTIMATES).glob(f"*{SUFFIX}"):
            shutil.copyfile(path, kept / path.name)
    frame = run_study(cases, methods, kept, workers)
    models = [method for method in methods if isinstance(method.fit, ModelFit)]
    write_study(
        frame, target, cases=cases, seed=seed, simulated={model.name: errors_on_card(model) for model in models},
        basis=basis, methods=models, notes=[f"{name} is missing: {reason}" for name, reason in missing.items()],
        overwrite=overwrite, shown=lambda scans: tqdm(scans, "scans and figures", leave=False, delay=1),
    )  # fmt: skip
    (kept / "run.json").write_text(json.dumps(_about(methods, seed, missing), indent=1) + "\n", encoding="utf-8")
    os.replace(kept, target / ESTIMATES)
    return frame


def errors_on_card(method):
    """{metabolite: mean absolute error on the first simulated scans that a model's card names}; empty without."""
    first = next(iter(method.fit.model.card.get("errors", {}).values()), {})
    return {name: value for name, value in first.items() if name in method.metabolites}


def summary(frame):
    """DataFrame with a row a method and spectrum: mean absolute error (relative to the largest) of each metabolite and
    of all, failed scans, and median seconds a scan (of all spectra of the method)."""
    table = normalise(frame, "max")
    table["error"] = table["error"].abs()
    scans = table.groupby("label", sort=False)
    errors = table.groupby(["label", "metabolite"], sort=False)["error"].mean().unstack("metabolite")
    errors = errors.reindex(index=list(scans.groups), columns=list(dict.fromkeys(frame["metabolite"])))
    errors["mean"] = errors.mean(axis=1, skipna=False)
    failed = failures(frame).drop_duplicates(["label", "id"]).groupby("label").size()
    errors["failed"] = failed.reindex(errors.index, fill_value=0)
    errors["seconds"] = scans["seconds"].median()
    return errors.rename_axis("method").reset_index()


def _about(methods, seed, missing):
    """What was run, for run.json."""
    named = [
        {"name": method.name, "spectra": method.spectra, "metabolites": method.metabolites, "version": method.version}
        for method in methods
    ]
    return {"fsl_mrs_dl": __version__, "seed": seed, "methods": named, "missing": missing}
