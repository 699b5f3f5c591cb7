import numpy as np
import pytest
from .fit_examples import (
    AMPLITUDE,
    CENTRE_HZ,
    CONCENTRATIONS,
    NAMES,
    example_basis,
    example_prediction,
    example_scan,
    host_mrs,
    host_result,
)

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import BasisError, DataError
from fsl_mrs_dl.fit.fsl_tables import percent_sd
from fsl_mrs_dl.fit.physics import fit_voigt
from fsl_mrs_dl.fit.voigt import nonlinear_parameters, polynomial_regressors, solve_voigt


def fit_of(spectrum="edit_off", noise=0.0, change=lambda fid: fid, made_from=None, **scan_options):
    """VoigtFit of an example, at what it was made from."""
    made_from = made_from or example_prediction()
    basis = example_basis(**{key: scan_options[key] for key in ("dwell_s",) if key in scan_options})
    scan = example_scan(basis, made_from, noise, **scan_options)
    fid = scan.fids[1] - scan.fids[0] if spectrum == "difference" else scan.fids[0]
    basis_fids = basis.resample(scan.dwell_s, scan.points).spectrum(spectrum)
    return fit_voigt(change(fid), basis_fids, made_from, scan.dwell_s, scan.centre_hz)


# With a Gaussian part FSL-MRS's time axis, late by one dwell, leaves a little Lorentzian broadening.
@pytest.mark.parametrize(("gauss_hz", "tolerance"), [(0.0, 1e-9), (2.0, 1e-3)])
@pytest.mark.parametrize("spectrum", ["edit_off", "difference"])
def test_exact_data_are_explained(spectrum, gauss_hz, tolerance):
    fit = fit_of(spectrum, made_from=example_prediction(gauss_hz=gauss_hz))
    assert np.abs(fit.residual).max() < tolerance * np.abs(fit.data).max()
    expected = dict(zip(NAMES, AMPLITUDE * CONCENTRATIONS))
    np.testing.assert_allclose(fit.amplitudes, [expected[name] for name in fit.names], rtol=tolerance)
    assert fit.names == tuple(sorted(NAMES))


def test_parameters_are_fsl_mrs_s():
    fit = fit_of(made_from=example_prediction(shift_hz=5.0, lorentz_hz=2.0, gauss_hz=1.5, phase_rad=0.3))
    values = dict(zip(fit.parameter_names, fit.parameters))
    assert values["eps_0"] == pytest.approx(-2 * np.pi * 5)  # positive eps moves to lower ppm
    assert values["Phi0"] == pytest.approx(-0.3 + 2 * np.pi * 5 * fit.dwell_s)
    assert values["gamma_0"] == pytest.approx(2 * np.pi)
    assert values["Phi1"] == 0
    assert (fit.lorentz_hz, fit.gauss_hz) == (pytest.approx(2.0), pytest.approx(1.5))
    assert len(fit.parameters) == len(NAMES) + 3 + 2 + 2 * 3
    assert np.linalg.norm(fit.data) * fit.fid_scaling == pytest.approx(100)


def test_gaussian_broadening_has_the_width_it_says():
    """A Gaussian of 8 Hz on a line of 0 Hz: full width at half maximum of the model's spectrum."""
    points, dwell_s = 8192, 1 / 2000
    line = np.exp(2j * np.pi * -200.0 * axes.time_axis(points, dwell_s))
    prediction = example_prediction(lorentz_hz=0.0, gauss_hz=8.0, shift_hz=0.0, phase_rad=0.0)
    basis_fids = np.array([line, 0 * line, 0 * line, 0 * line])
    fit = fit_voigt(line * np.exp(-axes.time_axis(points, dwell_s)), basis_fids, prediction, dwell_s, CENTRE_HZ)
    height = axes.fid_to_spectrum(fit.metabolite_fids[fit.names.index("NAA")]).real
    above = np.flatnonzero(height > height.max() / 2)
    assert (above[-1] - above[0] + 1) / (points * dwell_s) == pytest.approx(8.0, abs=0.3)


