"""The algorithm 'dl' against the real FSL-MRS."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas
import pytest

import fsl_mrs_dl  # noqa: F401  adds the algorithm
from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import BasisError, ConfigError, DataError, ModelError

pytestmark = pytest.mark.with_fsl_mrs

NAMES = ("Cr", "GABA", "NAA")
TRUE = np.array([0.6, 0.3, 1.0])


def host_basis(basis):
    """FSL-MRS's Basis object of a BasisSet of one condition."""
    from fsl_mrs.core.basis import Basis

    header = {
        "dwelltime": basis.dwell_s, "bandwidth": 1 / basis.dwell_s, "centralFrequency": basis.centre_hz,
        "fwhm": basis.linewidth_hz, "nucleus": "1H",
    }  # fmt: skip
    return Basis(basis.fids[0].T.copy(), list(basis.names), [header] * len(basis.names))


def scan_fid(basis, shift_hz=0.0, phase_rad=0.0, noise=0.02, factor=1.0):
    """(point,) FID of a scan with the concentrations TRUE and lines 3 Hz wider than the basis's."""
    t = axes.time_axis(basis.points, basis.dwell_s)
    random = np.random.default_rng(3)
    clean = TRUE @ basis.fids[0] * np.exp((2j * np.pi * shift_hz - 3 * np.pi) * t + 1j * phase_rad)
    return factor * (clean + noise * (random.normal(size=t.size) + 1j * random.normal(size=t.size)))


def mrs_of(basis, fid=None, centre_hz=None, ind_scale=None, **scan):
    """FSL-MRS's MRS object, ready to fit."""
    from fsl_mrs.core import MRS

    fid = scan_fid(basis, **scan) if fid is None else fid
    mrs = MRS(fid, cf=centre_hz or basis.centre_hz, bw=1 / basis.dwell_s, nucleus="1H", basis=host_basis(basis))
    mrs.processForFitting(ind_scaling=ind_scale or [])
    return mrs


@pytest.fixture(autouse=True)
def known_model(single_model_folder, monkeypatch):
    """The small model is the known one."""
    monkeypatch.setenv("FSL_MRS_DL_MODELS", str(single_model_folder.parent))


@pytest.mark.parametrize("baseline, pairs", [("off", 1), ("poly, 2", 3), ("spline, moderate", 63)])
@pytest.mark.parametrize("groups", [[0, 0, 0], [0, 1, 0]])
def test_result_is_a_complete_fit_of_the_host(single_basis, baseline, pairs, groups):
    from fsl_mrs.utils.baseline import Baseline
    from fsl_mrs.utils.results import FitRes

    mrs = mrs_of(single_basis)
    result = mrs.fit(method="dl", baseline=baseline, metab_groups=groups)
    count = max(groups) + 1
    assert isinstance(result, FitRes) and result.method == "dl" and result.model == "voigt"
    assert len(result.params) == len(NAMES) + 3 * count + 2 + 2 * pairs
    assert len(set(result.params[3 : 3 + count])) == 1
    assert (baseline == "off") == (not result.params[-2 * pairs :].any())
    host = FitRes(mrs, result.params, "voigt", "Newton", groups, Baseline(mrs, (0.2, 4.2), baseline, None), (0.2, 4.2))
    np.testing.assert_allclose(result.pred, host.pred, rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.cov[3:, 3:], host.cov[3:, 3:])
    result.dl_covariance = None  # as of a model without a calibration
    np.testing.assert_allclose(result.cov, host.cov)
    for kind in ("percentage", "raw"):
        np.testing.assert_allclose(result.getUncertainties(kind), host.getUncertainties(kind))
    assert result.mse < 1.1 * mrs.fit(baseline=baseline).mse + 0.5


