"""A trained network on scans: from a Scan and a basis set to a Prediction."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from .. import axes
from ..errors import DataError, ModelError
from ..model.doubt import unexplained
from ..model.inputs import network_input, noise_level
from ..model.output import LINE_PARAMETERS, expected_spreads, to_largest
from .align import Aligner, align
from .estimate_notes import cut, disbelieved, settings, unlike
from .prediction import Prediction
from .scan import check_field, require_edited, resample_scan


def check_basis_fits(model, basis):
    """Refuse a basis set that the model was not trained with.

    Raises:
        ModelError: it lacks metabolites, has others, or has another fingerprint.
    """
    wanted = set(model.config.metabolites)
    if wanted != set(basis.names):
        lacking = ", ".join(sorted(wanted - set(basis.names))) or "none"
        foreign = ", ".join(sorted(set(basis.names) - wanted)) or "none"
        raise ModelError(
            f"The model {model.name} and the basis set have different metabolites (the basis set lacks {lacking}; the "
            f"model lacks {foreign}): take the basis set of the model, or train one on this basis set with "
            "fsl_mrs_dl train --basis."
        )
    if basis.fingerprint() != model.config.basis_fingerprint:
        raise ModelError(
            f"The basis set has the fingerprint {basis.fingerprint()[:12]}, the model {model.name} was trained with "
            f"{model.config.basis_fingerprint[:12]}: take that basis set, or train a model on this one with "
            "fsl_mrs_dl train --basis."
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan as the network's time grid wants it, and what was taken out of it.

    Attributes:
        fids: (condition, point) complex128, referenced and phased, on the model's time grid.
        shift_hz, phase_rad: frequency (Hz, positive to higher ppm) and zero-order phase (rad) that the scan has
            relative to them.
        notes: what there is to say about the referencing.
    """

    fids: np.ndarray
    shift_hz: float
    phase_rad: float
    notes: tuple[str, ...]


def prepare(model, scan, basis):
    """Reference and phase a scan and bring it to the model's time grid.

    Args:
        model: TrainedModel.
        scan: Scan of the model's conditions.
        basis: BasisSet of the model.

    Returns:
        Prepared.

    Raises:
        DataError, ModelError: the scan is not one for this model.
    """
    check_scan_fits(model, scan)
    grid = model.config.input
    aligned, shift_hz, phase_rad = align(scan, basis)
    fids = resample_scan(aligned, grid.dwell_s, grid.points, grid.centre_hz).fids
    return Prepared(fids, shift_hz, phase_rad, tuple(note for note in aligned.notes if note not in scan.notes))


def check_scan_fits(model, scan):
    """Refuse a scan of other conditions, another nucleus or another field strength than a model's.

    Raises:
        DataError, ModelError: the scan is not one for this model.
    """
    config = model.config
    if len(config.conditions) == 2:
        require_edited(scan)
    elif len(scan.conditions) != 1:
        raise ModelError(
            f"The model {model.name} takes one spectrum, {scan.name} holds {len(scan.conditions)}: take the model "
            "hybrid, or give one of its spectra."
        )
    if scan.nucleus != config.nucleus:
        raise ModelError(
            f"{scan.name} is of {scan.nucleus}, the model {model.name} of {config.nucleus}: train a model for it."
        )
    check_field(scan, config.input.centre_hz)
    _check_bandwidth(model, scan)


def _check_bandwidth(model, scan):
    """Refuse a scan whose spectrum ends within what the network sees: it would read nothing as no signal."""
    grid = model.config.input
    furthest = max(grid.ppm, key=lambda ppm: abs(axes.ppm_to_hz(ppm, grid.centre_hz)))
    needed_hz = 2 * abs(axes.ppm_to_hz(furthest, grid.centre_hz))
    # A tenth is let pass: only the edge of the band is missing then.
    if 1 / scan.dwell_s < 0.9 * needed_hz:
        raise DataError(
            f"{scan.name} has a bandwidth of {1 / scan.dwell_s:.0f} Hz, the model {model.name} needs about "
            f"{needed_hz:.0f} Hz to see {grid.ppm[0]:g} to {grid.ppm[1]:g} ppm: acquire more, or train a model for it."
        )


NARROW_HZ = 2.5
"""Estimated broadening (Lorentzian and Gaussian, Hz) below which a scan is broadened.

Lines may be narrower than any in training there; and those of 2 Hz may be taken for the published conditions, of
which a network is surer than it should be of any scan. Chosen for the intervals: of clean lines of 1 to 2 Hz on the
basis set itself, those of 95 % held 80 % without and 100 % with broadening, on other bases 89 and 98 %, at the same
errors on average (the weights of then; docs/results.md has what it does to the shipped ones).
"""

