"""Scans of known contents rebuilt step by step, from the plain simulation to all that `known_terms` knows."""

from dataclasses import dataclass, replace

import numpy as np

from .. import axes
from ..errors import DataError, FslMrsDlError
from ..fit.align import align
from .known_model import KnownModel
from .known_terms import INGREDIENTS

PLAIN = "plain"
"""The first step: contents and basis set with lines of the published width and one common scale, nothing else."""

STEPS = (PLAIN, *INGREDIENTS)
"""Every step has the ingredient of its name and those of all steps before it."""

_WEIGHTS = {"off": (1, 0), "on": (0, 1), "diff": (-1, 1)}


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """A scan and its rebuilt spectra.

    Attributes:
        id, series: of the case.
        scan: Scan on the networks' time grid.
        ppm: (band,) chemical shifts compared.
        data: {acquisition: (band,) complex spectrum}, of "off", "on", "diff" or "single".
        noise: {acquisition: standard deviation of a real or imaginary part}.
        steps: {step: {acquisition: (band,) complex spectrum}}, see `STEPS`.
        fids: {step: (condition, point) FIDs, the baseline included, and with it what the scan has outside the band}.
        sigma: (condition,) noise.
        linewidth_hz: Lorentzian width that fits the scan best, the basis set's own included (Hz).
        shift_hz, phase_rad: how far the scan stands above the basis set (Hz) and its zero-order phase (rad).
        snr: height of the first spectrum's highest point over the noise of a real or imaginary part.
    """

    id: str
    series: str
    scan: object
    ppm: np.ndarray
    data: dict
    noise: dict
    steps: dict
    fids: dict
    sigma: np.ndarray
    linewidth_hz: float
    shift_hz: float
    phase_rad: float
    snr: float


def acquisitions(spectra):
    """{acquisition: spectrum} of (condition, ...) spectra: off, on and their difference, or single."""
    if len(spectra) == 1:
        return {"single": spectra[0]}
    return {name: sum(w * one for w, one in zip(weights, spectra)) for name, weights in _WEIGHTS.items()}


def rebuild(case, basis):
    """Rebuild a scan from its contents.

    Args:
        case: cases.Case; metabolites that its truth does not name are taken as absent.
        basis: BasisSet of the scan's conditions.

    Returns:
        Rebuilt.

    Raises:
        DataError, BasisError: the scan cannot be compared with the basis set, or holds nothing that is in it.
    """
    model, contents = KnownModel(case.scan, basis), contents_of(case.truth, basis, case.id)
    place = {name: model.terms.first(name) for name in INGREDIENTS}
    _, shift_hz, phase_rad = align(model.scan, basis)
    theta, found = model.start(contents), {}
    for count, step in enumerate(STEPS):
        if step in ("shift", "phase"):
            # A least-squares search finds a line only from near by.
            theta[place["shift"]] = shift_hz
        if step == "phase":
            theta[place["phase"]] = phase_rad
        theta = found[step] = model.fit(contents, theta, INGREDIENTS[:count])
    spectra = {step: model.spectra(contents, values, _has_baseline(step)) for step, values in found.items()}
    # Beside its lines, the plain model asks for next to nothing of itself; its FIDs are to stand as far above noise.
    found[PLAIN][0] = found["shift"][0]
    line = found["linewidth"]
    return Rebuilt(
        id=case.id,
        series=case.series,
        scan=model.scan,
        ppm=model.ppm,
        data=acquisitions(model.data),
        noise={name: float(np.sqrt(value)) for name, value in _variances(model.sigma).items()},
        steps={step: acquisitions(whole) for step, (whole, _) in spectra.items()},
        fids={step: _whole(model, contents, found[step], spectra[step][1]) for step in STEPS},
        sigma=model.sigma,
        linewidth_hz=float(line[place["linewidth"]] + basis.linewidth_hz),
        shift_hz=float(line[place["shift"]]),
        phase_rad=float(line[place["phase"]]),
        snr=float(np.abs(model.data[0]).max() / model.sigma[0]),
    )


def _has_baseline(step):
    """Whether a step has a baseline."""
    return STEPS.index(step) >= STEPS.index("baseline")


def _whole(model, contents, theta, baseline):
    """FIDs (condition, point) of a step with its baseline (condition, band).

    With a baseline, what the scan has outside the band comes along: the foot of the water line must not end in a step.
    """
    fids = model.fids(contents, theta)
    if not baseline.any():
        return fids
    rest = axes.fid_to_spectrum(model.scan.fids - fids)
    rest[:, model.band] = baseline
    return fids + axes.spectrum_to_fid(rest)


def rebuild_all(cases, basis, shown=iter):
    """Rebuild every case; those that cannot be are left out.

    Args:
        cases, basis: see `rebuild`.
        shown: wraps the iterable of cases, such as tqdm.

    Returns:
        list of Rebuilt, and {id: reason} of the others.
    """
    done, refused = [], {}
    for case in shown(cases):
        try:
            done.append(rebuild(case, basis))
        except FslMrsDlError as exc:
            refused[case.id] = str(exc)
    return done, refused


def contents_of(values, basis, name):
    """(metabolite,) contents in the order of a BasisSet from {metabolite: content}, relative to the largest.

    Raises:
        DataError: none of the basis set's metabolites is there.
    """
    contents = np.array([float(values.get(metabolite, 0.0)) for metabolite in basis.names])
    if not (np.isfinite(contents).all() and contents.max() > 0):
        raise DataError(f"{name} holds none of {', '.join(basis.names)}: it cannot be rebuilt from this basis set.")
    return contents / contents.max()


def explain(scan, basis, values):
    """The spectrum of a scan as contents explain it: everything but the basis set is fitted.

    Args:
        scan: Scan.
        basis: BasisSet of its conditions.
        values: {metabolite: concentration}, in any unit.

    Returns:
        ppm (band,); data, model and baseline as {acquisition: (band,) complex}, turned upright.
    """
    model, contents = KnownModel(scan, basis), contents_of(values, basis, scan.name)
    place = {name: model.terms.first(name) for name in ("shift", "phase")}
    _, shift_hz, phase_rad = align(model.scan, basis)
    theta = model.start(contents)
    theta[place["shift"]], theta[place["phase"]] = shift_hz, phase_rad
    ingredients = [name for name in INGREDIENTS if name != "basis"]
    for count in (3, len(ingredients)):
        theta = model.fit(contents, theta, ingredients[:count])
    spectra, baseline = model.spectra(contents, theta, True)
    upright = np.exp(-1j * theta[place["phase"]])
    return model.ppm, *(acquisitions(one * upright) for one in (model.data, spectra, baseline))


def rebuilt_scan(rebuilt, step, seed):
    """Scan of a step with noise as strong as the measured one's, to be given to a method.

    Args:
        rebuilt: Rebuilt.
        step: of `STEPS`.
        seed: of the noise.
    """
    random = np.random.default_rng(seed)
    fids = rebuilt.fids[step]
    parts = random.normal(size=(2, *fids.shape)) * rebuilt.sigma[:, None]
    return replace(rebuilt.scan, fids=fids + parts[0] + 1j * parts[1])


def _variances(sigma):
    """{acquisition: noise variance} of (condition,) standard deviations."""
    if len(sigma) == 1:
        return {"single": sigma[0] ** 2}
    return {name: sum((w * one) ** 2 for w, one in zip(weights, sigma)) for name, weights in _WEIGHTS.items()}
