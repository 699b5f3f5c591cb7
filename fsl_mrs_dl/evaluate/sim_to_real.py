"""What lies between the simulation and scans of known contents, as tables.

Every scan is rebuilt in steps (`rebuild.STEPS`), each with one more ingredient of a real scan. What an ingredient
explains is by how much the residual falls with it.
"""

import numpy as np
import pandas as pd

from .methods import FAILURES
from .normalise import SPECTRA
from .rebuild import STEPS, rebuilt_scan
from .statistics import ALL

REPRESENTATIONS = {"real": np.real, "imaginary": np.imag, "magnitude": np.abs}

NOISE_BAND = 2.0
"""Half width of the noise bands, in standard deviations."""

MEASURED = "measured scan"
"""Name of the row of a method's errors on the scans themselves."""


def facts_table(rebuilt):
    """DataFrame (id, series, linewidth_hz, shift_hz, phase_rad, snr) of Rebuilt scans."""
    names = ("id", "series", "linewidth_hz", "shift_hz", "phase_rad", "snr")
    return pd.DataFrame([{name: getattr(one, name) for name in names} for one in rebuilt], columns=names)


def gap_table(rebuilt):
    """How much of the scans the simulation leaves unexplained, step by step.

    Args:
        rebuilt: list of Rebuilt.

    Returns:
        DataFrame with the columns series, acquisition, step, residual (energy of data less model, in percent of the
        data's energy, mean of the scans), explained (by how much the residual falls with this step) and noise (energy
        of the noise, in percent).
    """
    rows = []
    for one in rebuilt:
        for acquisition, data in one.data.items():
            energy = _energy(data)
            residual = {step: _energy(data - one.steps[step][acquisition]) / energy for step in STEPS}
            noise = 2 * data.size * one.noise[acquisition] ** 2 / energy
            for before, step in zip((None, *STEPS), STEPS):
                rows.append({
                    "series": one.series,
                    "acquisition": acquisition,
                    "step": step,
                    "residual": 100 * residual[step],
                    "explained": np.nan if before is None else 100 * (residual[before] - residual[step]),
                    "noise": 100 * noise,
                })  # fmt: skip
    return _means(rows, ["acquisition", "step"])


def difference_table(rebuilt):
    """Differences between scans and rebuilt spectra by acquisition and representation.

    Args:
        rebuilt: list of Rebuilt.

    Returns:
        DataFrame with the columns series, acquisition, representation, step, rms (root mean square difference in
        standard deviations of the noise; 1 is noise alone), outside (share of the points outside `NOISE_BAND`, of
        which 0.046 are so by chance), largest (largest difference in percent of the largest magnitude of the data).
    """
    rows = []
    for one in rebuilt:
        for acquisition, data in one.data.items():
            for representation, part in REPRESENTATIONS.items():
                for step in STEPS:
                    difference = part(data) - part(one.steps[step][acquisition])
                    in_noise = np.abs(difference) / one.noise[acquisition]
                    rows.append({
                        "series": one.series,
                        "acquisition": acquisition,
                        "representation": representation,
                        "step": step,
                        "rms": np.sqrt(np.mean(in_noise**2)),
                        "outside": np.mean(in_noise > NOISE_BAND),
                        "largest": 100 * np.abs(difference).max() / np.abs(data).max(),
                    })  # fmt: skip
    return _means(rows, ["acquisition", "representation", "step"])


def model_table(rebuilt, cases, methods, seed, shown=iter):
    """Errors of methods on the rebuilt spectra: which ingredient they cannot bear.

    Args:
        rebuilt: list of Rebuilt.
        cases: the cases they were made from.
        methods: methods.Method; those that fail on a scan leave it out.
        seed: of the noise, the same for every step.
        shown: wraps the iterable of scans, such as tqdm.

    Returns:
        DataFrame with the columns series, label (method and spectrum), step (of `STEPS`, or `MEASURED`) and mae (mean
        absolute error relative to the largest, mean of metabolites and scans).
    """
    truth = {case.id: case for case in cases}
    rows = []
    for number, one in enumerate(shown(rebuilt)):
        scans = {step: rebuilt_scan(one, step, seed + number) for step in STEPS} | {MEASURED: truth[one.id].scan}
        for method in methods:
            for step, scan in scans.items():
                for label, error in _errors(method, scan, truth[one.id].truth).items():
                    rows.append({"series": one.series, "label": label, "step": step, "mae": error})
    return _means(rows, ["label", "step"])


def _errors(method, scan, truth):
    """{label: mean absolute error relative to the largest} of a method on a scan, empty where it fails."""
    try:
        found = method.fit(scan)
    except FAILURES:
        return {}
    errors = {}
    for spectrum, values in found.items():
        if isinstance(values, Exception):
            continue
        names = [name for name in values if name in truth]
        pair = [np.array([one[name] for name in names]) for one in (values, truth)]
        if names and all(one.max() > 0 for one in pair):
            estimate, content = (one / one.max() for one in pair)
            errors[f"{method.name}, {SPECTRA[spectrum]}"] = float(np.abs(estimate - content).mean())
    return errors


def _energy(values):
    """Sum of squared magnitudes."""
    return float(np.vdot(values, values).real)


def _means(rows, keys):
    """DataFrame of means over the scans, of all series together and of each; empty without rows."""
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    parts = [table.assign(series=ALL)] + ([table] if table["series"].nunique() > 1 else [])
    return pd.concat(parts).groupby(["series", *keys], sort=False).mean().reset_index()