def test_baseline_is_separated_from_the_lines():
    def add_offset(fid):
        spectrum = axes.fid_to_spectrum(fid)
        return axes.spectrum_to_fid(spectrum + 5.0 - 3.0j)

    fit = fit_of(change=add_offset, made_from=example_prediction(gauss_hz=0.0))
    baseline = axes.fid_to_spectrum(fit.baseline)
    np.testing.assert_allclose(baseline[fit.window], 5.0 - 3.0j, rtol=1e-6)
    assert not baseline[: fit.window.start].round(9).any()
    assert fit.amplitudes[fit.names.index("NAA")] == pytest.approx(AMPLITUDE, rel=1e-6)


def test_inverted_data_get_no_signal():
    fit = fit_of(change=np.negative)
    assert not fit.concentrations.any()
    assert np.isfinite(fit.covariance).all()


def test_covariance_is_the_inverse_fisher_information_of_the_model():
    """Against central differences of the model written down here."""
    fit = fit_of(noise=0.3)
    points = fit.data.size
    t = np.arange(1, points + 1) * fit.dwell_s
    nu = np.linspace(-0.5 / fit.dwell_s, 0.5 / fit.dwell_s, points)
    basis = example_basis().resample(fit.dwell_s, points).keep(fit.names).spectrum("edit_off") * fit.basis_scaling
    regressors = polynomial_regressors(points, fit.window)

    def model(vector):
        conc, (gamma, sigma, eps, phi0, phi1), weights = np.split(vector, [len(fit.names), len(fit.names) + 5])
        fids = basis * np.exp(-(1j * eps + gamma + sigma**2 * t) * t)
        spectrum = np.exp(-1j * (phi0 + phi1 * nu)) * (conc @ axes.fid_to_spectrum(fids)) + regressors @ weights
        return spectrum[fit.window]

    steps = np.diag(np.maximum(np.abs(fit.parameters), 1e-2) * 1e-5)
    steps[-7, -7] = 1e-9  # Phi1 is multiplied by 1000 Hz
    slopes = np.array([(model(fit.parameters + s) - model(fit.parameters - s)) / (2 * s.sum()) for s in steps])
    noise = np.var(axes.fid_to_spectrum(fit.data * fit.fid_scaling)[fit.window] - model(fit.parameters))
    fisher = (slopes @ slopes.conj().T).real / noise
    expected = np.linalg.inv(fisher + 1e-5 * np.eye(len(fisher))) / 2
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(fit.covariance / scale, expected / scale, atol=1e-5)


def test_metabolite_without_signal_stays_finite_and_undetermined():
    fit = fit_of("difference", noise=0.3)
    creatine = fit.names.index("Cr")
    assert fit.visibility[creatine] == 0
    assert np.isfinite(fit.covariance).all()
    percent = percent_sd(fit.concentrations, fit.sds[: len(fit.names)])
    assert percent[creatine] == 999
    assert percent[fit.names.index("NAA")] < 5