def test_uncertainties_of_one_name_and_of_ratios(single_basis):
    result = mrs_of(single_basis).fit(method="dl")
    assert np.ndim(result.getUncertainties(metab="NAA")) == 0
    result.combine([["Cr", "NAA"]])
    mrs = mrs_of(single_basis)
    result.calculateConcScaling(mrs, internal_reference=["Cr", "NAA"])
    sds, scale = result.getUncertainties("raw"), result.concScalings["internal"]
    np.testing.assert_allclose(result.getUncertainties("internal"), np.hypot(sds, sds[-1]) * scale)
    assert result.getUncertainties("internal", ["GABA"]).shape == (1,)
    with pytest.raises(ValueError, match="percentage, raw"):
        result.getUncertainties("nonsense")


def test_uncertainties_are_the_networks_own(single_basis, single_model_folder):
    from fsl_mrs_dl.fit.predict import predict
    from fsl_mrs_dl.fslmrs.convert import basis_of, scan_of
    from fsl_mrs_dl.model.checkpoint import load_model

    mrs = mrs_of(single_basis, ind_scale=["GABA"])
    result = mrs.fit(method="dl")
    prediction = predict(load_model(single_model_folder), scan_of(mrs), basis_of(mrs))
    percent = 100 * prediction.sd / prediction.concentrations
    np.testing.assert_allclose(result.getUncertainties("percentage"), percent, rtol=1e-6)


def test_true_estimate_gives_the_true_amplitude_and_baseline(single_basis):
    from fsl_mrs.utils.baseline import Baseline
    from fsl_mrs_dl.fit.physics import nonlinear_parameters
    from fsl_mrs_dl.fit.prediction import Prediction
    from fsl_mrs_dl.fslmrs.results import complete_vector

    mrs = mrs_of(single_basis, noise=0.0, shift_hz=2.0, phase_rad=0.4, factor=7.0)
    line = nonlinear_parameters(
        Prediction(NAMES, TRUE, 3.0, 0.0, 2.0, 0.4), single_basis.dwell_s, single_basis.centre_hz
    )
    ppmlim = (0.2, 4.2)
    vector = complete_vector(mrs, TRUE, line, "voigt", [0, 0, 0], Baseline(mrs, ppmlim, "poly, 1", None), ppmlim)
    first_point = np.exp(3 * np.pi * single_basis.dwell_s)  # FSL-MRS's time axis starts one dwell late
    amplitudes = vector[:3] * mrs.scaling["basis"] / mrs.scaling["FID"]
    np.testing.assert_allclose(amplitudes, 7 * TRUE * first_point, rtol=1e-3)
    np.testing.assert_allclose(vector[8:], 0, atol=2e-2)


def test_signs_of_shift_and_phase(single_basis):
    plain = mrs_of(single_basis).fit(method="dl").fitResults.iloc[0]
    moved = mrs_of(single_basis, shift_hz=5.0).fit(method="dl").fitResults.iloc[0]
    turned = mrs_of(single_basis, phase_rad=0.3).fit(method="dl").fitResults.iloc[0]
    assert moved.eps_0 - plain.eps_0 == pytest.approx(-2 * np.pi * 5, abs=0.3)
    assert turned.Phi0 - plain.Phi0 == pytest.approx(-0.3, abs=0.01)


def test_conjugated_and_inverted_scans_give_the_same_concentrations(single_basis):
    expected = mrs_of(single_basis).fit(method="dl").getConc()
    fid = scan_fid(single_basis)
    np.testing.assert_allclose(mrs_of(single_basis, fid.conj()).fit(method="dl").getConc(), expected, rtol=1e-6)
    np.testing.assert_allclose(mrs_of(single_basis, -fid).fit(method="dl").getConc(), expected, rtol=1e-3)


def test_scaling_a_metabolite_on_its_own_does_not_change_what_is_fitted(single_basis):
    together = mrs_of(single_basis).fit(method="dl")
    mrs = mrs_of(single_basis, ind_scale=["GABA"])
    apart = mrs.fit(method="dl")
    np.testing.assert_allclose(apart.pred, together.pred, rtol=0, atol=1e-6)
    assert apart.getConc(metab="GABA") != pytest.approx(together.getConc(metab="GABA"), rel=0.01)