BROADENING_HZ = 4.0
"""Lorentzian width (Hz) by which; chosen with `NARROW_HZ` on simulated scans."""

BROADENED = (
    f"The lines are narrow (less than {NARROW_HZ:g} Hz wider than the basis set's): the network, and with it the trust "
    f"flag, saw the scan broadened by {BROADENING_HZ:g} Hz."
)
"""Note of such a scan."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Scans as a network judged them, and what it said.

    Attributes:
        fids: (scan, condition, point) complex64 tensor, each scan in a unit of its own; broadened where `narrow`.
        output: Output of the network.
        line: (scan, 4) float64 tensor in the order and units of `model.output.LINE_PARAMETERS`.
        narrow: (scan,) bool tensor, which scans were broadened.
        unexplained: (scan, condition) of `model.doubt.unexplained`; None where the model's calibration has no doubt.
        refined: model.refine.Refined of the output, its line float64 in units as `line`; None where not refined.
    """

    fids: torch.Tensor
    output: object
    line: torch.Tensor
    narrow: torch.Tensor
    unexplained: torch.Tensor | None = None
    refined: object | None = None


def look(model, fids):
    """Give prepared scans to a network.

    Scans of lines less than `NARROW_HZ` wider than the basis set's are broadened and given to it once more, if it knows
    such widths.

    Args:
        model: TrainedModel.
        fids: (scan, condition, point) complex array on the model's time grid, referenced and phased.

    Returns:
        Seen.
    """
    fids = torch.as_tensor(_in_unit(np.asarray(fids)), dtype=torch.complex64)
    output, line, left = _run(model, fids)
    lorentz, gauss = LINE_PARAMETERS.index("lorentz_hz"), LINE_PARAMETERS.index("gauss_hz")
    scale = model.config.line
    # Of a model that knows narrow lines alone, a broadened scan would be wider than any in training.
    known = line[:, lorentz] + BROADENING_HZ <= scale.centre[lorentz] + scale.half_range[lorentz]
    narrow = known & (line[:, [lorentz, gauss]].clamp_min(0).sum(1) < NARROW_HZ)
    if narrow.any():
        grid = model.config.input
        decay = torch.exp(-torch.pi * BROADENING_HZ * torch.arange(grid.points) * grid.dwell_s)
        fids[narrow] = fids[narrow] * decay
        again, line[narrow], its_left = _run(model, fids[narrow])
        output = _with_rows(output, again, narrow)
        if left is not None:
            left[narrow] = its_left
    return Seen(fids, output, line, narrow, left, _refined(model, fids, output))


def _refined(model, fids, output):
    """Refined of a network's output for FIDs; None of a model whose estimates are not refined."""
    if model.refiner is None:
        return None
    found = model.refiner(model.network, model.config.input, fids, output)
    line = output.shown_line + (found.line - output.line)
    return replace(found, line=model.config.line.restore(line).double())


def _in_unit(fids):
    """FIDs (scan, ...) divided by a power of 2 each, to a largest magnitude of 0.5 to 1.

    Squares of what scanners write may leave the range of single precision; by a power of 2 nothing is rounded.
    """
    largest = np.abs(fids).max(tuple(range(1, fids.ndim)), keepdims=True)
    return fids * np.ldexp(1.0, -np.frexp(largest.astype(float))[1])


@torch.no_grad()
def _run(model, fids):
    """Output of the network on FIDs as they are, line parameters (scan, 4), float64, and what is unexplained."""
    channels, scale = network_input(fids, model.config.input)
    output, left = model.network(channels), None
    if model.calibration is not None and model.calibration.doubt is not None:
        left = unexplained(output, channels, noise_level(fids, scale), model.config.input)
    return output, model.config.line.restore(output.shown_line).double(), left


def _with_rows(output, other, rows):
    """An Output with the scans of another one in some rows."""
    merged = {}
    for name in (field.name for field in fields(output)):
        values, its = getattr(output, name), getattr(other, name)
        if isinstance(values, torch.Tensor):
            merged[name] = values.clone()
            merged[name][rows] = its
        elif values is not None:
            merged[name] = _with_rows(values, its, rows)
    return replace(output, **merged)


