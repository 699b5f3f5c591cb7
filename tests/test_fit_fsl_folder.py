import csv
import json

import nibabel
import numpy as np
import pytest
from .fit_examples import (
    MODEL,
    NAMES,
    example_basis,
    example_prediction,
    example_scan,
    lines_fid,
    single_basis,
)

from fsl_mrs_dl.basis.basis_set import BasisSet, read_basis, write_basis
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.fit.fsl_folder import FolderContent, default_reference
from fsl_mrs_dl.fit.fsl_tables import percent_sd, summed
from fsl_mrs_dl.fit.result import make_result

FILES = {
    "all_parameters.csv", "basis", "concentrations.csv", "data.nii.gz", "fit.nii.gz", "fit_summary.png", "options.txt",
    "qc.csv", "summary.csv",
}  # fmt: skip

FSL_OPTIONS = (
    "data basis output algo ignore keep combine ppmlim h2o baseline baseline_order metab_groups lorentzian free_shift "
    "ind_scale disable_MH_priors mh_samples t1 TE TR tissue_frac t1_values t2_values internal_ref wref_metabolite "
    "ref_protons ref_int_limits h2o_scale report verbose overwrite conjfid conjbasis no_rescale export_baseline "
    "export_no_baseline export_separate filename config"
).split()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A result, and the folder it was saved in; the basis lies beside it."""
    folder = tmp_path_factory.mktemp("saved")
    write_basis(example_basis(), folder / "basis")
    basis = read_basis(folder / "basis")
    prediction = example_prediction()
    result = make_result(example_scan(basis, prediction, noise=0.3), basis, prediction, MODEL)
    return result, result.save(folder / "results" / "s1")


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def save_with(tmp_path, basis, **options):
    """Folder of a result of a scan made from a basis."""
    prediction = example_prediction()
    grid = {key: options.pop(key) for key in ("dwell_s", "points") if key in options}
    scan = example_scan(basis, prediction, 0.3, **grid)
    return make_result(scan, basis, prediction, MODEL, **options).save(tmp_path / "out")


@pytest.mark.parametrize("key", ["off", "diff"])
def test_folder_holds_the_files_of_fsl_mrs(saved, key):
    _, folder = saved
    assert {path.name for path in (folder / key).iterdir()} == FILES
    modes = {path.stat().st_mode for path in (folder / key).iterdir() if path.is_file()}
    assert len(modes) == 1


def test_tables_have_the_columns_rows_and_values(saved):
    result, folder = saved
    fit, quality = result.fits["off"], result.qualities["off"]
    concentrations = table(folder / "off" / "concentrations.csv")
    assert concentrations[:2] == [["Metabs", "mean", "mean", "std", "std"], ["", "raw", "internal", "raw", "internal"]]
    assert [row[0] for row in concentrations[2:]] == sorted(NAMES)
    np.testing.assert_array_equal([float(row[1]) for row in concentrations[2:]], fit.concentrations)
    creatine = fit.concentrations[fit.names.index("Cr")]
    np.testing.assert_allclose([float(row[2]) for row in concentrations[2:]], fit.concentrations / creatine)

    summary = table(folder / "off" / "summary.csv")
    assert summary[0] == ["Metab", "/Cr", "/Cr CRLB", "%CRLB", "SNR", "FWHM"]
    percent = [float(row[3]) for row in summary[1:]]
    np.testing.assert_allclose(percent, 100 * fit.sds[: len(NAMES)] / fit.concentrations)
    assert table(folder / "off" / "qc.csv")[1] == ["Cr", repr(float(quality.snr[0])), repr(float(quality.fwhm_hz[0]))]

    parameters = table(folder / "off" / "all_parameters.csv")
    expected = [*sorted(NAMES), "gamma_0", "sigma_0", "eps_0", "Phi0", "Phi1"]
    expected += ["B_real_0", "B_imag_0", "B_real_1", "B_imag_1", "B_real_2", "B_imag_2"]
    assert [row[0] for row in parameters] == ["parameter", *expected]
    np.testing.assert_array_equal([float(row[1]) for row in parameters[1:]], fit.parameters)


def test_difference_refers_to_what_it_shows(saved):
    result, folder = saved
    assert default_reference(result.fits["diff"]) == ("NAA",)
    summary = {row[0]: row[1:] for row in table(folder / "diff" / "summary.csv")}
    assert summary["Metab"][0] == "/NAA"
    assert float(summary["NAA"][0]) == pytest.approx(1)
    # Creatine keeps the value of the joint fit, marked as undetermined by this spectrum.
    assert summary["Cr"][2:] == ["999.0", "0.0", "0.0"]
    assert json.loads((folder / "diff" / "options.txt").read_text().splitlines()[0])["internal_ref"] == ["NAA"]


def test_options_name_everything_and_the_model(saved):
    _, folder = saved
    lines = (folder / "off" / "options.txt").read_text().splitlines()
    options = json.loads(lines[0])
    assert list(options)[: len(FSL_OPTIONS)] == FSL_OPTIONS
    assert lines[1] == "--------"
    assert options["algo"] == "dl" and options["dl_model"] == "tiny" and options["dl_weights_sha256"] == "ab" * 32
    assert options["dl_versions"]["torch"] and len(options["dl_basis_fingerprint"]) == 64
    assert options["internal_ref"] == ["Cr"] and options["keep"] is None and options["ppmlim"] is None


@pytest.mark.parametrize("key", ["off", "diff"])
def test_files_hold_data_and_fit_in_disk_orientation(saved, key):
    result, folder = saved
    fit = result.fits[key]
    for name, expected in (("data", fit.data), ("fit", fit.predicted)):
        image = nibabel.load(folder / key / f"{name}.nii.gz")
        assert image.shape == (1, 1, 1, 2048) and image.header["sizeof_hdr"] == 540
        stored = np.asarray(image.dataobj).ravel()
        np.testing.assert_allclose(stored, np.conj(expected))
        header = json.loads(image.header.extensions[0].get_content())
        assert header["SpectrometerFrequency"] == [pytest.approx(123.2)] and header["ResonantNucleus"] == ["1H"]
        assert set(header) == {"SpectrometerFrequency", "ResonantNucleus"} | ({"EchoTime"} if name == "data" else set())


def test_naa_of_the_file_stands_at_its_ppm_by_the_rule_of_the_format(saved):
    """On disk, chemical shift falls with the frequency of the stored FID's ordinary Fourier transform."""
    _, folder = saved
    # NAA has the highest line of the difference.
    stored = np.asarray(nibabel.load(folder / "diff" / "data.nii.gz").dataobj).ravel()
    frequency = np.fft.fftfreq(stored.size, 1 / 2000)[np.argmax(np.abs(np.fft.fft(stored)))]
    # The example stands 4 Hz above the basis.
    assert 4.65 - frequency / 123.2 == pytest.approx(2.01 + 4 / 123.2, abs=0.01)


