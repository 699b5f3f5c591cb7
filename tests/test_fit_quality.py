import numpy as np
import pytest
from .fit_examples import CENTRE_HZ, example_basis, example_prediction, example_scan, host_mrs, host_result

from fsl_mrs_dl import axes
from fsl_mrs_dl.fit.physics import fit_voigt
from fsl_mrs_dl.fit.quality import measure, measure_quality, noise_points


def fit_of(prediction, noise, spectrum=0, points=4096, dwell_s=1 / 4000):
    basis = example_basis(8192, dwell_s)
    scan = example_scan(basis, prediction, noise, points, dwell_s)
    fids = basis.resample(dwell_s, points)
    if spectrum == "difference":
        data, fids = scan.fids[1] - scan.fids[0], fids.spectrum("difference")
    else:
        data, fids = scan.fids[spectrum], fids.fids[spectrum]
    return fit_voigt(data, fids, prediction, dwell_s, CENTRE_HZ)


@pytest.mark.parametrize("lorentz_hz", [0.0, 1.0, 4.0])
def test_singlet_has_the_width_of_basis_and_broadening(lorentz_hz):
    fit = fit_of(example_prediction(lorentz_hz=lorentz_hz, gauss_hz=0.0, shift_hz=0.0, phase_rad=0.0), noise=0.1)
    quality = measure_quality(fit)
    # 2 Hz of the basis; the spectrum has a point per 0.98 Hz.
    assert quality.fwhm_hz[quality.names.index("NAA")] == pytest.approx(2 + lorentz_hz, abs=0.6)


def test_snr_is_height_over_noise():
    prediction = example_prediction(phase_rad=0.0)
    noise = 0.2
    fit = fit_of(prediction, noise)
    quality = measure_quality(fit)
    spectrum = axes.fid_to_spectrum(fit.data).real[fit.window]
    # White noise keeps its standard deviation in a unitary transform; FSL-MRS multiplies it with sqrt 2.
    assert quality.spectrum_snr == pytest.approx(spectrum.max() / (np.sqrt(2) * noise), rel=0.1)
    doubled = measure_quality(fit_of(prediction, 2 * noise))
    np.testing.assert_allclose(quality.snr / doubled.snr, 2.0, rtol=0.1)


def test_metabolite_without_signal_has_no_snr_and_no_width():
    quality = measure_quality(fit_of(example_prediction(), 0.2, "difference"))
    creatine = quality.names.index("Cr")
    assert (quality.snr[creatine], quality.fwhm_hz[creatine]) == (0, 0)
    assert (np.delete(quality.snr, creatine) > 1).all() and np.isfinite(quality.snr).all()


def noise_spectrum(points, quiet_edges):
    random = np.random.default_rng(3)
    spectrum = random.normal(size=points)
    if quiet_edges:
        spectrum[: points // 4] *= 0.05
        spectrum[-(points // 4) :] *= 0.05
    return spectrum


def test_filtered_band_edges_are_no_noise():
    ppm = np.linspace(4.65 - 30, 4.65 + 30, 4096)
    plain = noise_points(noise_spectrum(4096, False), ppm)
    filtered = noise_points(noise_spectrum(4096, True), ppm)
    assert plain[0] and plain[-1] and not plain[(ppm > -1.9) & (ppm < 9.9)].any()
    assert not filtered[:1024].any() and not filtered[-1024:].any() and filtered.sum() > 100


def test_narrow_band_takes_noise_from_its_ends():
    ppm = np.linspace(0, 9, 512)
    noise = noise_points(noise_spectrum(512, False), ppm)
    assert noise.sum() == 100 and noise[:50].all() and noise[-50:].all()


@pytest.fixture
def fresh_host(monkeypatch):
    """FSL-MRS as it is in a new process.

    FSL-MRS 2.4.11 writes the band edges of the first spectrum that it measures into its table of noise regions;
    all later spectra of the process get their noise from these, also those of a wider band.
    """
    constants = pytest.importorskip("fsl_mrs.utils.constants", reason="needs FSL-MRS", exc_type=ImportError)
    pytest.importorskip("fsl_mrs.utils.results", reason="needs an importable FSL-MRS", exc_type=ImportError)
    monkeypatch.setitem(constants.NOISE_REGION, "1H", ([None, -2], [10, None]))


def host_measures(fit):
    """(metabolite,) SNR and FWHM, and SNR of the spectrum, by FSL-MRS."""
    basis = example_basis(8192, fit.dwell_s).keep(fit.names).spectrum("edit_off")
    host = host_result(fit, host_mrs(fit.data, basis, fit.names, fit.dwell_s))
    snr, fwhm_hz = (values.to_numpy() for values in host.getQCParams())
    return snr, fwhm_hz, host.SNR.spectrum


@pytest.mark.with_fsl_mrs
def test_host_measures_the_same(fresh_host):
    # Neither of the two deliberate differences of `quality` shows here: no oversampling, all widths found.
    fit = fit_of(example_prediction(lorentz_hz=4.0, gauss_hz=3.0), noise=0.3)
    quality = measure_quality(fit)
    snr, fwhm_hz, spectrum_snr = host_measures(fit)
    assert (fwhm_hz > 0).all()  # else FSL-MRS filters with a width of 0
    np.testing.assert_allclose(quality.snr, snr, rtol=1e-6)
    np.testing.assert_allclose(quality.fwhm_hz, fwhm_hz, rtol=1e-6)
    assert quality.spectrum_snr == pytest.approx(spectrum_snr, rel=1e-6)


@pytest.mark.with_fsl_mrs
@pytest.mark.parametrize("dwell_s", [1 / 2000, 1 / 4000])
@pytest.mark.parametrize("lorentz_hz", [0.5, 4.0])
def test_host_measures_the_same_by_its_own_rules(fresh_host, dwell_s, lorentz_hz):
    fit = fit_of(example_prediction(lorentz_hz=lorentz_hz, gauss_hz=3.0), noise=0.3, dwell_s=dwell_s)
    widths_hz = fit.lorentz_hz, fit.gauss_hz
    found = measure(fit.data, fit.metabolite_fids, *widths_hz, fit.ppm, fit.window, fit.dwell_s, like_host=True)
    np.testing.assert_allclose(found, host_measures(fit)[:2], rtol=1e-6)
