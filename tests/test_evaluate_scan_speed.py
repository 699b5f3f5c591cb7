"""Times of simulated scans: scans of known contents, a network on all of them, Newton on some."""

import dataclasses

import numpy as np
import pytest

from fsl_mrs_dl.evaluate import scan_speed
from fsl_mrs_dl.evaluate.run import Outcome
from fsl_mrs_dl.evaluate.scan_speed import ScanSpeed, network_speed, newton_speed, simulate_scans
from fsl_mrs_dl.fit.predict import BatchPredictor

from .conftest import PHANTOM

RECIPE = dataclasses.replace(PHANTOM, water=(0.0, 0.5), lorentz_hz=(1.5, 9.0))


def test_scans_are_those_of_the_recipe_and_their_contents_are_known(tiny_basis):
    scans = simulate_scans(tiny_basis, RECIPE, 300)
    assert scans.fids.shape == (300, 2, 2048) and scans.contents.shape == (300, 3)
    assert (scans.contents.max(1) == 1).all() and np.unique(scans.contents[:, 0]).size > 100
    fewer = simulate_scans(tiny_basis, RECIPE, 100)
    assert (fewer.fids == scans.fids[:100]).all() and (fewer.contents == scans.contents[:100]).all()
    one = scans.scan(7)
    assert one.edited and (one.fids == scans.fids[7]).all()


def test_a_network_is_timed_on_every_scan(tiny_basis, tiny_model):
    scans = simulate_scans(tiny_basis, RECIPE, 150)
    speed = network_speed(tiny_model, scans)
    found, _ = BatchPredictor(tiny_model, scans.scan(0), tiny_basis)(scans.fids)
    assert speed.error == pytest.approx(np.abs(found.concentrations - scans.contents).mean(), abs=1e-4)
    assert (speed.name, speed.scans) == (tiny_model.name, 150)
    assert 0 < speed.median_ms < 100 and speed.cpu_s > 0.5 * 150 * speed.median_ms / 1e3
    assert speed.scans_per_s == pytest.approx(150 / speed.wall_s)


def test_metabolites_are_compared_by_name(tiny_basis, tiny_model):
    scans = simulate_scans(tiny_basis, RECIPE, 64)
    turned = scan_speed.Scans(scans.fids, scans.contents[:, ::-1], tiny_basis.keep(tiny_basis.names[::-1]))
    assert network_speed(tiny_model, turned).error == pytest.approx(network_speed(tiny_model, scans).error, abs=1e-4)


def test_newton_is_timed_one_by_one_and_failures_are_left_out(tiny_basis, monkeypatch):
    scans = simulate_scans(tiny_basis, RECIPE, 5)
    seen = []

    def outcome_of(method, scan):
        place = int(scan.name.split()[1])
        seen.append((place, scan.conditions))
        if place == 4:
            return Outcome({}, {"single": "LinAlgError: singular"}, 9.0, 9.0)
        contents = 2.0 * scans.contents[place] + 0.2 * (place == 2)
        return Outcome({"single": dict(zip(tiny_basis.names, contents.tolist()))}, {}, 2.0 + place, 1.0 + place)

    monkeypatch.setattr(scan_speed, "outcome_of", outcome_of)
    speed = newton_speed(scans, 3, None, "none")
    assert [place for place, _ in seen] == [0, 2, 0, 2, 4] and {kind for _, kind in seen} == {("single",)}
    assert (speed.name, speed.scans, speed.wall_s, speed.cpu_s) == ("FSL-MRS Newton, edit-off", 2, 6.0, 4.0)
    wrong = 2 * scans.contents[2] + 0.2
    expected = np.abs(wrong / wrong.max() - scans.contents[2]).mean() / 2
    assert speed.median_ms == 2000.0 and speed.error == pytest.approx(expected)


@pytest.mark.with_fsl_mrs
def test_newtons_own_fit_finds_the_contents(tiny_basis):
    clean = dataclasses.replace(RECIPE, water=(0.0, 0.0), satellite=(0.0, 0.0), noise_sigma=(0.0, 1e-4))
    from fsl_mrs_dl.evaluate.conventional import PPM_RANGE
    from fsl_mrs_dl.fslmrs.newton import NewtonFit, newton_version

    fit, version = NewtonFit(PPM_RANGE), newton_version(PPM_RANGE)
    speed = newton_speed(simulate_scans(tiny_basis, clean, 4), 2, fit, version)
    assert isinstance(speed, ScanSpeed) and speed.scans == 2 and speed.error < 0.1 and speed.median_ms > 1
