"""The command that times imaging."""

import csv

from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.evaluate import imaging_speed, scan_speed
from fsl_mrs_dl.fslmrs import start_line


def test_a_table_and_a_file_of_both_programs(tmp_path, monkeypatch, capsys):
    def timer(words):  # Newton takes a hundred times as long a voxel
        few = words[words.index("--mask") + 1].endswith("few.nii.gz")
        voxels, slow = 2 if few else 12, "fsl_mrs.scripts.fsl_mrsi" in words
        return 2 + voxels * (1.0 if slow else 0.01), 1 + voxels * (2.0 if slow else 0.01)

    monkeypatch.setattr(imaging_speed, "time_command", timer)
    monkeypatch.setattr(start_line, "host_version", lambda: "2.4.11")
    words = ["benchmark", "--voxels", "4", "3", "--serial", "--output", str(tmp_path / "times.csv")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.count("fits 100 times the voxels per second of fsl_mrsi (Newton)") == 4
    assert printed.count("(200 times by processor time); 7 times with the start") == 4
    assert "| fsl_mrs_dl | 2.12 |" in printed
    with (tmp_path / "times.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["voxels"] for row in rows] == ["12"] * 4 and float(rows[2]["wall_s"]) == 14.0
    monkeypatch.setattr(start_line, "host_version", lambda: None)
    assert main(["benchmark", "--voxels", "4", "3"]) == 0
    assert "nothing to compare with" in capsys.readouterr().out


def test_scans_of_single_voxels_are_timed_beside_newton(tmp_path, monkeypatch, capsys):
    asked = []

    def newton_speed(scans, number, fit, version):
        asked.append((len(scans.fids), number))
        return scan_speed.ScanSpeed("FSL-MRS Newton, edit-off", number, 3.0, 1.5, 1e6, 0.01)

    monkeypatch.setattr("fsl_mrs_dl.fslmrs.newton.newton_version", lambda ppm_range: "none")
    monkeypatch.setattr(scan_speed, "newton_speed", newton_speed)
    monkeypatch.setattr(start_line, "host_version", lambda: "2.4.11")
    words = ["benchmark", "--scans", "3", "--recipe", "clean", "--refine", "0", "--output", str(tmp_path / "times.csv")]
    assert main(words) == 0 and asked == [(3, 3)]
    printed = capsys.readouterr().out
    assert "| 3 scans of recipe clean | fitted |" in printed and "\n| hybrid | 3 |" in printed
    assert "| FSL-MRS Newton, edit-off | 3 | 3 | 1 | 1.5 | 1e+06 | 0.01 |" in printed
    with (tmp_path / "times.csv").open() as file:
        ours, newton = csv.DictReader(file)
    assert f"takes {1e6 / float(ours['median_ms']):.0f} times that of hybrid" in printed
    assert float(newton["wall_s"]) == 3.0 and float(ours["error"]) < 0.05
    monkeypatch.setattr(start_line, "host_version", lambda: None)
    assert main(words[:3]) == 0
    assert "nothing to compare with" in capsys.readouterr().out
    assert main([*words[:3], "--output", str(tmp_path / "none" / "times.csv")]) == 2
    assert "times.csv cannot be written (No such file" in capsys.readouterr().err


def test_numbers_that_make_no_grid_are_refused(capsys):
    for words in (
        ["--voxels", "0"],
        ["--repeats", "0"],
        ["--data", "x.nii.gz"],
        ["--scans", "0"],
        ["--scans", "9", "--newton", "0"],
    ):
        assert main(["benchmark", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_options_that_would_not_be_used_are_refused(capsys):
    for words, said in (
        (["--scans", "9", "--repeats", "2"], "Leave --repeats or --scans out"),
        (["--scans", "9", "--serial", "--data", "x", "--mask", "m"], "Leave --data, --mask, --serial or --scans out"),
        (["--refine", "2"], "--refine would not be used without --scans N"),
        (["--data", "x.nii.gz", "--mask", "m.nii.gz", "--voxels", "4"], "Leave --voxels or --data out"),
    ):
        assert main(["benchmark", *words]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
