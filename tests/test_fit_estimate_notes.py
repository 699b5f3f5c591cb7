"""Notes on how estimates came about."""

import dataclasses

from fsl_mrs_dl.fit.estimate_notes import CUT, OTHER_STEPS, REFINED, SHRUNK, UNCALIBRATED, UNCORRECTED, settings
from fsl_mrs_dl.fit.predict import predict
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.model.prior import Prior
from fsl_mrs_dl.model.refine import Refiner
from fsl_mrs_dl.model.unshrink import GRID, MOST, SURE, Correction

from .test_fit_quantify import fids_of
from .test_fit_uncertainty import halved


def test_a_note_tells_what_the_correction_brought_to_an_end_of_the_range(tiny_model, tiny_basis):
    model = halved(tiny_model)
    knots = model.calibration.correction.knots
    ends = tuple((float(value > 0.4),) * len(SURE) for value in GRID.tolist())
    wide = dataclasses.replace(model.calibration, correction=Correction(knots, (ends,) * 3))
    scan = Scan(fids_of(tiny_basis), tiny_basis.conditions, tiny_basis.dwell_s, tiny_basis.centre_hz)
    own = predict(model.with_shrinkage(), scan, tiny_basis).concentrations
    found = predict(dataclasses.replace(model, calibration=wide), scan, tiny_basis)
    told = [
        CUT.format(name=name, limit=round(after), own=before)
        for name, before, after in zip(found.names, own, found.concentrations)
        if before < 1 and after in (0.0, MOST)
    ]
    assert told and [note for note in found.notes if "brought to" in note] == told
    assert not any("brought to" in note for note in predict(model, scan, tiny_basis).notes)


def test_a_note_tells_where_there_is_no_correction(tiny_model, tiny_basis):
    few = dataclasses.replace(tiny_model.calibration, correction=None, corrected=None)
    scan = Scan(fids_of(tiny_basis), tiny_basis.conditions, tiny_basis.dwell_s, tiny_basis.centre_hz)
    for calibration, told in ((few, UNCORRECTED), (halved(tiny_model).calibration, None), (None, UNCALIBRATED)):
        notes = predict(dataclasses.replace(tiny_model, calibration=calibration), scan, tiny_basis).notes
        assert [note for note in notes if note in (UNCORRECTED, UNCALIBRATED)] == [told] * (told is not None)


def test_each_setting_is_told_once(tiny_model):
    model = halved(tiny_model)
    steps = Refiner(Prior(((1.0, 0.0), (0.0, 1.0)), 1.0, 64, "a toy"), 2)
    refined = dataclasses.replace(model, refiner=steps)
    other = REFINED.format(steps=2), OTHER_STEPS.format(steps=0)
    assert settings(dataclasses.replace(model, calibration=None)) == (UNCALIBRATED,)
    assert settings(model) == () and settings(model.with_shrinkage()) == (SHRUNK,)
    # Refined estimates are not corrected anyway, so --shrunk changes nothing.
    assert settings(refined) == settings(refined.with_shrinkage()) == other
    known = dataclasses.replace(refined, calibration=dataclasses.replace(model.calibration, steps=2))
    assert settings(known) == (REFINED.format(steps=2),)
    assert settings(known.with_shrinkage()) == (REFINED.format(steps=2), SHRUNK)
