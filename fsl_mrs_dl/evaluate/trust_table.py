"""Thresholds of the trust flag from simulated scans, and how well the flag tells spoilt scans from good ones."""

from dataclasses import replace

import numpy as np
import pandas
from scipy.stats import rankdata

from ..errors import ModelError
from ..fit.align import Aligner
from ..fit.predict import look
from ..fit.scan import MAX_FIELD_DIFFERENCE, Scan
from ..fit.trust_checks import Checks
from ..model.thresholds import CheckScale, Thresholds, joined, logarithms, regressors
from ..synth.dataset import GRID_DWELL_S
from .trust_reference import make_reference
from .trust_scans import TESTED_ONLY, of_spectrum

COMMON, RARE = 0.97, 0.997
PATTERN_COMMON, PATTERN_RARE = 0.5, 0.9
CAUTION, OUT_OF_RANGE = 0.95, 0.995
"""Shares of good scans: below the two numbers of a check's scale (of the pattern's), and below the scores of the two
flags."""

RIDGE = 3.0
STEPS = 30
AT_ONCE = 64


def check_kind(basis, edited):
    """Refuse a model for which there are no scans that thresholds could be made from.

    Args:
        basis: BasisSet of the model.
        edited: BasisSet that the scans are simulated with.

    Raises:
        ModelError: it is of other metabolites or another field strength, or of a spectrum that is neither edit-off nor
            the difference.
    """
    ratio = basis.centre_hz / edited.centre_hz
    folder = basis.folders[0] if basis.folders else None
    known = len(basis.conditions) == 2 or (folder is not None and folder.name in ("off", "diff"))
    if set(basis.names) != set(edited.names) or abs(ratio - 1) > MAX_FIELD_DIFFERENCE or not known:
        raise ModelError(
            f"Thresholds are made from simulated scans of {', '.join(edited.names)} at {edited.centre_hz / 1e6:.0f} "
            "MHz, for both edited spectra, edit-off (folder off) or the difference (folder diff); the basis of this "
            "model is for others: leave it without."
        )


def scans_for(basis, scans):
    """TrustScans as a model of the basis set takes them: both conditions, or the only one."""
    if len(basis.conditions) == 2:
        return scans
    return scans.single(of_spectrum(basis))


def _looks(model, basis, fids):
    """`predict.Seen` of (scan, condition, point) FIDs, some at a time, which are referenced and phased first."""
    aligner = Aligner(Scan(fids[0], basis.conditions, GRID_DWELL_S, basis.centre_hz), basis)
    for start in range(0, len(fids), AT_ONCE):
        block = fids[start : start + AT_ONCE].astype(complex)
        shift_hz, phase_rad, _ = aligner.find(block[:, 0])
        yield look(model, aligner.remove(block, shift_hz[:, None], phase_rad[:, None]))