@pytest.mark.parametrize("model", ["lorentzian", "free_shift", "free_shift_lorentzian", "negativevoigt"])
def test_other_lineshape_models(single_basis, model):
    mrs = mrs_of(single_basis)
    result, voigt = mrs.fit(method="dl", model=model), mrs.fit(method="dl")
    assert result.model == model and result.mse < 2 * voigt.mse + 0.5


def test_everything_else_passes_through(single_basis):
    from fsl_mrs.utils import fitting

    mrs = mrs_of(single_basis)
    for call in (lambda fit: fit(mrs), lambda fit: fit(mrs, "Newton", (0.5, 4.0)), lambda fit: fit(mrs, method="init")):
        with_plugin, without = call(fitting.fit_FSLModel), call(fitting.fit_FSLModel.__wrapped__)
        assert type(with_plugin) is type(without)
        assert np.array_equal(with_plugin.params, without.params) and np.array_equal(with_plugin.cov, without.cov)
    samples = []
    for fit in (fitting.fit_FSLModel, fitting.fit_FSLModel.__wrapped__):
        np.random.seed(1)
        samples.append(fit(mrs, method="MH", MHSamples=20).fitResults.to_numpy())
    assert np.array_equal(*samples)
    for method in ("nonsense", "DL", "dlx", None):
        with pytest.raises(Exception, match="Unknown optimisation method"):
            fitting.fit_FSLModel(mrs, method=method)


def test_threads_give_what_one_gives(single_basis):
    scans = [mrs_of(single_basis, shift_hz=shift) for shift in (-2.0, 0.0, 1.0, 3.0)]
    one_by_one = [mrs.fit(method="dl").params for mrs in scans]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda mrs: mrs.fit(method="dl").params, scans))
    assert np.array_equal(one_by_one, together)


def test_results_survive_pickling_and_name_the_model(single_basis):
    from fsl_mrs.utils import report

    result = pickle.loads(pickle.dumps(mrs_of(single_basis).fit(method="dl")))
    assert result.dl_model.name == "small" and len(result.dl_model.weights_sha256) == 64
    text = report.svs_methods_summary(result)
    assert "neural network 'small'" in text and "arXiv:2602.20289" in text and "truncated Newton" not in text
    newton = mrs_of(single_basis).fit()
    assert report.svs_methods_summary(newton) == report.svs_methods_summary.__wrapped__(newton)


def test_models_are_chosen_by_basis_name_or_folder(single_basis, single_model_folder, monkeypatch):
    mrs = mrs_of(single_basis)
    expected = mrs.fit(method="dl").params
    monkeypatch.setenv("FSL_MRS_DL_MODELS", str(single_model_folder))
    assert np.array_equal(mrs.fit(method="dl").params, expected)
    assert np.array_equal(mrs.fit(method="dl:small").params, expected)
    monkeypatch.delenv("FSL_MRS_DL_MODELS")
    assert np.array_equal(mrs.fit(method=f"dl:{single_model_folder}").params, expected)
    with pytest.raises(ModelError, match="fsl_mrs_dl train --basis BASIS --output MODEL"):
        mrs.fit(method="dl")
    with pytest.raises(ModelError, match="There is no model 'small'"):
        mrs.fit(method="dl:small")
    monkeypatch.setenv("FSL_MRS_DL_MODELS", str(single_model_folder / "nowhere"))
    with pytest.raises(ConfigError, match="FSL_MRS_DL_MODELS names folders"):
        mrs.fit(method="dl")


def test_a_basis_that_is_not_the_models_is_refused(single_basis, single_model_folder):
    mrs = mrs_of(single_basis)
    mrs.ignore = ["GABA"]
    left_out = "ignore leave out GABA.*small lacks none of them and has GABA besides.*Drop --keep"
    for method in ("dl", f"dl:{single_model_folder}"):
        with pytest.raises(ModelError, match=left_out):
            mrs.fit(method=method)
    other = mrs_of(single_basis)
    other._basis._raw_fids = other._basis._raw_fids * np.linspace(1, 0.9, single_basis.points)[:, None]
    with pytest.raises(ModelError, match="small has these metabolites, but was trained with other spectra"):
        other.fit(method="dl")


