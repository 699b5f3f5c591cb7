"""Which model fits a basis set: by its name, its folder, or the fingerprint of the basis set."""

import os
import threading
from pathlib import Path

from ..config import read_json
from ..errors import ConfigError, ModelError
from ..fit.predict import check_basis_fits
from ..model.checkpoint import SHIPPED, load_model

VARIABLE = "FSL_MRS_DL_MODELS"
"""Environment variable: folders of models, or folders that hold such, separated as in PATH."""

_LOCK = threading.Lock()
_LOADED = {}


def model_folders():
    """Paths of all known models: those of the environment variable, then those that come with the package.

    Raises:
        ConfigError: the variable names something that is not a folder.
    """
    roots = [Path(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    for root in roots:
        if not root.is_dir():
            raise ConfigError(f"{VARIABLE} names folders of models, but {root} is none: correct it or unset it.")
    folders = []
    for root in (*roots, SHIPPED):
        is_model = (root / "config.json").is_file()
        folders += [root] if is_model else sorted(path.parent for path in root.glob("*/config.json"))
    return folders


def choose_model(name, basis, ignored=()):
    """The model to fit one spectrum with, loaded once per process.

    Args:
        name: of a known model, or its folder; None to take the first one that was trained with the basis set.
        basis: BasisSet of one spectrum.
        ignored: metabolites that were left out of the basis set, for the message.

    Returns:
        TrainedModel.

    Raises:
        ModelError: no model fits, or the named one does not.
    """
    folders = model_folders()
    if name is None:
        fingerprint = basis.fingerprint()
        folder = next((one for one in folders if _trained_with(one) == fingerprint), None)
        if folder is None:
            raise ModelError(_none_fits(basis, folders, ignored))
    else:
        folder = next((one for one in folders if one.name == name), Path(name))
        if not folder.is_dir():
            names = ", ".join(one.name for one in folders) or "none is known"
            raise ModelError(
                f"There is no model {name!r}: give dl:FOLDER, or one of the known models ({names}); {VARIABLE} names "
                "folders with more."
            )
    model = _load(folder)
    if model.config.conditions != basis.conditions:
        raise ModelError(
            f"The model {model.name} takes {' and '.join(model.config.conditions)} of a scan together, FSL-MRS fits "
            "one spectrum: run fsl_mrs_dl fit on both, or take a model of one spectrum."
        )
    if ignored and set(model.config.metabolites) != set(basis.names):
        raise ModelError(_none_fits(basis, [folder], ignored))
    check_basis_fits(model, basis)
    return model


def _load(folder):
    """TrainedModel of a folder, loaded anew only when its weights changed."""
    weights = folder / "weights.safetensors"
    key = (str(folder.resolve()), weights.stat().st_mtime_ns if weights.is_file() else None)
    with _LOCK:
        if key not in _LOADED:
            _LOADED[key] = load_model(folder)
        return _LOADED[key]


def _description(folder):
    """The part 'model' of a folder's configuration, {} where it is of something else."""
    values = read_json(folder / "config.json", "a model's configuration", ModelError)
    model = values.get("model") if isinstance(values, dict) else None
    return model if isinstance(model, dict) else {}


def _trained_with(folder):
    """Fingerprint of the basis set of a model, None for a folder of something else."""
    return _description(folder).get("basis_fingerprint")


def _none_fits(basis, folders, ignored):
    """What to say when no model was trained with a basis set: what is closest, and how to train one."""
    closest = []
    for folder in folders:
        description = _description(folder)
        names = set(description.get("metabolites", ()))
        if tuple(description.get("conditions", ())) != basis.conditions or not names & set(basis.names):
            continue
        lacking, foreign = sorted(set(basis.names) - names), sorted(names - set(basis.names))
        if not lacking and not foreign:
            closest.append(f"{folder.name} has these metabolites, but was trained with other spectra of them")
        else:
            closest.append(
                f"{folder.name} lacks {', '.join(lacking) or 'none of them'}"
                + (f" and has {', '.join(foreign)} besides" if foreign else "")
            )
    known = f" Of the known models, {'; '.join(closest)}." if closest else ""
    if ignored:
        return (
            "A network fits the metabolites that it was trained with, and none was with "
            f"{', '.join(basis.names)} alone (keep and ignore leave out {', '.join(ignored)}).{known} "
            "Drop --keep and --ignore, or make a basis folder of the .json files of these metabolites (basis_tools "
            "convert BASIS FOLDER makes such files), then "
            "'fsl_mrs_dl train --basis FOLDER --output MODEL' and fit with --basis FOLDER --algo dl:MODEL."
        )
    return (
        f"No model was trained with this basis set of {', '.join(basis.names)}, fingerprint "
        f"{basis.fingerprint()[:12]}.{known} Train one on the basis set of the fit, with "
        f"'fsl_mrs_dl train --basis BASIS --output MODEL', and fit with --algo dl:MODEL (in fsl_mrs_dl fit: --model "
        f"MODEL), or name its folder in {VARIABLE}."
    )
