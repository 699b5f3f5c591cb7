"""Scans of narrow lines are broadened before they reach the network."""

import dataclasses

import numpy as np
import pytest
import torch

from fsl_mrs_dl.errors import DataError
from fsl_mrs_dl.fit import predict
from fsl_mrs_dl.fit.predict import BROADENING_HZ, check_scan_fits, estimates, look
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.model.output import LINE_PARAMETERS


def test_a_model_of_narrow_lines_alone_broadens_nothing(tiny_model, tiny_basis):
    scan = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids)[None]
    line = tiny_model.config.line
    assert look(tiny_model, scan).narrow.all()
    alone = dataclasses.replace(line, centre=(1.0, *line.centre[1:]), half_range=(0.1, *line.half_range[1:]))
    model = dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, line=alone))
    assert not look(model, scan).narrow.any()


def test_only_narrow_scans_are_broadened(tiny_model, tiny_basis, monkeypatch):
    t = np.arange(2048) * 5e-4
    scan = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids)
    scans = np.stack([scan, scan * np.exp(-np.pi * 6 * t)])
    given = []
    original = predict._run

    def watched(model, fids):
        given.append(fids.clone())
        return original(model, fids)

    monkeypatch.setattr(predict, "_run", watched)
    # The tiny model knows widths roughly: a limit between what it says of the two scans.
    _, line, _ = original(tiny_model, torch.as_tensor(scans, dtype=torch.complex64))
    widths = line[:, :2].clamp_min(0).sum(1)
    assert widths[1] > widths[0] + 1
    monkeypatch.setattr(predict, "NARROW_HZ", float(widths.mean()))
    _, after, *_, narrow = estimates(look(tiny_model, scans))
    assert len(given) == 2 and len(given[1]) == 1 and narrow.tolist() == [True, False]
    decay = torch.exp(-torch.pi * BROADENING_HZ * torch.as_tensor(t)).to(torch.complex64)
    torch.testing.assert_close(given[1][0], given[0][0] * decay)
    _, broadened, _ = original(tiny_model, given[1])
    lorentz = LINE_PARAMETERS.index("lorentz_hz")
    assert abs(after[0, lorentz] - (float(broadened[0, lorentz]) - BROADENING_HZ)) < 1e-6
    np.testing.assert_array_equal(after[1], line[1].numpy())


def test_a_batch_equals_one_by_one(tiny_model, tiny_basis):
    t = np.arange(2048) * 5e-4
    scan = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids)
    scans = np.stack([scan * np.exp(-np.pi * width * t) for width in (0, 3, 6)])
    together = estimates(look(tiny_model, scans))
    for index in range(3):
        alone = estimates(look(tiny_model, scans[index : index + 1]))
        for both, one in zip(together, alone):
            np.testing.assert_allclose(both[index], one[0], atol=1e-5)


def test_rows_of_narrow_scans_are_those_of_the_second_look(tiny_model, tiny_basis, monkeypatch):
    """Every field of the output belongs to the FIDs beside it, broadened or not."""
    t = np.arange(2048) * 5e-4
    scan = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids)
    fids = np.stack([scan, scan * np.exp(-np.pi * 6 * t)])
    widths = look(tiny_model, fids).line[:, :2].clamp_min(0).sum(1)
    monkeypatch.setattr(predict, "NARROW_HZ", float(widths.mean()))
    seen = look(tiny_model, fids)
    monkeypatch.setattr(predict, "NARROW_HZ", -1.0)
    again = look(tiny_model, seen.fids)
    assert seen.narrow.tolist() == [True, False] and not again.narrow.any()
    for field in dataclasses.fields(seen.output):
        torch.testing.assert_close(getattr(seen.output, field.name), getattr(again.output, field.name))


@pytest.mark.parametrize("factor", (2.0**-90, 2.0**70))
def test_the_unit_of_a_scan_does_not_matter(tiny_model, tiny_basis, factor):
    """Its squares would leave single precision."""
    fids = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids)[None] * np.exp(-np.arange(2048) / 100)
    for one, other in zip(*(estimates(look(tiny_model, given)) for given in (fids, fids * factor))):
        np.testing.assert_array_equal(one, other)


def test_a_spectrum_that_ends_within_the_band_is_refused(tiny_model, tiny_basis):
    fids = tiny_basis.fids.sum(1)
    scan = Scan(fids[:, ::2], tiny_basis.conditions, 2 * tiny_basis.dwell_s, tiny_basis.centre_hz)
    check_scan_fits(tiny_model, scan)
    with pytest.raises(DataError, match="bandwidth of 500 Hz"):
        check_scan_fits(tiny_model, dataclasses.replace(scan, fids=fids[:, ::4], dwell_s=4 * tiny_basis.dwell_s))
