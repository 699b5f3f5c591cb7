"""Output folders appear whole or not at all."""

import os

import pytest

from fsl_mrs_dl.errors import OutputError
from fsl_mrs_dl.folders import check_free, whole_folder


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_folder_appears_at_the_end_with_its_contents(tmp_path):
    with whole_folder(tmp_path / "new" / "out") as part:
        (part / "a.txt").write_text("1")
        (part / "link").symlink_to("../../data")
        assert not (tmp_path / "new" / "out").exists()
    assert names(tmp_path / "new") == ["out"]
    assert os.path.realpath(tmp_path / "new" / "out" / "link") == os.path.realpath(tmp_path / "data")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error), whole_folder(tmp_path / "new" / "out") as part:
        (part / "a.txt").write_text("1")
        raise error
    assert names(tmp_path) == []


def test_existing_folder_is_kept_without_overwrite(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="--overwrite"), whole_folder(tmp_path / "out"):
        pytest.fail("the block must not run")
    assert names(tmp_path) == ["out"]


def test_overwrite_replaces_on_success_and_keeps_on_error(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(out, overwrite=True):
        raise RuntimeError
    assert names(out) == ["old.txt"]
    with whole_folder(out, overwrite=True) as part:
        (part / "new.txt").write_text("new")
    assert names(out) == ["new.txt"]
    assert names(tmp_path) == ["out"]


def test_a_file_and_a_folder_under_a_file_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match=str(tmp_path)), whole_folder(path, overwrite=True):
            pytest.fail("the block must not run")


def test_the_working_folder_is_never_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (".", "..", ""):
        with pytest.raises(OutputError, match="not replaced"), whole_folder(path, overwrite=True):
            pytest.fail("the block must not run")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_parent_is_an_output_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be made"), whole_folder(tmp_path / "out"):
        pytest.fail("the block must not run")


def test_an_output_that_holds_an_input_is_refused(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.nii.gz").write_bytes(b"x")
    with pytest.raises(OutputError, match="holds the input"):
        check_free(tmp_path / "scans", True, [None, tmp_path / "scans" / "a.nii.gz"])
    assert check_free(tmp_path / "other", True, [tmp_path / "scans" / "a.nii.gz"]) == tmp_path / "other"


def test_a_disk_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No space"), whole_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert not (tmp_path / "out").exists()
