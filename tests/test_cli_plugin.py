"""fsl_mrs_dl plugin enable, disable, status."""

import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.fslmrs import start_line

PACKAGE_FOLDER = Path(start_line.__file__).parents[2]


@pytest.fixture
def site_folder(tmp_path, monkeypatch):
    """A folder that stands for site-packages."""
    monkeypatch.setattr(start_line, "folders", lambda: [tmp_path])
    monkeypatch.setattr(start_line, "_CHECK", "")
    return tmp_path


def test_enable_status_disable(site_folder, capsys):
    file = site_folder / start_line.FILE
    for action, there, said in (
        ("status", False, "start-up hook: off"),
        ("enable", True, f"start-up hook: on ({file})"),
        ("enable", True, "start-up hook: on"),
        ("status", True, "start-up hook: on"),
        ("disable", False, f"removed {file}"),
        ("disable", False, "start-up hook: off"),
    ):
        assert main(["plugin", action]) == 0
        assert file.exists() == there and said in capsys.readouterr().out


def test_status_says_whether_the_host_is_there(site_folder, capsys, monkeypatch):
    monkeypatch.setattr(start_line.importlib.util, "find_spec", lambda name: None)
    main(["plugin", "status"])
    assert "FSL-MRS: cannot be imported" in capsys.readouterr().out
    monkeypatch.setattr(start_line.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(metadata, "version", lambda name: "2.4.11")
    main(["plugin", "status"])
    assert "FSL-MRS: 2.4.11" in capsys.readouterr().out


def test_a_line_that_does_nothing_is_taken_back(site_folder, capsys, monkeypatch):
    monkeypatch.setattr(start_line, "_CHECK", "import sys; sys.exit(1)")
    assert main(["plugin", "enable"]) == 2
    assert "pip install fsl_mrs_dl" in capsys.readouterr().err
    assert not (site_folder / start_line.FILE).exists()


def test_no_folder_to_write(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(start_line, "folders", lambda: [tmp_path / "file" / "site-packages"])
    assert main(["plugin", "enable"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_file_is_entered_among_those_of_the_distribution(site_folder, monkeypatch):
    folder = site_folder / "fsl_mrs_dl-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: fsl_mrs_dl\nVersion: 1\n")
    before = "fsl_mrs_dl/__init__.py,,\nfsl_mrs_dl-1.dist-info/RECORD,,\n"
    (folder / "RECORD").write_text(before)
    monkeypatch.setattr(metadata, "distribution", lambda name: metadata.PathDistribution(folder))
    for _ in range(2):
        main(["plugin", "enable"])
        assert (folder / "RECORD").read_text() == f"{before}{start_line.FILE},,\n"
    main(["plugin", "disable"])
    assert (folder / "RECORD").read_text() == before


def test_enabled_in_a_real_environment(tmp_path):
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    packages = [path for path in sys.path if path.endswith("site-packages")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE_FOLDER), *packages])}

    def run(*words):
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": True}
        return subprocess.run([python, *words], **options).stdout

    probe = ("-c", "import sys; print(any(type(one).__name__ == 'Watch' for one in sys.meta_path))")
    assert run(*probe) == "False\n"
    assert "start-up hook: on" in run("-m", "fsl_mrs_dl.cli.main", "plugin", "enable")
    assert run(*probe) == "True\n"
    assert "start-up hook: off" in run("-m", "fsl_mrs_dl.cli.main", "plugin", "disable")
    assert run(*probe) == "False\n"