def estimates(seen):
    """What a network said about scans, refined where the model is, the broadening of narrow ones taken out.

    Args:
        seen: Seen.

    Returns:
        concentrations (scan, metabolite) relative to the largest; line (scan, 4) in the order and units of
        `model.output.LINE_PARAMETERS`; twice logarithms of expected errors (scan, metabolite), as of
        `model.output.expected_spreads`; all float64; and which scans were broadened (scan,), bool.
    """
    best = seen.refined
    fractions, line = (seen.output.fractions, seen.line) if best is None else (best.fractions, best.line)
    line = line.clone()
    line[seen.narrow, LINE_PARAMETERS.index("lorentz_hz")] -= BROADENING_HZ
    found = to_largest(fractions.double()), line, *(spread.double() for spread in expected_spreads(seen.output))
    return *(values.numpy() for values in found), seen.narrow.numpy()


def predict_prepared(model, prepared, seen=None):
    """What the network says about a prepared scan, as a Prediction relative to the scan as it was read.

    Args:
        model: TrainedModel.
        prepared: Prepared.
        seen: `look` at its FIDs, where there is one already.
    """
    seen = seen or look(model, prepared.fids[None])
    concentrations, line, spread, own_spread, narrow = estimates(seen)
    own = concentrations[0]
    concentrations, uncertainty = model.judge(concentrations, spread, seen.unexplained, own_spread)
    concentrations, uncertainty = concentrations[0], None if uncertainty is None else uncertainty.take(0)
    notes = ((BROADENED,) if narrow[0] else ()) + disbelieved(seen.output) + settings(model)
    notes += cut(model.config.metabolites, own, concentrations) + unlike(model, concentrations)
    values = dict(zip(LINE_PARAMETERS, line[0]))
    return Prediction(
        names=model.config.metabolites,
        concentrations=concentrations,
        lorentz_hz=max(values["lorentz_hz"], 0.0),
        gauss_hz=max(values["gauss_hz"], 0.0),
        shift_hz=values["shift_hz"] + prepared.shift_hz,
        phase_rad=values["phase_rad"] + prepared.phase_rad,
        notes=notes,
        uncertainty=uncertainty,
    )


def predict(model, scan, basis):
    """What the network says about one scan.

    Args:
        model: TrainedModel.
        scan: Scan.
        basis: BasisSet that the model was trained with.

    Returns:
        Prediction, relative to the scan as it was read.

    Raises:
        DataError, ModelError: scan, basis set and model do not belong together.
    """
    check_basis_fits(model, basis)
    return predict_prepared(model, prepare(model, scan, basis))


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says about many scans; the fields are those of Prediction, with a first axis over scans.

    Attributes:
        concentrations: (scan, metabolite).
        lorentz_hz, gauss_hz, shift_hz, phase_rad: (scan,).
        uncertainty: Uncertainty of all of them; None of a model without a calibration.
        seen: Seen, what this was read from.
    """

    concentrations: np.ndarray
    lorentz_hz: np.ndarray
    gauss_hz: np.ndarray
    shift_hz: np.ndarray
    phase_rad: np.ndarray
    uncertainty: object | None = None
    seen: Seen | None = None


class BatchPredictor:
    """`predict` for any number of scans of one kind, many at a time.

    Args:
        model: TrainedModel.
        like: Scan that stands for all of them: points, dwell time, frequency, conditions, nucleus.
        basis: BasisSet that the model was trained with.

    Raises:
        DataError, ModelError: scans, basis set and model do not belong together.
    """

    def __init__(self, model, like, basis):
        check_basis_fits(model, basis)
        check_scan_fits(model, like)
        self._model, self._aligner = model, Aligner(like, basis)
        self._dwell_s, self._centre_hz = like.dwell_s, like.centre_hz

    def __call__(self, fids):
        """Predictions of (scan, condition, point) FIDs, and a tuple of warnings for each scan."""
        grid = self._model.config.input
        shift_hz, phase_rad, notes = self._aligner.find(fids[:, 0])
        aligned = self._aligner.remove(fids, shift_hz[:, None], phase_rad[:, None])
        dwell_s = grid.dwell_s * grid.centre_hz / self._centre_hz  # as scan.resample_scan
        resampled = axes.resample(aligned, self._dwell_s, dwell_s, grid.points)
        seen = look(self._model, resampled)
        concentrations, line, spread, own_spread, _ = estimates(seen)
        concentrations, uncertainty = self._model.judge(concentrations, spread, seen.unexplained, own_spread)
        values = dict(zip(LINE_PARAMETERS, line.T))
        found = Predictions(
            concentrations=concentrations,
            lorentz_hz=np.maximum(values["lorentz_hz"], 0.0),
            gauss_hz=np.maximum(values["gauss_hz"], 0.0),
            shift_hz=values["shift_hz"] + shift_hz,
            phase_rad=values["phase_rad"] + phase_rad,
            uncertainty=uncertainty,
            seen=seen,
        )
        return found, notes
