"""Files in a model's folder that hold for its weights alone: error bars, typical errors, a scanner's correction."""

import json
from dataclasses import asdict, replace

from ..config import from_dict, read_json
from ..errors import ConfigError, ModelError
from ..folders import write_whole

WAY_OUT = "Copy the model folder anew, or make it anew with fsl_mrs_dl calibrate."
"""What to do about a file that is damaged or of another model."""


def read_for_weights(cls, path, what, weights_sha256, way_out=WAY_OUT):
    """What a file beside a model's weights holds.

    Args:
        cls: dataclass of it, with a field `weights_sha256`.
        path: Path of the file.
        what: it is, in words.
        weights_sha256: of the model's weights' file.
        way_out: what to do about a file that is unusable.

    Returns:
        A `cls`.

    Raises:
        ModelError: the file holds nothing of the kind, or belongs to other weights.
    """
    values = read_json(path, f"a model's {what}", ModelError)
    try:
        found = from_dict(cls, values, what)
    except ConfigError as exc:
        raise ModelError(f"{path}: {exc} {way_out}") from exc
    if found.weights_sha256 != weights_sha256:
        raise ModelError(f"{path}: it is of other weights ({found.weights_sha256[:12]}) than the model's. {way_out}")
    return found


def check_metabolites(found, metabolites, path, way_out=WAY_OUT):
    """Refuse what was read of a file if it is of other metabolites than a model's; ModelError."""
    if found.metabolites != tuple(metabolites):
        names = ", ".join(found.metabolites)[:200]
        raise ModelError(f"{path}: it is for {names}, not for the model's metabolites. {way_out}")


def write_for_weights(path, found, weights_sha256):
    """Write such a file of the weights with that hash, whole or not at all."""
    values = asdict(replace(found, weights_sha256=weights_sha256))
    write_whole(path, json.dumps(values) + "\n")
