"""fsl_mrs_dl train --finetune: read the scans and their contents, adapt the model."""

import hashlib
from pathlib import Path

ENDINGS = (".nii.gz", ".nii")


def add_arguments(parser):
    """Options of adapting."""
    add = parser.add_argument_group("adapting a model to a scanner").add_argument
    add("--finetune", metavar="MODEL", help="adapt this model to real scans instead of training a new one")
    add("--scans", metavar="DIR", help="folder of NIfTI-MRS scans to adapt to")
    add("--truth", metavar="CSV", help="contents of the scans: columns id and one a metabolite (default: unknown)")


def adapt(args, plan, pool, hardware):
    """What to adapt, as (settings, function that does it): the function takes a WorkFolder.

    Raises:
        FslMrsDlError: model, basis set, scans and contents do not belong together.
    """
    from ..config import to_dict
    from ..fit.predict import check_basis_fits
    from ..fit.quantify import basis_for
    from ..model.card import trained_recipe
    from ..model.checkpoint import load_model
    from ..synth.priors import recipe_named
    from ..train.finetune import check_teachable, finetune

    model = load_model(args.finetune)
    basis = basis_for(model, args.basis)
    check_basis_fits(model, basis)
    recipe = recipe_named(args.recipe) if args.recipe else trained_recipe(model)
    real = _real_scans(args, model, basis)
    check_teachable(model, real)
    settings = {
        "model": model.weights_sha256,
        "plan": to_dict(plan),
        "recipe": to_dict(recipe),
        "pool": None if pool is None else f"{len(pool.fids)} bases, seed {pool.seed}",
        "scans": real.hashes,
        "truth": hashlib.sha256(Path(args.truth).read_bytes()).hexdigest() if args.truth else None,
        "devices": [hardware.devices, hardware.nodes],
    }

    def begin(work, resume):
        """Adapt in a WorkFolder."""
        return finetune(model, basis, recipe, plan, real, pool, work, hardware, resume=resume)

    return settings, begin


def _real_scans(args, model, basis):
    """RealScans of --scans and --truth.

    Raises:
        DataError, ModelError: there are none, or one is not for this model.
    """
    import numpy as np
    import torch

    from ..errors import ConfigError
    from ..fit.predict import prepare
    from ..fit.quantify import scan_for
    from ..fit.scan import read_scan
    from ..model.card import content_hash
    from ..train.finetune import RealScans

    if not args.scans:
        raise ConfigError("Which scans is the model to be adapted to? Give --scans DIR.")
    paths = scan_paths(Path(args.scans))
    truth = contents(Path(args.truth), paths, model.config.metabolites) if args.truth else None
    fids, hashes = [], {}
    for name in truth or paths:
        scan = read_scan(paths[name])
        hashes[name] = content_hash(scan.fids)
        fids.append(prepare(model, scan_for(basis, scan), basis).fids)
    known = None if truth is None else torch.tensor([truth[name] for name in hashes])
    return RealScans(torch.as_tensor(np.array(fids), dtype=torch.complex64), hashes, known)


def scan_paths(folder):
    """NIfTI files of a folder by their id, the name without its ending; DataError where there are none."""
    from ..errors import DataError

    files = sorted(folder.iterdir()) if folder.is_dir() else []
    found = {path.name[: -len(end)]: path for end in ENDINGS for path in files if path.name.endswith(end)}
    if not found:
        raise DataError(f"--scans {folder} is no folder with NIfTI-MRS files (.nii or .nii.gz).")
    return found


def contents(path, paths, metabolites):
    """Contents of scans: id -> list of concentrations in the order of the metabolites.

    Args:
        path: CSV file with the columns id and one a metabolite, in any one unit.
        paths: the scans by their id; those that the table does not name are left out.
        metabolites: of the model.

    Raises:
        DataError: the table lacks a column or names a scan that is not there, or a content is not a number.
    """
    import numpy as np
    import pandas as pd

    from ..errors import DataError

    try:
        table = pd.read_csv(path, dtype={"id": str})
    except (OSError, ValueError) as exc:
        raise DataError(f"{path}: missing or not a table; it lists id and contents of the scans.") from exc
    lacking = [name for name in ("id", *metabolites) if name not in table.columns]
    if lacking:
        raise DataError(f"{path} has no column {lacking[0]}; it needs id, {', '.join(metabolites)}.")
    values = table[list(metabolites)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not np.isfinite(values).all() or (values < 0).any():
        raise DataError(f"{path}: a content is empty, negative or not a number; give every one in one unit.")
    absent = [one for one in table["id"] if one not in paths]
    if absent or table["id"].duplicated().any():
        reason = f"names the scan {absent[0]}, which is not in the folder" if absent else "names a scan twice"
        raise DataError(f"{path} {reason}; correct the table.")
    return dict(zip(table["id"], values.tolist(), strict=True))
