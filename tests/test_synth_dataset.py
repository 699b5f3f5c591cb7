"""The stream: reproducible by number, measured = clean + nuisance + noise, pools checked."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from fsl_mrs_dl.errors import BasisError, ConfigError
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import PHANTOM, PUBLISHED


@dataclass
class Pool:
    """What the stream needs of a pool of bases."""

    fids: np.ndarray
    names: tuple
    conditions: tuple
    dwell_s: float = 5e-4
    centre_hz: float = 123.2e6
    linewidth_hz: float = 1.0


def pool_of(basis, gains):
    """A pool whose members are the basis set times a gain."""
    return Pool(np.stack([basis.fids * gain for gain in gains]), basis.names, basis.conditions)


def test_any_batch_can_be_made_again(tiny_basis):
    first, second = (Stream(tiny_basis, PHANTOM, seed=5, batch=16) for _ in range(2))
    assert torch.equal(first[9].measured, second[9].measured)
    assert not torch.equal(first[9].measured, first[8].measured)


def test_without_noise_a_published_scan_is_concentrations_times_basis(tiny_basis):
    recipe = replace(PUBLISHED, lorentz_hz=(1.0, 1.0), noise_sigma=(0.0, 0.0))
    batch = Stream(tiny_basis, recipe, batch=4)[0]
    expected = np.einsum("bk,ckn->bcn", batch.draw.concentrations.numpy(), tiny_basis.fids)
    np.testing.assert_allclose(batch.measured.numpy(), expected, atol=2e-3)
    assert torch.equal(batch.measured, batch.clean)


def test_noise_is_relative_to_the_largest_point_of_the_scan(tiny_basis):
    recipe = replace(PUBLISHED, noise_sigma=(0.02, 0.02))
    batch = Stream(tiny_basis, recipe, batch=32)[0]
    level = (batch.measured - batch.clean).real.std((1, 2)) / batch.clean.abs().amax((1, 2))
    assert level.mean() == pytest.approx(0.02, rel=0.02)


def test_pool_members_are_used(tiny_basis):
    recipe = replace(PUBLISHED, pool_fraction=1.0, noise_sigma=(0.0, 0.0), lorentz_hz=(1.0, 1.0))
    batch = Stream(tiny_basis, recipe, pool=pool_of(tiny_basis, (2.0, 3.0)), batch=64)[0]
    plain = Stream(tiny_basis, replace(recipe, pool_fraction=0.0), batch=64)[0]
    gain = (batch.measured[:, 0, 0] / plain.measured[:, 0, 0]).real
    assert torch.allclose(gain, batch.draw.member + 2.0, atol=1e-4) and set(batch.draw.member.tolist()) == {0, 1}


def test_a_foreign_pool_is_refused(tiny_basis):
    pool = pool_of(tiny_basis, (1.0,))
    with pytest.raises(BasisError, match="names|metabolites"):
        Stream(tiny_basis, PHANTOM, pool=replace(pool, names=("A", "B", "C")))
    with pytest.raises(BasisError, match="--bandwidth 2000"):
        Stream(tiny_basis, PHANTOM, pool=replace(pool, dwell_s=4e-4))
    with pytest.raises(BasisError, match="MHz"):
        Stream(tiny_basis, PHANTOM, pool=replace(pool, centre_hz=297e6))


def test_lines_narrower_than_the_basis_are_refused(tiny_basis):
    wide = replace(tiny_basis, linewidth_hz=3.0)
    with pytest.raises(ConfigError, match="narrower"):
        Stream(wide, PUBLISHED)
    Stream(wide, replace(PHANTOM, lorentz_hz=(3.0, 9.0), clean_fraction=0.0))
    with pytest.raises(ConfigError, match="narrower"):
        Stream(wide, replace(PHANTOM, lorentz_hz=(3.0, 9.0)))


def test_what_cannot_be_seen_is_left_out(tiny_basis):
    fids = tiny_basis.fids.copy()
    fids[:, 0] *= 1e-3
    batch = Stream(replace(tiny_basis, fids=fids), PUBLISHED, batch=8)[0]
    whole = Stream(tiny_basis, PUBLISHED, batch=8)[0]
    assert (batch.draw.concentrations[:, 0] == 0).all()
    assert torch.equal(batch.draw.concentrations[:, 1:], whole.draw.concentrations[:, 1:])


def test_a_batch_moves_whole(tiny_basis):
    moved = Stream(tiny_basis, PHANTOM, batch=2)[0].to("meta")
    drawn = [one for one in vars(moved.draw).values() if isinstance(one, torch.Tensor)]
    tensors = [moved.measured, moved.clean, *drawn]
    assert len(tensors) > 20 and all(one.device.type == "meta" for one in tensors)