@pytest.mark.parametrize(("key", "source"), [("off", "off"), ("diff", "diff")])
def test_basis_is_a_relative_link(saved, key, source):
    _, folder = saved
    link = folder / key / "basis"
    assert link.is_symlink() and not link.readlink().is_absolute()
    assert link.resolve() == (folder.parents[1] / "basis" / source).resolve()


def test_basis_that_was_not_read_is_written(tmp_path):
    folder = save_with(tmp_path, example_basis())
    expected = example_basis().resample(1 / 2000, 2048).spectrum("difference")
    assert not (folder / "diff" / "basis").is_symlink()
    for name, fid in zip(NAMES, expected):
        stored = json.loads((folder / "diff" / "basis" / f"{name}.json").read_text())["basis"]
        np.testing.assert_allclose(np.array(stored["basis_re"]) - 1j * np.array(stored["basis_im"]), fid, atol=1e-5)


def test_basis_on_a_grid_that_fsl_mrs_rounds_is_written(tmp_path):
    write_basis(example_basis(8192, 1 / 5000), tmp_path / "basis")
    folder = save_with(tmp_path, read_basis(tmp_path / "basis"), dwell_s=1 / 2000)
    written = read_basis(folder / "off" / "basis")
    assert (written.points, written.dwell_s) == (2048, 1 / 2000)


