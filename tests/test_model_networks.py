"""Every network: shapes, positive fractions, gradients; a new one is a class and a line."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.model import networks
from fsl_mrs_dl.model.cnn import CnnConfig
from fsl_mrs_dl.model.output import LineScale, Output, Quantifier, quantification_loss, to_largest
from fsl_mrs_dl.model.yae import YaeConfig
from fsl_mrs_dl.train.loop import TrainConfig, train


def truth(batch=4):
    """A made-up truth of three metabolites on 4 x 100 points."""
    return Output(torch.rand(batch, 3).softmax(-1), torch.randn(batch, 4), torch.randn(batch, 4, 100))


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_shapes_and_gradients(name):
    network_class, config_class = networks.network_classes(name)
    network = network_class(config_class(), 4, 100, 3)
    output = network(torch.randn(4, 4, 100))
    assert output.fractions.shape == (4, 3) and output.line.shape == (4, 4)
    torch.testing.assert_close(output.fractions.sum(1), torch.ones(4))
    network.loss(output, truth()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_batch_equals_one_by_one(name):
    network_class, config_class = networks.network_classes(name)
    network = network_class(config_class(), 4, 100, 3).eval()
    scans = torch.randn(3, 4, 100)
    torch.testing.assert_close(network(scans).fractions[1:2], network(scans[1:2]).fractions, atol=1e-6, rtol=1e-5)


def test_the_loss_is_zero_at_the_truth_and_grows_with_the_error():
    right = truth()
    assert quantification_loss(right, right) == 0
    wrong = [Output(right.fractions + error * torch.eye(3)[0], right.line) for error in (0.01, 0.1)]
    errors = [quantification_loss(output, right) for output in wrong]
    assert 0 < errors[0] < errors[1]


def test_line_scale_restores_what_it_normalises():
    scale = LineScale((4.0, 3.0, 0.0, 0.0), (4.0, 3.0, 4.0, 0.4))
    values = torch.tensor([[8.0, 0.0, -4.0, 0.2]])
    torch.testing.assert_close(scale.normalise(values), torch.tensor([[1.0, -1.0, -1.0, 0.5]]))
    torch.testing.assert_close(scale.restore(scale.normalise(values)), values)


def test_relative_to_the_largest():
    torch.testing.assert_close(to_largest(torch.tensor([[0.2, 0.5, 0.3]])), torch.tensor([[0.4, 1.0, 0.6]]))


def test_unknown_networks_and_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="yae"):
        networks.network_classes("transformer")
    with pytest.raises(ConfigError, match="activation"):
        YaeConfig(activation="sine")
    with pytest.raises(ConfigError, match="same length"):
        CnnConfig(filters=(8, 8))


@dataclass(frozen=True)
class ToyConfig:
    """Options of the toy network."""

    hidden: int = 64


class Toy(nn.Module):
    """One dense layer: all that a new network has to be."""

    def __init__(self, config, channels, bins, metabolites):
        super().__init__()
        self.quantifier = Quantifier(channels * bins, config.hidden, metabolites)

    def forward(self, channels):
        return Output(*self.quantifier(channels.flatten(1)))

    def loss(self, output, truth):
        return quantification_loss(output, truth)


def test_a_new_network_trains_by_one_line(monkeypatch, tiny_basis):
    from fsl_mrs_dl.synth.priors import PUBLISHED

    monkeypatch.setitem(networks.NETWORKS, "toy", (Toy, ToyConfig))
    plan = TrainConfig(number=12_800, batch=64, epochs=2, held_out=500)
    model = train("toy", tiny_basis, PUBLISHED, plan, ToyConfig(32), progress=False)
    errors = model.card["errors"]["published conditions"]
    assert max(errors.values()) < 0.1