def test_basis_of_another_frequency_is_put_right_in_the_middle():
    basis = example_basis()
    prediction = example_prediction()
    scan = example_scan(basis, prediction)
    fids = basis.resample(scan.dwell_s, scan.points).spectrum("edit_off")
    fit = fit_voigt(scan.fids[0], fids, prediction, scan.dwell_s, 1.0005 * CENTRE_HZ, CENTRE_HZ)
    shift_hz = -fit.parameters[fit.parameter_names.index("eps_0")] / (2 * np.pi)
    assert shift_hz == pytest.approx(4.0 + (2.7 - 4.65) * 123.2 * 0.0005, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_useless_data_are_refused(value):
    with pytest.raises(DataError, match="check the scan"):
        fit_of(change=lambda fid: fid * value)


@pytest.mark.parametrize("solver", ["inv", "lstsq"])
def test_equations_without_solution_are_a_data_error(monkeypatch, solver):
    def fail(*_, **__):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(np.linalg, solver, fail)
    with pytest.raises(DataError, match="could not be fitted .Singular matrix.: check the scan"):
        fit_of()


def test_narrow_band_is_refused():
    with pytest.raises(DataError, match="too few"):
        fit_voigt(np.ones(64) + 0j, np.ones((4, 64)), example_prediction(), 1 / 500, 7 * CENTRE_HZ)


def test_basis_of_another_length_is_refused():
    basis = example_basis()
    scan = example_scan(basis, example_prediction())
    with pytest.raises(BasisError, match="resample"):
        fit_voigt(scan.fids[0], basis.fids[0], example_prediction(), scan.dwell_s, scan.centre_hz)


@pytest.mark.with_fsl_mrs
@pytest.mark.parametrize("spectrum", ["edit_off", "difference"])
@pytest.mark.parametrize("dwell_s", [1 / 2000, 1 / 4000])
def test_host_computes_the_same_from_the_vector(spectrum, dwell_s):
    pytest.importorskip("fsl_mrs.utils.results", reason="needs an importable FSL-MRS", exc_type=ImportError)
    fit = fit_of(spectrum, noise=0.3, dwell_s=dwell_s, points=2048)
    basis = example_basis(dwell_s=dwell_s).keep(fit.names)
    mrs = host_mrs(fit.data, basis.spectrum(spectrum), fit.names, dwell_s)
    host = host_result(fit, mrs, runqc=False)
    assert list(fit.parameter_names) == host.params_names
    assert (fit.window.start, fit.window.stop) == mrs.ppmlim_to_range(fit.ppm_limits)
    assert (fit.fid_scaling, fit.basis_scaling) == pytest.approx((mrs.scaling["FID"], mrs.scaling["basis"]), rel=1e-12)
    largest = np.abs(host.pred).max()
    np.testing.assert_allclose(fit.predicted * fit.fid_scaling, host.pred, atol=1e-6 * largest)
    np.testing.assert_allclose(fit.baseline * fit.fid_scaling, host.baseline, atol=1e-6 * largest)
    np.testing.assert_allclose(fit.residual * fit.fid_scaling, host.residuals, atol=1e-6 * largest)
    scale = np.sqrt(np.outer(np.diag(host.cov), np.diag(host.cov)))
    np.testing.assert_allclose(fit.covariance / scale, host.cov / scale, atol=1e-6)
    np.testing.assert_allclose(percent_sd(fit.concentrations, fit.sds[: len(NAMES)]), host.perc_SD[: len(NAMES)])


def test_a_batch_is_solved_as_one_by_one():
    basis = example_basis()
    made_from = [example_prediction(lorentz_hz=width, gauss_hz=1.0, shift_hz=width) for width in (1.0, 2.0, 4.0)]
    scans = [example_scan(basis, one, 0.3, seed=seed) for seed, one in enumerate(made_from)]
    grid = scans[0].dwell_s, scans[0].centre_hz
    fids = basis.resample(grid[0], scans[0].points).keep(sorted(NAMES)).spectrum("edit_off")
    order = [NAMES.index(name) for name in sorted(NAMES)]
    line = np.array([nonlinear_parameters(one, *grid) for one in made_from])
    data = np.array([scan.fids[0] for scan in scans])
    batch = solve_voigt(data, fids, np.array([one.concentrations[order] for one in made_from]), line, *grid)
    for row, (fid, one) in enumerate(zip(data, made_from)):
        fit = fit_voigt(fid, fids[np.argsort(order)], one, *grid)
        np.testing.assert_allclose(batch.parameters[row], fit.parameters, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(batch.covariance[row], fit.covariance, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(batch.baseline[row], fit.baseline, atol=1e-9)
        np.testing.assert_allclose(batch.metabolite_fids[row], fit.metabolite_fids, atol=1e-9)