def test_scans_that_cannot_be_fitted_are_refused(single_basis):
    mrs, fid = mrs_of(single_basis), scan_fid(single_basis)
    fid[5] = np.nan
    mrs.FID = fid
    with pytest.raises(DataError, match="finite"):
        mrs.fit(method="dl")
    with pytest.raises(DataError, match="7.00 T"):
        mrs_of(single_basis, centre_hz=298.05e6).fit(method="dl")
    mrs = mrs_of(single_basis)
    mrs.basis = None
    with pytest.raises(BasisError, match="needs a basis set"):
        mrs.fit(method="dl")


def test_notes_of_the_prediction_are_warnings(single_basis, single_model_folder, monkeypatch):
    from fsl_mrs.utils import report

    from fsl_mrs_dl.fit import predict

    # Any scan counts as narrow, and no wider when broadened than the model knows.
    monkeypatch.setattr(predict, "NARROW_HZ", 100.0)
    monkeypatch.setattr(predict, "BROADENING_HZ", 0.0)
    with pytest.warns(UserWarning, match="broadened by 4 Hz"):
        result = mrs_of(single_basis).fit(method=f"dl:{single_model_folder}")
    # FSL-MRS's commands hide warnings; its report does not.
    assert "broadened by 4 Hz" in report.svs_methods_summary(result)


def test_the_trust_flag_is_told_and_stands_in_table_and_report(single_basis, tmp_path, monkeypatch, capsys):
    from fsl_mrs.utils import report

    wide = scan_fid(single_basis) * np.exp(-40 * np.pi * axes.time_axis(single_basis.points, single_basis.dwell_s))
    with pytest.warns(UserWarning, match="Trust: out of range .*times as wide"):
        result = mrs_of(single_basis, wide).fit(method="dl")
    assert result.dl_trust.out_of_range and "Trust flag: out of range" in report.svs_methods_summary(result)
    result.to_file(tmp_path / "qc.csv", "qc")
    table = pandas.read_csv(tmp_path / "qc.csv")
    assert list(table.columns) == ["Metab", "SNR", "FWHM", "Trust score", "Trust"]
    assert set(table["Trust"]) == {"out of range"} and set(table["Metab"]) == set(NAMES)
    result.to_file(tmp_path / "summary.csv", "summary")
    assert "Trust" not in pandas.read_csv(tmp_path / "summary.csv").columns
    # FSL-MRS's command for single spectra hides warnings.
    monkeypatch.setattr("sys.argv", ["/some/where/fsl_mrs"])
    mrs_of(single_basis, wide).fit(method="dl")
    assert "Trust: out of range" in capsys.readouterr().err


def test_voxels_without_a_signal_are_left_out_where_the_command_fits_with_dl(single_basis, monkeypatch, capsys):
    from fsl_mrs.core.mrsi import MRSI

    random = np.random.default_rng(1)
    data = random.normal(size=(2, 2, 1, 64)) + 1j * random.normal(size=(2, 2, 1, 64))
    data[0, 1, 0, 3], data[1, 0] = np.nan, 0

    def grid():
        return MRSI(data.copy(), cf=single_basis.centre_hz, bw=2000, nucleus="1H")

    for words, count in (
        (["fsl_mrsi", "--algo", "dl"], 2), (["fsl_mrsi", "--algo=dl:small"], 2), (["fsl_mrsi", "--algo", "Newton"], 4),
        (["fsl_mrsi"], 4),
    ):  # fmt: skip
        monkeypatch.setattr("sys.argv", words)
        mrsi = grid()
        mean = mrsi.mrs_from_average()
        assert len(mrsi) == count and np.isfinite(mean.FID).all() == (count == 2)
        said = capsys.readouterr().err
        assert ("2 of 4 voxels" in said and "(0, 1, 0), (1, 0, 0)" in said) == (count == 2)
    monkeypatch.setattr("sys.argv", ["fsl_mrsi", "--algo", "dl"])
    mrsi = grid()
    mrsi.set_mask(np.isnan(data[..., 3]))
    with pytest.raises(DataError, match="None of the 1 voxels"):
        mrsi.mrs_from_average()
