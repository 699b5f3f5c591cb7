"""A basis set of a few lines and scans made from it or any other, for the tests of the fit and its results."""

import dataclasses

import numpy as np

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import BasisSet
from fsl_mrs_dl.fit.prediction import Prediction
from fsl_mrs_dl.fit.result import ModelRecord
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import RECIPES

CENTRE_HZ = 123.2e6
LINEWIDTH_HZ = 2.0
NAMES = ("NAA", "Cr", "GABA", "Glu")
CONCENTRATIONS = np.array([1.0, 0.6, 0.25, 0.8])
AMPLITUDE = 7.5

# (chemical shift in ppm, amplitude) of the lines with the editing pulse off, and on.
LINES = {
    "NAA": ([(2.01, 3.0), (2.60, 1.0)], [(2.60, 1.2)]),
    "Cr": ([(3.03, 3.0), (3.92, 2.0)], [(3.03, 3.0), (3.92, 2.0)]),
    "GABA": ([(3.01, 1.0), (2.28, 2.0), (1.89, 2.0)], [(2.95, 1.0), (3.07, 1.0), (2.28, 2.0)]),
    "Glu": ([(2.34, 2.0), (2.10, 2.0), (3.75, 1.0)], [(2.34, 2.0), (3.75, 1.5)]),
}

CARD = {
    "name": "tiny",
    "purpose": "tests",
    "not_for": "in vivo spectra",
    "training": {"scans": 10, "plan": {"epochs": 1}},
    "errors": {"held-out scans": {"NAA": 0.001, "Cr": 0.002, "GABA": 0.003, "Glu": 0.004}},
}
MODEL = ModelRecord("tiny", "ab" * 32, CARD)


def lines_fid(lines, points, dwell_s):
    """(point,) FID of Lorentzian lines."""
    t = axes.time_axis(points, dwell_s)
    fid = sum(height * np.exp(2j * np.pi * axes.ppm_to_hz(ppm, CENTRE_HZ) * t) for ppm, height in lines)
    return fid * np.exp(-np.pi * LINEWIDTH_HZ * t)


def example_basis(points=4096, dwell_s=1 / 2000):
    """Edited BasisSet of NAMES; creatine is the same with the pulse on and off."""
    fids = [[lines_fid(LINES[name][on], points, dwell_s) for name in NAMES] for on in (0, 1)]
    return BasisSet(np.array(fids), ("edit_off", "edit_on"), NAMES, dwell_s, CENTRE_HZ, LINEWIDTH_HZ)


def single_basis(points=4096, dwell_s=1 / 2000):
    """BasisSet with the edit-off spectra alone."""
    edited = example_basis(points, dwell_s)
    return BasisSet(edited.fids[:1], ("single",), NAMES, dwell_s, CENTRE_HZ, LINEWIDTH_HZ)


def example_prediction(**changes):
    """Prediction of CONCENTRATIONS with 3 Hz of Lorentzian and 2 Hz of Gaussian broadening."""
    values = {"lorentz_hz": 3.0, "gauss_hz": 2.0, "shift_hz": 4.0, "phase_rad": 0.3, **changes}
    return Prediction(NAMES, CONCENTRATIONS, **values)


def example_scan(basis, prediction, noise=0.0, points=2048, dwell_s=None, seed=0):
    """Scan that is exactly what the prediction says, plus white noise of a standard deviation per part."""
    dwell_s = dwell_s or basis.dwell_s
    fids = np.einsum("m,cmp->cp", prediction.concentrations, basis.resample(dwell_s, points).fids)
    t = axes.time_axis(points, dwell_s)
    sigma = prediction.gauss_hz * 2 * np.pi / (2.335 * np.sqrt(2))
    decay = np.exp(-np.pi * prediction.lorentz_hz * t - (sigma * t) ** 2)
    fids = AMPLITUDE * fids * decay * np.exp(1j * (2 * np.pi * prediction.shift_hz * t + prediction.phase_rad))
    random = np.random.default_rng(seed)
    fids = fids + noise * (random.normal(size=fids.shape) + 1j * random.normal(size=fids.shape))
    return Scan(
        fids, basis.conditions, dwell_s, CENTRE_HZ, echo_time_s=0.068, name="phantom", paths=("phantom.nii.gz",),
        notes=("Order of the edit dimension: off, on.",),
    )  # fmt: skip


def host_mrs(fid, basis_fids, names, dwell_s):
    """FSL-MRS's MRS object of a spectrum, scaled for fitting; names and basis_fids sorted alike."""
    from fsl_mrs.core import MRS
    from fsl_mrs.core.basis import Basis

    header = {"dwelltime": dwell_s, "bandwidth": 1 / dwell_s, "centralFrequency": CENTRE_HZ, "fwhm": LINEWIDTH_HZ}
    basis = Basis(np.array(basis_fids).T, list(names), [dict(header, nucleus="1H") for _ in names])
    mrs = MRS(fid, cf=CENTRE_HZ, bw=1 / dwell_s, nucleus="1H", basis=basis)
    mrs.rescaleForFitting()
    return mrs


def host_result(fit, mrs, runqc=True):
    """FSL-MRS's FitRes of a VoigtFit's parameter vector."""
    from fsl_mrs.utils.baseline import Baseline
    from fsl_mrs.utils.results import FitRes

    baseline = Baseline(mrs, fit.ppm_limits, "poly, 2", None)
    groups = [0] * len(fit.names)
    return FitRes(mrs, fit.parameters, "voigt", "Newton", groups, baseline, fit.ppm_limits, runqc=runqc)


def scans_of(basis, number, seed, **changes):
    """(scan, condition, point) FIDs of recipe phantom on a basis set alone, its fields changed."""
    own = {"clean_fraction": 0.0, "pool_fraction": 0.0, "water": (0.0, 0.5), **changes}
    recipe = dataclasses.replace(RECIPES["phantom"], **own)
    return Stream(basis, recipe, seed, None, number)[0].measured.numpy()


def noise_of(number, seed, conditions=2):
    """(scan, condition, 2048) complex normal numbers."""
    random = np.random.default_rng(seed)
    return random.normal(size=(number, conditions, 2048)) + 1j * random.normal(size=(number, conditions, 2048))