def checks_of(model, basis, fids, reference=None):
    """Values of all checks of (scan, condition, point) FIDs, which are referenced and phased first."""
    checks = Checks(model, basis, reference=reference)
    parts = [checks(seen) for seen in _looks(model, basis, fids)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def learn(model, good, spoilt, source, reference=None):
    """Thresholds from the checks of good scans and of every kind of spoilt ones.

    Args:
        model: TrainedModel.
        good: dict of check -> (scan,), as of `checks_of`.
        spoilt: kind -> such a dict.
        source: the scans, in words.
        reference: TrustReference that the checks were made with.

    Returns:
        Thresholds. The regression is taught on every other scan, and its scale taken from the rest.
    """
    names = tuple(good)
    logs = logarithms(good, names)
    centre, spread = np.median(logs, 0), np.maximum(logs.std(0), 0.1)
    kinds = [logarithms(values, names) for values in spoilt.values()]
    columns = [regressors(part, centre, spread) for part in (logs[::2], *kinds)]
    target = np.concatenate([np.full(len(part), float(index > 0)) for index, part in enumerate(columns)])
    share = [1.0, *[len(columns[0]) / (len(kinds) * len(part)) for part in columns[1:]]]
    importance = np.concatenate([np.full(len(part), value) for part, value in zip(columns, share, strict=True)])
    weights = _logistic(np.concatenate(columns), target, importance)
    table = np.column_stack([logs, np.nan * logs[:, :1]])
    table[1::2, -1] = regressors(logs[1::2], centre, spread) @ weights
    low, high = (np.nanquantile(table, share, 0) for share in (COMMON, RARE))
    low[-1], high[-1] = np.nanquantile(table[:, -1], (PATTERN_COMMON, PATTERN_RARE))
    scales = tuple(
        CheckScale(name, float(one), float(max(other, one + 0.01)))
        for name, one, other in zip((*names, "pattern"), low, high, strict=True)
    )
    numbers = (tuple(map(float, part)) for part in (centre, spread, weights))
    made = Thresholds(model.weights_sha256 or "", source, scales, *numbers, 1.0, 2.0, reference)
    held_out = {name: values[1::2] for name, values in good.items()}
    caution, out_of_range = np.quantile(joined(made.scores(held_out)), (CAUTION, OUT_OF_RANGE))
    return replace(made, caution=float(caution), out_of_range=float(out_of_range))


def _logistic(columns, target, importance):
    """Weights of a ridge logistic regression, by Newton's method."""
    weights = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        odds = 1 / (1 + np.exp(-np.clip(columns @ weights, -30, 30)))
        curvature = (columns * (importance * odds * (1 - odds))[:, None]).T @ columns + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(curvature, columns.T @ (importance * (target - odds)) - RIDGE * weights)
    return weights


def judge_model(model, basis, edited, pools, to_learn, to_test, source):
    """Thresholds of a model, and how they judge other scans.

    Args:
        model: TrainedModel.
        basis: its BasisSet.
        edited: BasisSet of both spectra that the scans are made with.
        pools: BasisPool that they are drawn from, and that of `trust_reference.foreign_pool`.
        to_learn, to_test: TrustScans of edit-off and edit-on, of different seeds.
        source: the scans, in words.

    Returns:
        Thresholds, and the DataFrame of `trust_table`.
    """
    # Refining takes time and changes nothing that the checks read.
    model = model.refined(0)
    to_learn, to_test = scans_for(basis, to_learn), scans_for(basis, to_test)
    features = [seen.output.features.numpy() for seen in _looks(model, basis, to_learn.clean)]
    reference = make_reference(model, basis, edited, *pools, np.concatenate(features))
    good, spoilt = _measured(model, basis, to_learn, reference, TESTED_ONLY)
    thresholds = learn(model, good, spoilt, source, reference)
    return thresholds, trust_table(thresholds, *_measured(model, basis, to_test, reference))


def _measured(model, basis, scans, reference, left_out=()):
    """Checks of good scans, and of the kinds of spoilt ones."""
    kinds = {kind: fids for kind, fids in scans.spoilt.items() if kind not in left_out}
    spoilt = {kind: checks_of(model, basis, fids, reference) for kind, fids in kinds.items()}
    return checks_of(model, basis, scans.clean, reference), spoilt


def roc_area(good, spoilt):
    """Area under the ROC curve: how often a spoilt scan has a higher score than a good one (ties count half)."""
    ranks = rankdata(np.concatenate([good, spoilt]))[len(good) :]
    return float((ranks.mean() - (len(spoilt) + 1) / 2) / len(good))


def trust_table(thresholds, good, spoilt):
    """DataFrame with a row for each kind of scan: area under the ROC curve, and shares of the flags.

    Args:
        thresholds: Thresholds.
        good, spoilt: as `learn`, of scans that the thresholds were not made from.
    """
    scores = {"good scans": joined(thresholds.scores(good))}
    scores |= {kind: joined(thresholds.scores(values)) for kind, values in spoilt.items()}
    scores["all spoilt scans"] = np.concatenate([scores[kind] for kind in spoilt])
    rows = []
    for kind, values in scores.items():
        cautioned, refused = (float((values > limit).mean()) for limit in (thresholds.caution, thresholds.out_of_range))
        area = np.nan if kind == "good scans" else roc_area(scores["good scans"], values)
        rows.append((kind, len(values), area, 1 - cautioned, cautioned - refused, refused))
    return pandas.DataFrame(rows, columns=["scans", "number", "area", "in range", "caution", "out of range"])
