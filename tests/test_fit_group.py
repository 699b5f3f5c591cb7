"""The table of all scans, and names that do not collide."""

import pandas as pd

from fsl_mrs_dl.fit.group import unique_names, write_group
from fsl_mrs_dl.fit.quantify import Quantifier

from .test_fit_quantify import CONTENTS, scan_of


def test_names_are_unique_and_without_endings():
    assert unique_names(["a/s.nii.gz", "b/s.nii.gz", "c/t.nii", "s.nii"]) == ["s", "s_2", "t", "s_3"]
    assert unique_names(["x/a", "x/a_2", "y/a"]) == ["a", "a_2", "a_3"]


def test_a_row_for_each_scan_and_metabolite(tiny_model, tiny_basis, tmp_path):
    quantifier = Quantifier.__new__(Quantifier)
    quantifier.model, quantifier.basis, quantifier.options, quantifier._judges = tiny_model, tiny_basis, {}, {}
    result = quantifier(scan_of(tiny_basis))
    write_group(tmp_path / "group.csv", [result, result], ["one", "two"])
    table = pd.read_csv(tmp_path / "group.csv")
    assert list(table["scan"]) == ["one"] * 3 + ["two"] * 3 and set(table["model"]) == {"yae"}
    values = table[table["scan"] == "two"].set_index("metabolite")["relative_to_largest"]
    assert abs(values - pd.Series(CONTENTS, index=tiny_basis.names)).max() < 0.08
    assert table["versions"].str.contains("fsl_mrs_dl=").all()
