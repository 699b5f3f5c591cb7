"""Training scans as NIfTI-MRS files with a table of their contents."""

import json
from pathlib import Path

import pandas as pd
from nifti_mrs.create_nmrs import gen_nifti_mrs

from ..config import to_dict
from .dataset import GRID_DWELL_S
from .preview import first_scans

LABELS = {"edit_off": "OFF", "edit_on": "ON"}


def write_nifti(stream, basis, number, folder):
    """Write the first scans of a stream, truth.csv and recipe.json into a folder.

    truth.csv has the columns id, series and one a metabolite, as `evaluate --scans` reads it;
    concentrations are on the basis set's scale. parameters.csv has what else was drawn for each scan.

    Args:
        stream: dataset.Stream.
        basis: BasisSet that it was made with.
        number: scans to write.
        folder: exists.
    """
    folder = Path(folder)
    truth, parameters = [], []
    for index, fids, drawn in first_scans(stream, number):
        name = f"scan_{index:05d}"
        _image(fids["scan"].numpy(), basis).save(folder / f"{name}.nii.gz")
        contents = drawn.pop("concentrations").tolist()
        truth.append({"id": name, "series": stream.recipe.name, **dict(zip(basis.names, contents, strict=True))})
        parameters.append({"id": name, **{key: json.dumps(values.tolist()) for key, values in drawn.items()}})
    pd.DataFrame(truth).to_csv(folder / "truth.csv", index=False)
    pd.DataFrame(parameters).to_csv(folder / "parameters.csv", index=False)
    (folder / "recipe.json").write_text(json.dumps(to_dict(stream.recipe), indent=1) + "\n", encoding="utf-8")


def _image(fids, basis):
    """NIFTI_MRS object of (condition, point) FIDs in memory orientation, which it conjugates when it saves."""
    edited = len(basis.conditions) == 2
    tags = ["DIM_EDIT" if edited else None, None, None]
    data = fids.T[None, None, None] if edited else fids[0][None, None, None]
    image = gen_nifti_mrs(data, GRID_DWELL_S, basis.centre_hz * 1e-6, basis.nucleus, dim_tags=tags)
    if edited:
        image.set_dim_tag("DIM_EDIT", "DIM_EDIT", header={"EditCondition": [LABELS[name] for name in basis.conditions]})
    return image
