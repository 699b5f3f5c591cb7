"""The checks of the trust flag: every fault raises its own, and neither unit nor batch matter."""

import numpy as np
import pandas
import pytest

from fsl_mrs_dl import axes
from fsl_mrs_dl.fit.predict import look
from fsl_mrs_dl.fit.trust_checks import Checks

from .conftest import CENTRE_HZ
from .fit_examples import noise_of, scans_of

DWELL_S = 5e-4


def measured(model, basis, fids):
    return Checks(model, basis)(look(model, fids))


def test_a_scan_that_the_basis_makes_leaves_nothing_and_each_fault_its_own_check(tiny_model, tiny_basis):
    """Without noise the residual is that of the line shape alone; every fault raises its own check."""
    fids = np.einsum("m,cmp->cp", [1.0, 0.5, 0.8], tiny_basis.fids) * np.exp(-np.pi * 3 * axes.time_axis(2048, DWELL_S))
    random = 1e-3 * np.abs(fids).max() * noise_of(1, 0)[0]
    t = axes.time_axis(2048, DWELL_S)

    def line(ppm, height, width_hz=5):
        return height * np.exp((2j * np.pi * axes.ppm_to_hz(ppm, CENTRE_HZ) - np.pi * width_hz) * t)

    cases = {
        "good": fids, "line": fids + line(3.5, 1), "lipid": fids + line(1.3, 3, 15), "water": fids + line(4.65, 500),
        "editing": fids[::-1], "subtraction": fids + [line(3.2, 1), 0 * t],
    }  # fmt: skip
    found = measured(tiny_model, tiny_basis, np.array([case + random for case in cases.values()]))
    table = pandas.DataFrame(found, index=list(cases))
    assert table.loc["good", "residual"] < 0.1 and table.loc["good", "line"] < 0.3
    for name in list(cases)[1:]:
        assert table.loc[name, name] > 3 * table.loc["good", name], (name, table[name])


def test_width_and_noise_are_those_that_the_scan_has(tiny_model, tiny_basis):
    """A width far beyond the training's is found by least squares; noise comes in units of the first point."""
    t = axes.time_axis(2048, DWELL_S)
    clean = np.einsum("m,cmp->cp", [1.0, 0.5, 0.8], tiny_basis.fids)
    wide = clean * np.exp(-np.pi * 17 * t)
    noise = noise_of(1, 3)[0] * 0.01 * np.abs(clean[0, 0])
    found = measured(tiny_model, tiny_basis, (wide + noise)[None])
    narrow = measured(tiny_model, tiny_basis, (clean * np.exp(-np.pi * 4 * t) + noise)[None])
    assert found["width"][0] > 1.1 > 0.9 > narrow["width"][0]
    assert narrow["noise"][0] == pytest.approx(0.01 * np.sqrt(2), rel=0.3)


@pytest.mark.parametrize("factor", (2.0**-40, 2.0**40))
def test_the_unit_of_a_scan_does_not_matter(tiny_model, tiny_basis, factor):
    fids = scans_of(tiny_basis, 2, 1)
    found = measured(tiny_model, tiny_basis, fids * factor)
    for name, values in measured(tiny_model, tiny_basis, fids).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, err_msg=name)


def test_a_batch_is_one_by_one(tiny_model, tiny_basis):
    fids = scans_of(tiny_basis, 3, 1)
    together = measured(tiny_model, tiny_basis, fids)
    for row, fid in enumerate(fids):
        for name, value in measured(tiny_model, tiny_basis, fid[None]).items():
            assert value[0] == pytest.approx(together[name][row], rel=2e-3, abs=1e-3), name
