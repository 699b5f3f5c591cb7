"""Spoilt scans for the trust flag: every kind is there and is what it says."""

import dataclasses

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import read_basis, shipped_basis
from fsl_mrs_dl.basis.pool import sample_pool
from fsl_mrs_dl.basis.pool_priors import PoolPriors
from fsl_mrs_dl.errors import BasisError, ModelError
from fsl_mrs_dl.evaluate import trust_scans as module
from fsl_mrs_dl.evaluate.trust_table import check_kind

from .conftest import make_basis


@pytest.fixture(scope="module")
def wider():
    priors = PoolPriors.fixed(b0_t=2.8935486, positions=1)
    return sample_pool(priors, (*read_basis(shipped_basis()).names, *module.FOREIGN, *module.UNKNOWN), 1, 1)


@pytest.fixture(scope="module")
def scans(wider):
    basis = read_basis(shipped_basis())
    return module.trust_scans(basis, sample_pool(wider.priors, basis.names, 1, 1), wider, 8, 3)


def test_every_kind_of_the_list_is_there(scans):
    assert len(scans.spoilt) == 11 and scans.clean.shape == (8 * module.GOOD_EACH, 2, 2048)
    for fids in (scans.clean, *scans.spoilt.values()):
        assert fids.shape[1:] == (2, 2048) and np.isfinite(fids).all()


def test_kinds_are_what_they_say(scans):
    ppm = axes.ppm_axis(2048, 5e-4, 123.2e6)
    power = {kind: np.abs(axes.fid_to_spectrum(fids.astype(complex))) ** 2 for kind, fids in scans.spoilt.items()}

    def share(kind, low, high):
        inside = (ppm > low) & (ppm < high)
        return power[kind][..., inside].sum(-1) / power[kind].sum(-1)

    assert (share("water left in", 4.4, 4.9) > 0.7).all()
    assert share("lipid contamination", 0.5, 1.6).mean() > 0.2
    assert share("pure noise", 4.4, 4.9).mean() == pytest.approx(0.5 * 123.2 / 2000, rel=0.3)
    swapped = scans.spoilt["edit-on and edit-off swapped"]
    # Editing takes the singlet of NAA away: where it is larger in the second spectrum, they are swapped.
    naa = np.abs(axes.fid_to_spectrum(swapped.astype(complex)))[..., (ppm > 1.9) & (ppm < 2.1)].max(-1)
    assert (naa[:, 1] > naa[:, 0]).mean() >= 0.5


def test_lines_are_wide_in_every_scan_of_wide_lines_and_edit_on_belongs_to_edit_off(wider, monkeypatch):
    made = []

    class Kept(module.Stream):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            made.append(batch.draw)
            return batch

    monkeypatch.setattr(module, "Stream", Kept)
    basis = read_basis(shipped_basis())
    pool = sample_pool(PoolPriors(b0_t=2.8935486, positions=1), basis.names, 3, 1)
    module.trust_scans(basis, pool, wider, 16, 3)
    wide = [draw.lorentz_hz for draw in made if (draw.lorentz_hz == 20).any()]
    assert len(wide) == 2 and (torch.cat(wide) == 20).all()
    assert all((draw.on_member == draw.member[:, None]).all() for draw in made)


def test_more_of_a_metabolite_outside_the_model_shows_more_of_it(wider):
    basis, ppm = read_basis(shipped_basis()), axes.ppm_axis(2048, 5e-4, 123.2e6)
    heights = []
    for shares in ((0.1, 0.3), (0.5, 1.0)):
        fids = module.foreign_scans(basis, wider, ["PCh"], 12, 3, shares)
        assert fids.shape == (12, 2, 2048)
        spectra = np.abs(axes.fid_to_spectrum(fids[:, 0].astype(complex)))
        line = spectra[:, (ppm > 3.1) & (ppm < 3.3)].max(1)
        heights.append(np.median(line / spectra[:, (ppm > 1.8) & (ppm < 2.9)].max(1)))
    assert heights[1] > 1.5 * heights[0]


def test_only_models_that_the_scans_are_for_get_thresholds():
    edited = read_basis(shipped_basis())
    for folder in ("", "off", "diff"):
        check_kind(read_basis(shipped_basis() / folder), edited)
    other = dataclasses.replace(edited, centre_hz=297.2e6)
    for basis in (make_basis(), make_basis(conditions=("single",)), other, read_basis(shipped_basis() / "on")):
        with pytest.raises(ModelError, match="leave it without"):
            check_kind(basis, edited)


def test_a_single_spectrum_cannot_make_them():
    with pytest.raises(BasisError, match="edited"):
        module.trust_scans(make_basis(conditions=("single",)), None, None, 4, 1)