def test_larger_basis_is_linked_and_what_was_fitted_is_kept(tmp_path):
    basis = single_basis()
    more = BasisSet(
        np.concatenate([basis.fids, [[lines_fid([(3.2, 9.0)], 4096, 1 / 2000)]]], 1), ("single",), (*NAMES, "PCh"),
        basis.dwell_s, basis.centre_hz, basis.linewidth_hz,
    )  # fmt: skip
    write_basis(more, tmp_path / "basis")
    prediction = example_prediction()
    result = make_result(example_scan(basis, prediction, 0.3), read_basis(tmp_path / "basis"), prediction, MODEL)
    folder = result.save(tmp_path / "out")
    assert (folder / "single" / "basis").is_symlink()
    assert json.loads((folder / "single" / "options.txt").read_text().splitlines()[0])["keep"] == sorted(NAMES)


def test_sums_come_after_the_basis_and_have_no_quality(tmp_path):
    folder = save_with(tmp_path, example_basis(), combine=[("NAA", "Glu")], internal_ref=("NAA", "Glu"))
    concentrations = table(folder / "off" / "concentrations.csv")
    assert [row[0] for row in concentrations[2:]] == [*sorted(NAMES), "NAA+Glu"]
    assert float(concentrations[-1][2]) == pytest.approx(1)
    rows = {row[0]: row for row in table(folder / "off" / "summary.csv")}
    assert rows["NAA+Glu"][-2:] == ["", ""]
    assert rows["Metab"][1] == "/NAA+Glu"
    assert list(rows)[1:] == sorted([*NAMES, "NAA+Glu"])


def test_creatines_are_added_by_themselves(tmp_path):
    """As FSL-MRS does where both are there, and they are its default reference."""
    names = ("Cr", "GABA", "NAA", "PCr")
    basis = example_basis()
    renamed = BasisSet(basis.fids, basis.conditions, ("NAA", "Cr", "GABA", "PCr"), basis.dwell_s, basis.centre_hz, 2.0)
    prediction = example_prediction()
    scan = example_scan(basis, prediction, 0.3)
    changed = type(prediction)(renamed.names, prediction.concentrations, 3.0, 2.0, 4.0, 0.3)
    folder = make_result(scan, renamed, changed, MODEL).save(tmp_path / "out")
    assert [row[0] for row in table(folder / "off" / "concentrations.csv")[2:]] == [*names, "Cr+PCr"]
    assert table(folder / "off" / "summary.csv")[0][1] == "/Cr+PCr"


def test_sum_counts_covariances(saved):
    fit = saved[0].fits["off"]
    first, second = fit.names.index("GABA"), fit.names.index("Glu")
    value, sd = summed(fit, ("Glu", "GABA"))
    assert value == pytest.approx(fit.concentrations[first] + fit.concentrations[second])
    cov = fit.covariance
    assert sd**2 == pytest.approx(cov[first, first] + cov[second, second] + 2 * cov[first, second])


def test_percentages_are_bounded():
    np.testing.assert_array_equal(percent_sd([1.0, 0.0, 0.0, np.nan], [0.1, 0.1, 0.0, 1.0]), [10, 999, 999, 999])


def test_unknown_reference_is_refused(saved):
    result, _ = saved
    with pytest.raises(ConfigError, match="internal_ref.*PCr"):
        FolderContent(result.fits["off"], result.qualities["off"], "edit_off", result.scan, result.basis, ("PCr",))


def host():
    """FSL-MRS's reader, or the test is skipped."""
    pytest.importorskip("fsl_mrs.utils.results", reason="needs an importable FSL-MRS", exc_type=ImportError)
    from fsl_mrs.utils import mrs_io

    return mrs_io


