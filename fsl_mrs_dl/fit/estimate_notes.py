"""Notes on how the estimates of a scan came about."""

from ..model.guarded import GuardedOutput
from ..model.unshrink import MOST

DISBELIEVED = "Edit-on contradicts edit-off: the concentrations are to {share:.0%} those of edit-off alone."
"""Note of a scan whose both spectra a guarded network believes to less than a half."""

CUT = "{name} was brought to {limit} by the correction of estimates (the network says {own:.3f}): see its interval."
"""Note of an estimate that a correction moved to an end of the range."""

FREE = 0.01
"""Estimates of a network within this of an end of the range may be moved there without a note."""

SHRUNK = (
    "Warning: the concentrations are not corrected for shrinkage (--shrunk): single ones are on average nearer to the "
    "truth, means over scans are drawn to typical contents."
)
"""Note of such estimates; a warning, as those show with many scans too, and usual estimates are another thing."""

UNCORRECTED = "The concentrations are not corrected for shrinkage: the model was calibrated on too few scans for that."
"""Note of a model whose calibration has no correction."""

UNCALIBRATED = (
    "Warning: the model has no calibration, so nothing is known of its errors: FSL-MRS's tables hold Cramér-Rao bounds "
    "in their place (fsl_mrs_dl calibrate makes one)."
)
"""Note of a model without one."""

REFINED = "Warning: the estimates are refined (--refine {steps}): compare them with usual ones with care."
"""Note of estimates refined in a number of steps."""

OTHER_STEPS = (
    "Warning: the estimates are not corrected for shrinkage, and the error bars may not hold: both were made with "
    "--refine {steps} (fsl_mrs_dl calibrate --refine makes others)."
)
"""Note of a calibration that was made with another number of steps."""

ADAPTED = (
    "The concentrations are corrected for the scanner of {scans} scans of {samples} known contents (their mean error, "
    "each corrected by the others: {before:.3f} before, {after:.3f} after)."
)
"""Note of a model with a ScannerCorrection."""

NOT_ADAPTED = (
    "Warning: the concentrations are not corrected for the scanner: that correction is of estimates refined in {steps} "
    "steps and {shrinkage} for shrinkage."
)
"""Note of such a model whose estimates are other ones than the correction is of."""

UNLIKE = (
    "Warning: the correction for the scanner may not hold here, as it was learnt from scans of other contents: "
    "{contents}."
)
"""Note of a scan of contents that the known ones do not hold."""


def disbelieved(output):
    """Note on what the estimate of one scan comes from, where that is not both spectra."""
    if not isinstance(output, GuardedOutput) or output.belief[0] >= 0.5:
        return ()
    return (DISBELIEVED.format(share=1 - float(output.belief[0])),)


def cut(names, own, corrected):
    """Notes on metabolites that a correction moved to an end of the range.

    Args:
        names: of the metabolites.
        own, corrected: (metabolite,) what the network says and what is given.
    """
    notes = []
    for name, before, after in zip(names, own, corrected):
        limit = 0 if after <= 0 else 1
        if before != after and (after <= 0 or after >= MOST) and abs(before - limit) > FREE:
            notes.append(CUT.format(name=name, limit=limit, own=before))
    return tuple(notes)


def unlike(model, concentrations):
    """Notes on contents that a TrainedModel's scanner correction does not know; concentrations (metabolite,)."""
    if not model.adapted:
        return ()
    told = [
        "{} {:.2f}, there {:.2f} to {:.2f}".format(
            model.config.metabolites[number], concentrations[number], *model.scanner.contents[number]
        )
        for number in model.scanner.unlike(concentrations)
    ]
    return (UNLIKE.format(contents="; ".join(told)),) if told else ()


def settings(model):
    """Notes on what is done to the estimates of a TrainedModel."""
    notes = [REFINED.format(steps=model.steps)] if model.steps else []
    if model.adapted:
        notes.append(ADAPTED.format(**vars(model.scanner)))
    elif model.scanner is not None:
        shrinkage = "corrected" if model.scanner.corrected else "not corrected"
        notes.append(NOT_ADAPTED.format(steps=model.scanner.steps, shrinkage=shrinkage))
    if model.calibration is None:
        return (*notes, UNCALIBRATED)
    if model.calibration.steps != model.steps:
        notes.append(OTHER_STEPS.format(steps=model.calibration.steps))
    if not model.correctable:
        notes.append(UNCORRECTED)
    elif model.shrunk and model.calibration.steps == model.steps:
        notes.append(SHRUNK)
    return tuple(notes)
