"""fsl_mrs_dl simulate: the folders that it writes, by their values, and the input that it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fsl_mrs_dl.axes import fid_to_spectrum, ppm_axis
from fsl_mrs_dl.basis.basis_set import check_basis, read_basis, shipped_basis
from fsl_mrs_dl.basis.builders import megapress_pair
from fsl_mrs_dl.basis.pulses import ideal
from fsl_mrs_dl.basis.sequence import read_sequence
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.errors import ConfigError

SMALL = ["--resolution", "2", "--points", "1024", "--linewidth", "2"]


def simulate(output, *options, sequence=("megapress",), names=("NAA", "Cr"), small=True):
    """Exit code of the command with a quick simulation."""
    receiver = SMALL if small else []
    words = ["simulate", "--sequence", *sequence, "--metabolites", *names, "--output", output, *receiver, *options]
    return main([str(word) for word in words])


def peak_ppm(basis, condition, name):
    magnitude = np.abs(fid_to_spectrum(basis.spectrum(condition)[basis.names.index(name)]))
    return ppm_axis(basis.points, basis.dwell_s, basis.centre_hz)[np.argmax(magnitude)]


@pytest.fixture(scope="module")
def megapress(tmp_path_factory):
    """Folder of a small MEGA-PRESS set with a report."""
    output = tmp_path_factory.mktemp("simulate") / "basis"
    assert simulate(output, "--te", "70", "--b0", "2.9", "--edit_on", "1.95", "--report") == 0
    return output


def test_megapress_makes_a_plausible_edited_set(megapress):
    basis = read_basis(megapress)
    check_basis(basis)
    assert basis.conditions == ("edit_off", "edit_on")
    assert basis.names == ("Cr", "NAA")
    assert (basis.points, basis.dwell_s, basis.linewidth_hz) == (1024, 5e-4, 2.0)
    assert basis.centre_hz == pytest.approx(2.9 * 42.577478518e6)
    assert peak_ppm(basis, "edit_off", "NAA") == pytest.approx(2.01, abs=0.02)
    assert peak_ppm(basis, "edit_on", "Cr") == pytest.approx(3.03, abs=0.02)


def test_folders_hold_off_on_and_their_difference(megapress):
    parts = {name: read_basis(megapress / name).fids[0] for name in ("off", "on", "diff")}
    np.testing.assert_allclose(parts["diff"], parts["on"] - parts["off"], atol=1e-6)
    assert sorted(path.name for path in megapress.iterdir()) == [
        "basis_1.png", "diff", "off", "on", "sequence_off.json", "sequence_on.json",
    ]  # fmt: skip


def test_options_reach_the_sequence(megapress):
    off, on = (read_sequence(megapress / f"sequence_{name}.json") for name in ("off", "on"))
    assert on.duration_s == pytest.approx(0.070, abs=1e-6)
    offsets = [sequence.blocks[2].frequency_offset_hz / sequence.centre_hz * 1e6 + 4.65 for sequence in (off, on)]
    assert offsets == pytest.approx([7.4, 1.95])
    assert on.resolution == (2, 2, 1)


def test_sequence_files_make_the_same_set(megapress, tmp_path):
    files = [megapress / "sequence_off.json", megapress / "sequence_on.json"]
    assert simulate(tmp_path / "again", sequence=files, small=False) == 0
    assert read_basis(tmp_path / "again").fingerprint() == read_basis(megapress).fingerprint()


def test_a_basis_file_holds_its_sequence(megapress):
    content = json.loads((megapress / "on" / "NAA.json").read_text())
    assert content["seq"] == json.loads((megapress / "sequence_on.json").read_text())


@pytest.mark.parametrize(("sequence", "options"), [("press", ["--te", "35"]), ("steam", ["--te", "20", "--tm", "10"])])
def test_single_sequences_make_one_folder(tmp_path, sequence, options):
    assert simulate(tmp_path / "out", *options, sequence=[sequence]) == 0
    basis = read_basis(tmp_path / "out")
    check_basis(basis)
    assert basis.conditions == ("single",)
    assert peak_ppm(basis, "single", "NAA") == pytest.approx(2.01, abs=0.02)
    assert read_sequence(tmp_path / "out" / "sequence" / "sequence.json").name == sequence


def test_pool_is_written_beside_the_set_and_repeats_with_its_seed(tmp_path):
    from fsl_mrs_dl.basis.pool import read_pool

    for output, seed in (("a", 5), ("b", 5), ("c", 6)):
        options = ["--pool", 2, "--seed", seed, "--edit_on", 1.95]
        assert simulate(tmp_path / output, *options, names=["Cr"]) == 0
    one, same, other = (read_pool(tmp_path / output / "pool.h5") for output in "abc")
    assert (len(one), one.names, one.points, one.linewidth_hz) == (2, ("Cr",), 1024, 2.0)
    assert one.priors.edit_on_ppm == pytest.approx((1.86, 2.04))
    np.testing.assert_array_equal(one.fids, same.fids)
    assert np.abs(one.fids - other.fids).max() > 1e-3


def test_a_pool_takes_the_ranges_of_a_file(tmp_path, capsys):
    from fsl_mrs_dl.basis.pool import read_pool

    ranges = tmp_path / "ranges.json"
    ranges.write_text('{"b1_scale": [0.95, 1.05], "calibration": [1, 1]}')
    assert simulate(tmp_path / "out", "--pool", 3, "--pool_ranges", ranges, names=["Cr"]) == 0
    pool = read_pool(tmp_path / "out" / "pool.h5")
    assert pool.priors.b1_scale == (0.95, 1.05)
    assert np.abs(pool.parameters["b1_scale"] - 1).max() <= 0.05
    assert simulate(tmp_path / "none", "--pool_ranges", ranges, names=["Cr"]) == 2
    assert "give --pool N too" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_the_device_is_chosen_where_it_is_asked_for():
    import torch

    from fsl_mrs_dl.cli.simulate import _device

    there = torch.cuda.is_available()
    assert (_device("auto"), _device("cpu")) == ("cuda" if there else "cpu", "cpu")
    if not there:
        with pytest.raises(ConfigError, match="gpu is none"):
            _device("gpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ("NAA", "Unobtainium")}, "Unobtainium"),
        ({"sequence": ("nothing.json",), "small": False}, "nothing.json"),
        ({"sequence": ("press", "steam")}, "one of"),
        ({"sequence": ("a", "b", "c"), "small": False}, "not 3"),
        ({"sequence": ("press",), "more": ("--edit_on", "1.9")}, "no --edit_on"),
        ({"sequence": ("press",), "more": ("--pool", "2")}, "--pool"),
        ({"more": ("--pool", "0")}, "--pool"),
        ({"more": ("--te", "20")}, "longer echo time"),
        ({"more": ("--device", "abacus")}, "--device"),
        ({"more": ("--device", "cuda:99")}, "--device"),
        ({"more": ("--device", "meta")}, "--device"),
        ({"more": ("--points", "0")}, "Points"),
        ({"more": ("--resolution", "0")}, "positions"),
        ({"more": ("--b0", "nan")}, "--b0"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_no_folder(tmp_path, capsys, options, message):
    more = options.pop("more", ())
    assert simulate(tmp_path / "out", *more, **options) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("fsl_mrs_dl simulate: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_sequence_file_are_not_overridden(megapress, tmp_path, capsys):
    assert simulate(tmp_path / "out", sequence=[megapress / "sequence_off.json"]) == 2
    assert "--resolution" in capsys.readouterr().err


def test_existing_output_needs_overwrite(megapress, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert simulate(tmp_path / "out") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert simulate(tmp_path / "out", "--overwrite", sequence=["press"], names=["Cr"]) == 0
    assert read_basis(tmp_path / "out").names == ("Cr",)


def test_shipped_set_is_what_its_readme_says():
    basis = read_basis(shipped_basis())
    check_basis(basis)
    assert basis.names == ("Cr", "GABA", "Gln", "Glu", "NAA")
    assert (basis.points, basis.dwell_s, basis.linewidth_hz) == (4096, 5e-4, 1.0)
    assert basis.centre_hz == pytest.approx(123.2e6, abs=10)
    assert read_sequence(shipped_basis() / "sequence_on.json").duration_s == pytest.approx(0.068, abs=1e-6)


def test_shipped_set_comes_from_its_sequence_descriptions(tmp_path):
    files = [shipped_basis() / "sequence_off.json", shipped_basis() / "sequence_on.json"]
    assert simulate(tmp_path / "out", sequence=files, names=["NAA"], small=False) == 0
    shipped = read_basis(shipped_basis()).keep(["NAA"]).fids
    np.testing.assert_allclose(read_basis(tmp_path / "out").fids, shipped, atol=1e-5 * np.abs(shipped).max())


@pytest.mark.with_fsl_mrs
def test_fsl_mrs_reads_the_shipped_set_with_lines_in_place():
    mrs_io = pytest.importorskip("fsl_mrs.utils.mrs_io")
    basis = read_basis(shipped_basis())
    for folder, condition in (("off", "edit_off"), ("on", "edit_on"), ("diff", "difference")):
        host = mrs_io.read_basis(shipped_basis() / folder)
        assert tuple(host.names) == basis.names
        np.testing.assert_allclose(host.original_basis_array.T, basis.spectrum(condition), atol=1e-6)
        # The host resamples the set to scans of another bandwidth; lines must stay in place.
        wide = host.get_formatted_basis(4000, 4096)[:, basis.names.index("Cr")]
        if folder != "diff":
            shown = ppm_axis(4096, 2.5e-4, basis.centre_hz)[np.argmax(np.abs(fid_to_spectrum(wide)))]
            assert shown == pytest.approx(3.03, abs=0.01)


def test_a_phase_cycle_is_not_for_the_simulator_of_fsl_mrs():
    from fsl_mrs_dl.cli.simulate import _check_for_fsl

    plain = megapress_pair(positions=2)
    _check_for_fsl(plain)
    blocks = (replace(plain[0].blocks[0], cycle=((0.0, 1.0),)), *plain[0].blocks[1:])
    with pytest.raises(ConfigError, match="PhaseCycle"):
        _check_for_fsl([replace(plain[0], blocks=blocks)])
    blocks = (*plain[0].blocks[:2], replace(plain[0].blocks[2], pulse=ideal(np.pi, band_hz=60.0)))
    with pytest.raises(ConfigError, match="band of a pulse"):
        _check_for_fsl([replace(plain[0], blocks=blocks)])