@pytest.mark.with_fsl_mrs
@pytest.mark.parametrize("key", ["off", "diff"])
@pytest.mark.parametrize("bandwidth_hz", [2000, 1250, 4000, 3000.7])
def test_host_rebuilds_the_fit_from_the_folder(tmp_path, bandwidth_hz, key):
    """Also where it brings the basis to another bandwidth (linked), or could not without rounding (written)."""
    mrs_io = host()
    from fsl_mrs.utils.baseline import Baseline
    from fsl_mrs.utils.results import FitRes

    write_basis(example_basis(), tmp_path / "basis")
    folder = save_with(tmp_path, read_basis(tmp_path / "basis"), dwell_s=1 / bandwidth_hz, points=2000) / key
    assert (folder / "basis").is_symlink() == (bandwidth_hz != 3000.7)
    vector = np.array([float(row[1]) for row in table(folder / "all_parameters.csv")[1:]])
    mrs = mrs_io.read_FID((folder / "data").resolve()).mrs(basis=mrs_io.read_basis((folder / "basis").resolve()))
    assert mrs.check_Basis(repair=False) == 0 and mrs.check_FID(repair=False) == 0
    mrs.rescaleForFitting()
    baseline = Baseline(mrs, (0.2, 4.2), "poly, 2", None)
    assert len(vector) == len(mrs.names) + 3 + 2 + 2 * baseline.n_basis
    rebuilt = FitRes(mrs, vector, "voigt", "Newton", [0] * len(mrs.names), baseline, (0.2, 4.2), runqc=False)
    stored = np.asarray(nibabel.load(folder / "fit.nii.gz").dataobj).ravel()
    expected = np.conj(rebuilt.pred / mrs.scaling["FID"])
    np.testing.assert_allclose(stored, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.with_fsl_mrs
def test_host_writes_the_same_tables(saved, tmp_path):
    mrs_io = host()
    from fsl_mrs.utils.baseline import Baseline
    from fsl_mrs.utils.results import FitRes

    result, folder = saved
    folder = folder / "off"
    mrs = mrs_io.read_FID((folder / "data").resolve()).mrs(basis=mrs_io.read_basis((folder / "basis").resolve()))
    mrs.rescaleForFitting()
    baseline = Baseline(mrs, (0.2, 4.2), "poly, 2", None)
    groups = [0] * len(mrs.names)
    theirs = FitRes(mrs, result.fits["off"].parameters, "voigt", "Newton", groups, baseline, (0.2, 4.2))
    theirs.calculateConcScaling(mrs, internal_reference=["Cr"])
    compared = {"concentrations": "concentrations", "all_parameters": "parameters", "summary": "summary", "qc": "qc"}
    for name, what in compared.items():
        theirs.to_file(tmp_path / f"{name}.csv", what=what)
        ours, expected = table(folder / f"{name}.csv"), table(tmp_path / f"{name}.csv")
        heads = 2 if name == "concentrations" else 1
        assert ours[:heads] == expected[:heads]
        assert [row[0] for row in ours] == [row[0] for row in expected]
        columns = {"summary": slice(1, 4), "qc": slice(1, 1)}.get(name, slice(1, None))  # not SNR, FWHM: see quality
        for mine, other in zip(ours[heads:], expected[heads:]):
            # A fit's own scale factors carry the rounding of the basis file (7 digits).
            np.testing.assert_allclose(np.float64(mine[columns]), np.float64(other[columns]), rtol=1e-4, atol=1e-9)


@pytest.mark.with_fsl_mrs
def test_host_summarises_the_results(saved, monkeypatch):
    host()
    dash = pytest.importorskip("dash", reason="fsl_mrs_summarise needs dash")
    summarise = pytest.importorskip(
        "fsl_mrs.scripts.fsl_mrs_summarise", reason="needs setuptools < 81", exc_type=ImportError
    )
    shown = {}
    monkeypatch.setattr(dash.Dash, "run", lambda app, *args, **kwargs: shown.update(app=app))
    monkeypatch.setattr("sys.argv", ["fsl_mrs_summarise", "dir", str(saved[1].parent)])
    summarise.main()
    client = shown["app"].server.test_client()
    assert (client.get("/").status_code, client.get("/_dash-layout").status_code) == (200, 200)
