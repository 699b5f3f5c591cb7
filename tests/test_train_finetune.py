"""Adapting: it moves a model to another scanner, keeps it anchored, and says what it saw."""

import dataclasses

import pytest
import torch

from fsl_mrs_dl.errors import DataError, ModelError
from fsl_mrs_dl.model.card import adapted_scans, card_text, check_out_of_sample, content_hash
from fsl_mrs_dl.model.checkpoint import TrainedModel, build_network
from fsl_mrs_dl.model.cnn import CnnConfig
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.finetune import ADAPT_PLAN, RealScans, altered, check_teachable, finetune
from fsl_mrs_dl.train.loop import Hardware
from fsl_mrs_dl.train.plan import TrainConfig
from fsl_mrs_dl.train.validate import simulated_errors

PLAN = TrainConfig(**{**ADAPT_PLAN, "number": 9600, "batch": 64, "epochs": 2, "held_out": 256, "learning_rate": 1e-3})
RECIPE = dataclasses.replace(PUBLISHED, lorentz_hz=(2.0, 6.0))


def scanner(tiny_basis):
    """Scans of a scanner that edits GABA less than the basis set says."""
    fids = tiny_basis.fids.copy()
    fids[1, tiny_basis.names.index("GABA")] *= 0.4
    return Stream(dataclasses.replace(tiny_basis, fids=fids), RECIPE, seed=77, batch=64)


def real_scans(stream, with_truth):
    """A batch of that scanner's scans."""
    batch = stream[0]
    hashes = {f"scan_{k}": content_hash(fids.numpy()) for k, fids in enumerate(batch.measured)}
    return RealScans(batch.measured, hashes, batch.draw.concentrations if with_truth else None)


def errors_of(model, stream):
    """Mean error on batches of a stream that no model was adapted to."""
    return simulated_errors(model.network, model.config.input, stream, range(1, 9)).mean()


def test_labelled_scans_teach_another_scanner(tiny_model, tiny_basis):
    stream = scanner(tiny_basis)
    real = real_scans(stream, True)
    adapted = finetune(tiny_model, tiny_basis, RECIPE, PLAN, real, hardware=Hardware("cpu"), progress=False)
    before, after = (errors_of(model, stream) for model in (tiny_model, adapted))
    assert after < 0.8 * before
    assert adapted.card["adapted_to"]["contents"] == "known"
    assert adapted_scans(adapted.card) == real.hashes and adapted_scans(tiny_model.card) == {}
    assert next(iter(real.hashes)) in card_text(adapted.card) and list(real.hashes)[-1] in card_text(adapted.card)
    # The model that was adapted stays as it was.
    assert errors_of(tiny_model, stream) == before


def test_scans_of_unknown_contents_teach_through_the_decoder(tiny_model, tiny_basis):
    stream = scanner(tiny_basis)
    real = real_scans(stream, False)
    adapted = finetune(tiny_model, tiny_basis, RECIPE, PLAN, real, hardware=Hardware("cpu"), progress=False)
    assert "reconstruction" in adapted.card["adapted_to"]["contents"]

    def misfit(model):
        """Mean square of what the decoder leaves of the scanner's clean spectra."""
        from fsl_mrs_dl.train.feed import fed

        channels, truth = fed(stream[1], model.config, torch.device("cpu"))
        with torch.no_grad():
            return (model.network(channels).clean - truth.clean).square().mean()

    assert misfit(adapted) < misfit(tiny_model)
    # Anchored: simulated scans are read no worse than before.
    simulated = Stream(tiny_basis, RECIPE, seed=5, batch=256)
    before, after = (errors_of(model, simulated) for model in (tiny_model, adapted))
    assert after < 1.1 * before


@pytest.mark.parametrize("with_truth", [True, False])
def test_errors_of_scans_of_unknown_contents_are_not_taken_as_0(tiny_model, tiny_basis, monkeypatch, with_truth):
    network, seen = type(tiny_model.network), []
    loss = network.loss

    def recorded(self, output, truth, epoch=0):
        """The loss, and whether errors that the network expects are part of it."""
        seen.append(output.spread is not None)
        return loss(self, output, truth, epoch)

    monkeypatch.setattr(network, "loss", recorded)
    plan = dataclasses.replace(PLAN, number=64, epochs=1)
    real = real_scans(scanner(tiny_basis), with_truth)
    finetune(tiny_model, tiny_basis, RECIPE, plan, real, hardware=Hardware("cpu"), progress=False)
    # Simulated scans, then real ones.
    assert seen == [True, with_truth]


def test_scans_that_a_model_was_adapted_to_are_refused(tiny_model, tiny_basis):
    stream = scanner(tiny_basis)
    real = real_scans(stream, True)
    adapted = dataclasses.replace(tiny_model, card={**tiny_model.card, "adapted_to": {"scans": real.hashes}})
    new = {"new": stream[1].measured[0].numpy()}
    check_out_of_sample(adapted, new)
    old = {**new, "old": stream[0].measured[3].numpy()}
    check_out_of_sample(tiny_model, old)
    with pytest.raises(ModelError, match="1 of these 2 scans, such as old.*--in_sample"):
        check_out_of_sample(adapted, old)


def test_a_network_without_a_decoder_needs_contents(tiny_model, tiny_basis):
    config = dataclasses.replace(tiny_model.config, network="cnn")
    options = CnnConfig(filters=(4,), kernels=(3,), strides=(4,), dense=8)
    model = TrainedModel("mine", config, options, build_network(config, options), {})
    stream = scanner(tiny_basis)
    check_teachable(model, real_scans(stream, True))
    with pytest.raises(ModelError, match="mine has no decoder.*--truth"):
        check_teachable(model, real_scans(stream, False))


def test_contents_are_checked():
    fids, hashes = torch.zeros(2, 1, 8, dtype=torch.complex64), {"a": "1", "b": "2"}
    for truth in ([[1.0, -1.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]], [[float("nan"), 1.0], [1.0, 1.0]]):
        with pytest.raises(DataError, match="Contents"):
            RealScans(fids, hashes, torch.tensor(truth))
    with pytest.raises(DataError, match="name of its own"):
        RealScans(fids, {"a": "1"})


def test_altered_scans():
    fids = torch.ones(1, 2, 4, dtype=torch.complex64)
    same = altered(fids, 1e-3, *(torch.zeros(1) for _ in range(3)))
    assert torch.equal(same, fids)
    moved = altered(fids, 1e-3, torch.tensor([250.0]), torch.tensor([torch.pi]), torch.tensor([0.0]))
    wanted = torch.tensor([-1, -1j, 1, 1j], dtype=torch.complex64)
    torch.testing.assert_close(moved[0, 0], wanted, atol=1e-5, rtol=0)
    broad = altered(fids, 1e-3, torch.zeros(1), torch.zeros(1), torch.tensor([1 / torch.pi]))
    assert broad[0, 0, 3].real == pytest.approx(0.997, abs=1e-4)
