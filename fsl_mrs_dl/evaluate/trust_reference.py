"""What the trust flag compares scans with: metabolites outside the model on many scanners, and what bases vary by."""

import math

import numpy as np

from ..axes import time_axis
from ..basis.pool import sample_pool
from ..fit.band_fit import BandFit
from ..model.trust_reference import StoredArray, TrustReference
from .trust_scans import of_spectrum

FOREIGN = ("Ins", "Lac", "PCh", "Tau", "GSH", "Asp", "Ala", "Gly", "Scyllo")
"""Metabolites of brains and phantoms that a scan is searched for where the model lacks them."""

SCANNERS = 16
"""Scanners that their signals are simulated for."""

DIRECTIONS = 20
"""Signals that all of these are put together from."""

VARIATIONS = 3
"""Ways in which each metabolite of the model may depart from the basis set."""

TYPICAL_HZ = 4.0
"""Broadening at which signals are compared when these are chosen (Hz)."""

VISIBLE = 0.2
"""A metabolite of which a spectrum shows less than this share of its edit-off signal is not searched for."""

AXES = 24
"""Axes of the network's features."""

STANDARD = "Cr"
"""Metabolite by which simulated signals are brought to the scale of the basis set."""


def foreign_pool(pool):
    """BasisPool of `SCANNERS` other scanners of a pool's priors: metabolites outside the model, and `STANDARD`."""
    return sample_pool(pool.priors, (STANDARD, *FOREIGN), SCANNERS, pool.seed + 1)


def make_reference(model, basis, edited, pool, foreign, features):
    """TrustReference of a model.

    Args:
        model: TrainedModel.
        basis: its BasisSet.
        edited: BasisSet of edit-off and edit-on that it is of, or a part of.
        pool: BasisPool of other scanners.
        foreign: BasisPool of `foreign_pool`.
        features: (scan, feature) of the network in good scans.
    """
    spectrum = None if len(basis.conditions) == 2 else of_spectrum(basis)
    names, signals = _foreign_signals(model, edited, foreign, spectrum)
    directions, mixtures = _directions(signals.reshape(-1, *signals.shape[2:]), model.config.input.dwell_s)
    variations = _variations(model, basis, pool, spectrum)
    fit, grid = BandFit(model.config.input), model.config.input
    fids = basis.keep(model.config.metabolites).resample(grid.dwell_s, grid.points).fids
    unit = fit.shorten(fids).abs().amax().item()
    mean, axes, sd = _feature_space(features)
    return TrustReference(
        foreign=names,
        directions=StoredArray.of(np.moveaxis(fit.stored(directions) / unit, 0, 1)),
        mixtures=StoredArray.of(mixtures.reshape(*signals.shape[:2], -1)),
        variations=StoredArray.of(fit.stored(variations) / unit),
        feature_mean=StoredArray.of(mean),
        feature_axes=StoredArray.of(axes),
        feature_sd=StoredArray.of(sd),
    )


def _conditions(fids, spectrum):
    """(..., condition, point) FIDs of what a model sees, of edit-off and edit-on."""
    if spectrum is None:
        return fids
    return fids[..., :1, :] if spectrum == "edit_off" else fids[..., 1:, :] - fids[..., :1, :]


def _foreign_signals(model, edited, made, spectrum):
    """Names, and (metabolite, scanner, condition, point) FIDs in the scale of the basis set."""
    names = [name for name in made.names if name not in (STANDARD, *model.config.metabolites)]
    grid = model.config.input
    standard = edited.keep([STANDARD]).resample(made.dwell_s, made.points).fids[0, 0]
    own = made.fids[:, 0, made.names.index(STANDARD)]
    scale = np.linalg.norm(standard) / np.linalg.norm(own, axis=1)
    chosen = made.fids[:, :, [made.names.index(name) for name in names]]
    fids = np.moveaxis(chosen * scale[:, None, None, None], 2, 0)
    seen = _conditions(fids, spectrum)
    power, of_off = ((np.abs(part) ** 2).sum((1, 2, 3)) for part in (seen, fids[:, :, :1]))
    shown = power > VISIBLE**2 * of_off
    return tuple(name for name, one in zip(names, shown, strict=True) if one), seen[shown][..., : grid.points]


def _broadened(fids, dwell_s):
    """Rows of real numbers (signal, value) of broadened FIDs (signal, condition, point), for comparing them."""
    decay = np.exp(-math.pi * TYPICAL_HZ * time_axis(fids.shape[-1], dwell_s))
    rows = (fids * decay).reshape(len(fids), -1)
    return np.concatenate([rows.real, rows.imag], 1)


def _directions(signals, dwell_s):
    """FIDs (direction, condition, point) of which signals (signal, condition, point) are mixtures, and these."""
    rows = _broadened(signals, dwell_s)
    size = np.linalg.norm(rows, axis=1)
    left, strength, _ = np.linalg.svd(rows / size[:, None], full_matrices=False)
    left, strength = left[:, :DIRECTIONS], strength[:DIRECTIONS]
    fids = np.einsum("jd,jcp->dcp", left / strength / size[:, None], signals)
    # Unit size keeps both in the range of half precision.
    typical = np.median(size)
    return fids * typical, left * strength * size[:, None] / typical


def _variations(model, basis, pool, spectrum):
    """(condition, metabolite, variation, point) FIDs: principal departures of a pool's members from the basis set."""
    grid = model.config.input
    own = np.moveaxis(basis.keep(model.config.metabolites).resample(grid.dwell_s, grid.points).fids, 1, 0)
    order = [pool.names.index(name) for name in model.config.metabolites]
    members = _conditions(np.moveaxis(pool.fids[:, :, order], 2, 1), spectrum)[..., : grid.points]
    # Each member at the amplitude and phase of the basis set: a scan has its own.
    scale = (members.conj() * own).sum((1, 2, 3)) / (np.abs(members) ** 2).sum((1, 2, 3))
    apart = members * scale[:, None, None, None] - own
    count = min(VARIATIONS, len(members))
    found = np.zeros((*own.shape[:2], count, grid.points), complex)
    for metabolite in range(own.shape[0]):
        for condition in range(own.shape[1]):
            one = apart[:, metabolite, condition]
            left = np.linalg.svd(_broadened(one[:, None], grid.dwell_s), full_matrices=False)[0][:, :count]
            found[metabolite, condition] = left.T @ one / math.sqrt(len(one))
    return np.moveaxis(found, 0, 1)


def _feature_space(features):
    """Mean, principal axes and standard deviations of features, see `TrustReference`."""
    mean = features.mean(0)
    _, strength, axes = np.linalg.svd(features - mean, full_matrices=False)
    count = min(AXES, len(strength) - 1)
    axes, sd = axes[:count], np.maximum(strength[:count] / math.sqrt(len(features)), 1e-3)
    beside = features - mean - (features - mean) @ axes.T @ axes
    return mean, axes, np.append(sd, max(np.sqrt((beside**2).sum(1).mean()), 1e-3))
