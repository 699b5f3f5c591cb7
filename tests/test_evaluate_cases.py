"""Scans of known contents from folders and files, and what is refused."""

import numpy as np
import pytest

from fsl_mrs_dl.errors import ConfigError, DataError
from fsl_mrs_dl.evaluate.cases import read_cases

from .test_cli_fit import write_scan
from .test_fit_quantify import fids_of
from .test_synth_store import write

from .conftest import PHANTOM


@pytest.fixture
def folder(tiny_basis, tmp_path):
    """Folder of two scans, with a truth.csv that knows more than is needed."""
    place = tmp_path / "scans"
    place.mkdir()
    for name in ("a", "b"):
        write_scan(place / f"{name}.nii.gz", fids_of(tiny_basis))
    (place / "truth.csv").write_text("id,series,matrix,NAA,Cr,order\na,s1,gel,12,8,on-off\nb,s2,gel,6,4,on-off\n")
    return place


def test_a_folder_with_columns_of_other_kinds(folder):
    cases = read_cases([folder])
    assert [(case.id, case.series) for case in cases] == [("a", "s1"), ("b", "s2")]
    assert [case.truth for case in cases] == [{"Cr": 8.0, "NAA": 12.0}, {"Cr": 4.0, "NAA": 6.0}]
    assert all(case.scan.edited for case in cases)
    assert [case.truth for case in read_cases([folder], ("GABA", "NAA"))] == [{"NAA": 12.0}, {"NAA": 6.0}]


def test_scans_without_a_series_are_never_those_of_every_series(folder):
    """The tables of a study call all scans together "all"."""
    (folder / "truth.csv").write_text("id,series,Cr\na,all,8\nb,,4\n")
    assert {case.series for case in read_cases([folder])} == {folder.name}
    (folder / "truth.csv").write_text("id,Cr\na,8\nb,4\n")
    assert {case.series for case in read_cases([folder])} == {folder.name}


def test_a_file_of_generated_scans(tiny_basis, folder, tmp_path):
    stream = write(tiny_basis, tmp_path / "set.h5", PHANTOM, number=20, batch=8)
    cases = read_cases([folder, tmp_path / "set.h5"], number=10)
    assert [case.id for case in cases] == ["a", "b", *(f"scan_{index:05d}" for index in range(10))]
    batch, case = stream[1], cases[2 + 9]
    assert case.series == "phantom" and case.scan.centre_hz == tiny_basis.centre_hz
    np.testing.assert_array_equal(case.scan.fids, batch.measured[1].numpy())
    np.testing.assert_allclose([case.truth[name] for name in tiny_basis.names], batch.draw.concentrations[1])
    # Only whole batches are kept as scans.
    assert len(read_cases([tmp_path / "set.h5"])) == 16


def test_ids_of_two_folders_are_told_apart(folder, tmp_path):
    folder.rename(tmp_path / "one")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    both = [case.id for case in read_cases([tmp_path / "one", tmp_path / "two"])]
    assert both == ["one/a", "one/b", "two/a", "two/b"]
    with pytest.raises(DataError, match="one/a is there twice"):
        read_cases([tmp_path / "one", tmp_path / "one"])


@pytest.mark.parametrize(
    "table, word",
    [
        ("id,series,Kr\na,s1,8\n", "no metabolite"),
        ("scan,series,Cr\na,s1,8\n", "no column id"),
        ("id,series,Cr\na,s1,eight\n", "not a number"),
        ("id,series,Cr\na,s1,-1\n", "negative"),
        ("id,series,Cr\n,s1,1\n", "no id"),
        ("id,series,Cr\nc,s1,1\n", "no c.nii.gz"),
        ("", "truth.csv"),
    ],
)
def test_tables_that_are_refused(folder, table, word):
    (folder / "truth.csv").write_text(table)
    with pytest.raises(DataError, match=word):
        read_cases([folder])


def test_paths_that_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="truth.csv"):
        read_cases([tmp_path / "nowhere"])
    (tmp_path / "set.h5").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="set.h5"):
        read_cases([tmp_path / "set.h5"])
