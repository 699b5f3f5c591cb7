"""Scans with lines as narrow as the basis set's are broadened before they reach the network."""

import numpy as np
import torch

from fsl_mrs_dl.fit import predict
from fsl_mrs_dl.fit.predict import BROADENING_HZ, run_network
from fsl_mrs_dl.model.output import LINE_PARAMETERS


def test_only_narrow_scans_are_broadened(tiny_model, tiny_basis, monkeypatch):
    t = np.arange(2048) * 5e-4
    scan = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids)
    scans = np.stack([scan, scan * np.exp(-np.pi * 6 * t)])
    given = []
    original = predict._run

    def watched(model, fids):
        given.append(fids)
        return original(model, fids)

    monkeypatch.setattr(predict, "_run", watched)
    # The tiny model knows widths roughly: a limit between the two scans.
    monkeypatch.setattr(predict, "NARROW_HZ", 3.5)
    _, line = run_network(tiny_model, scans)
    lorentz = line[:, LINE_PARAMETERS.index("lorentz_hz")]
    assert len(given) == 2 and len(given[1]) == 1
    decay = torch.exp(-torch.pi * BROADENING_HZ * torch.as_tensor(t)).to(torch.complex64)
    torch.testing.assert_close(given[1][0], given[0][0] * decay)
    assert abs(lorentz[0]) < 2 and lorentz[1] > 3.5


def test_a_batch_equals_one_by_one(tiny_model, tiny_basis):
    t = np.arange(2048) * 5e-4
    scan = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids)
    scans = np.stack([scan * np.exp(-np.pi * width * t) for width in (0, 3, 6)])
    together = run_network(tiny_model, scans)
    for index in range(3):
        alone = run_network(tiny_model, scans[index : index + 1])
        for both, one in zip(together, alone):
            np.testing.assert_allclose(both[index], one[0], atol=1e-5)
