"""The stream: reproducible by number, measured = clean + nuisance + noise, pools checked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fsl_mrs_dl.errors import BasisError, ConfigError
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import PUBLISHED, RECIPES

from .conftest import PHANTOM, pool_of


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


def test_edit_on_of_other_members_has_the_strength_of_the_scan(tiny_basis):
    changes = {"pool_fraction": 1.0, "other_on_fraction": 0.5, "noise_sigma": (0.0, 0.0), "lorentz_hz": (1.0, 1.0)}
    recipe = replace(PUBLISHED, **changes)
    pool = pool_of(tiny_basis, (1.0, 1.0, 3.0))
    # The second one's edit-on is another, the third one a stronger scanner of the first one's editing.
    pool.fids[1, 1] *= 0.5
    batch = Stream(tiny_basis, recipe, pool=pool, batch=256)[0]
    overall = torch.tensor((1.0, 1.0, 3.0))[batch.draw.member][:, None].expand(-1, 3)
    editing = torch.tensor((1.0, 0.5, 1.0))[batch.draw.on_member]
    weights = batch.draw.concentrations[:, None] * torch.stack([overall, overall * editing], 1)
    expected = np.einsum("bck,ckn->bcn", weights.numpy(), tiny_basis.fids)
    np.testing.assert_allclose(batch.measured.numpy(), expected, atol=1e-2)
    assert len(torch.unique(batch.draw.on_member, dim=0)) > 9
    stream = Stream(tiny_basis, recipe, pool=pool, batch=256)
    whole, parts = stream.bases(batch.draw), [stream.bases(one) for one in batch.draw.split(1)]
    assert torch.equal(whole, torch.cat(parts))


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
    Stream(wide, replace(PHANTOM, lorentz_hz=(3.0, 9.0), clean_fraction=0.0, tidy_fraction=0.0))
    with pytest.raises(ConfigError, match="narrower"):
        Stream(wide, replace(PHANTOM, lorentz_hz=(3.0, 9.0)))


def test_what_cannot_be_seen_is_left_out(tiny_basis):
    fids = tiny_basis.fids.copy()
    fids[:, 0] *= 1e-3
    batch = Stream(replace(tiny_basis, fids=fids), PUBLISHED, batch=8)[0]
    whole = Stream(tiny_basis, PUBLISHED, batch=8)[0]
    assert (batch.draw.concentrations[:, 0] == 0).all()
    assert torch.equal(batch.draw.concentrations[:, 1:], whole.draw.concentrations[:, 1:])


@pytest.mark.parametrize("noise", ["adc", "gg"])
def test_scans_do_not_depend_on_the_number_of_cores(tiny_basis, noise):
    recipe = replace(PHANTOM, noise=noise)
    batches, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                batches.append(Stream(tiny_basis, recipe, batch=70)[2])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(batches[0].measured, batches[1].measured)
    assert torch.equal(batches[0].clean, batches[1].clean)


def test_parts_add_up_to_the_batch(tiny_basis):
    stream = Stream(tiny_basis, PHANTOM, batch=40, device="cpu")
    parts, batch = stream.parts(3), stream[3]
    assert torch.equal(parts.clean, batch.clean)
    torch.testing.assert_close(parts.batch().measured, batch.measured)


def test_an_error_in_a_block_is_raised(tiny_basis, monkeypatch):
    def fail(*_):
        raise BasisError("no")

    monkeypatch.setattr("fsl_mrs_dl.synth.dataset.synthesise", fail)
    with pytest.raises(BasisError):
        Stream(tiny_basis, PHANTOM, batch=70)[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_gpu_makes_the_scans_of_the_cpu_but_for_the_noise(tiny_basis, name):
    pool = pool_of(tiny_basis, (1.0, 2.0))
    here, there = (Stream(tiny_basis, RECIPES[name], 3, pool, 16, device) for device in ("cpu", "cuda"))
    one, other, again = here[4], there[4], there[4]
    assert other.measured.device.type == other.draw.lorentz_hz.device.type == "cuda"
    assert torch.equal(other.measured, again.measured)
    moved = other.to("cpu")
    for field, values in vars(one.draw).items():
        assert torch.equal(torch.as_tensor(values), torch.as_tensor(getattr(moved.draw, field))), field
    largest = one.clean.abs().amax((1, 2), keepdim=True)
    torch.testing.assert_close(moved.clean / largest, one.clean / largest, atol=2e-4, rtol=0)
    noise, noise_there = ((batch.measured - batch.clean) / largest for batch in (one, moved))
    assert noise_there.abs().mean() == pytest.approx(float(noise.abs().mean()), rel=0.02)


def test_a_batch_moves_whole(tiny_basis):
    moved = Stream(tiny_basis, PHANTOM, batch=2)[0].to("meta")
    drawn = [one for one in vars(moved.draw).values() if isinstance(one, torch.Tensor)]
    tensors = [moved.measured, moved.clean, *drawn]
    assert len(tensors) > 20 and all(one.device.type == "meta" for one in tensors)
