"""Every network: shapes, positive fractions, gradients; a new one is a class and a line."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from fsl_mrs_dl.config import from_dict, to_dict
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.model import networks
from fsl_mrs_dl.model.cnn import Cnn, CnnConfig
from fsl_mrs_dl.model.fcnn import Crelu, Fcnn, FcnnConfig
from fsl_mrs_dl.model.layers import Choice, Span, halved
from fsl_mrs_dl.model.output import (
    LOSSES,
    SPREAD_RANGE,
    LineScale,
    Output,
    Quantifier,
    quantification_loss,
    to_largest,
)
from fsl_mrs_dl.model.presets import PRESETS, Preset, preset_named
from fsl_mrs_dl.model.yae import Yae, YaeConfig
from fsl_mrs_dl.train.loop import train
from fsl_mrs_dl.train.plan import TrainConfig


def truth(batch=4):
    """A made-up truth of three metabolites on 4 x 100 points."""
    return Output(torch.rand(batch, 3).softmax(-1), torch.randn(batch, 4), torch.randn(batch, 4, 100))


def untrained(name):
    """A network of three metabolites on 4 x 100 points; one that needs a basis set gets a random one."""
    network_class, config_class = networks.network_classes(name)
    network = network_class(config_class(), 4, 100, 3)
    for part in network.modules():
        if hasattr(part, "take_basis"):
            part.basis.normal_()
            part.times.copy_(part.grid.times(0.5))
    return network


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_shapes_and_gradients(name):
    network = untrained(name)
    output = network(torch.randn(4, 4, 100))
    assert output.fractions.shape == (4, 3) and output.line.shape == (4, 4)
    torch.testing.assert_close(output.fractions.sum(1), torch.ones(4))
    network.loss(output, truth()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_batch_equals_one_by_one(name):
    network = untrained(name).eval()
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
    cases = [
        (YaeConfig, {"activation": "sine"}, "activation"),
        (YaeConfig, {"encoder": ()}, "at least one layer"),
        (YaeConfig, {"decoder": (2**17,)}, "at most 65536"),
        (YaeConfig, {"quantifier_layers": 0}, "quantifier_layers"),
        (YaeConfig, {"normalisation": "weight"}, "normalisation must be one of layer, batch, none"),
        (YaeConfig, {"dropout": 1.0}, "dropout"),
        (YaeConfig, {"ramp_epochs": -1}, "ramp_epochs"),
        (YaeConfig, {"loss": "exact"}, "largest, huber, squares"),
        (CnnConfig, {"filters": (8, 8)}, "same length"),
        (CnnConfig, {"pools": (2,)}, "pools"),
        (CnnConfig, {"front": (8, 8), "front_kernels": (9,)}, "front_kernels"),
        (CnnConfig, {"output": "relu"}, "softmax, sigmoid"),
        (FcnnConfig, {"filters": (8, 8)}, "must list 7 numbers, not 2"),
    ]
    for config_class, options, words in cases:
        with pytest.raises(ConfigError, match=words):
            config_class(**options)
    with pytest.raises(ConfigError, match="leave nothing of a spectrum of 100 points"):
        Cnn(CnnConfig(pools=(5, 5, 5, 5)), 4, 100, 3)


def small(name):
    """The network of a preset with its layers cut to a hundredth, and its configuration."""
    preset = preset_named(name)
    network_class, config_class = networks.network_classes(preset.network)
    cut = {
        key: type(value)(max(size // 32, 1) for size in value)
        for key, value in preset.options.items()
        if key in ("encoder", "decoder", "filters", "front")
    }
    config = from_dict(config_class, {**preset.options, **cut})
    return network_class(config, 4, 100, 3), config


@pytest.mark.parametrize("name", PRESETS)
def test_published_forms_train_and_repeat(name):
    network, config = small(name)
    assert from_dict(type(config), to_dict(config)) == config
    output = network(torch.randn(4, 4, 100))
    assert output.fractions.shape == (4, 3) and (output.fractions > 0).all() and (output.fractions < 1).all()
    assert output.line.shape == (4, 4)
    network.loss(output, truth(), epoch=3).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()
    scans = torch.randn(3, 4, 100)
    torch.testing.assert_close(network(scans).fractions[1:2], network(scans[1:2]).fractions, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_line_parameters_that_stand_apart_shape_nothing_else(name):
    network, _ = small(name)
    network(torch.randn(4, 4, 100)).line.sum().backward()
    reached = {key.split(".")[0:2][-1] for key, p in network.named_parameters() if p.grad is not None}
    assert reached == {"line"}


def test_published_sizes():
    yae = PRESETS["yae-published"].options
    assert yae["encoder"] == halved(2048, 5) and (*yae["decoder"], 2048) == halved(2048, 6)[::-1]
    assert halved(yae["quantifier"], yae["quantifier_layers"]) == (384, 192)
    with torch.device("meta"):
        for name, preset in PRESETS.items():
            network_class, config_class = networks.network_classes(preset.network)
            network_class(from_dict(config_class, preset.options, name), 4, 2048, 5)


def test_a_preset_scales_its_learning_rate_with_the_batch():
    preset = PRESETS["yae-published"]
    assert preset.plan_with()["learning_rate"] == 1e-4
    assert preset.plan_with(batch=64, epochs=None)["learning_rate"] == pytest.approx(4e-4)
    assert preset.plan_with(batch=64, learning_rate=1e-3)["learning_rate"] == 1e-3
    assert preset_named("cnn") == Preset("cnn") and preset_named("cnn").plan_with(batch=64) == {"batch": 64}
    with pytest.raises(ConfigError, match="did you mean yae-published"):
        preset_named("yae_published")


def test_the_quantifiers_weight_rises_over_the_first_epochs():
    network = Yae(YaeConfig((8,), (8,), 8, loss="huber", ramp_epochs=25), 4, 100, 3)
    output, right = network(torch.randn(4, 4, 100)), truth()
    quantification = quantification_loss(output, right, "huber")
    losses = [network.loss(output, right, epoch) for epoch in (0, 10, 25, 100)]
    weights = [(loss - losses[-1]) / quantification + 1 for loss in losses]
    torch.testing.assert_close(torch.stack(weights), torch.tensor([0.1, 0.46, 1.0, 1.0]), atol=1e-4, rtol=1e-4)


def test_losses_relative_to_the_sum():
    right = truth()
    wrong = Output(right.fractions + 0.1, right.line)
    assert LOSSES["squares"][0](wrong, right) == pytest.approx(0.01)
    assert LOSSES["huber"][0](wrong, right) == pytest.approx(0.005)


def test_channels_share_the_layers_of_a_shared_autoencoder():
    network = Yae(YaeConfig((16, 8), (8,), 8, shared=True), 4, 100, 3).eval()
    scans = torch.randn(2, 4, 100)
    turned = network(scans[:, [1, 0, 3, 2]]).clean
    torch.testing.assert_close(turned, network(scans).clean[:, [1, 0, 3, 2]])


def test_fcnn_reads_the_real_spectra_only():
    network = Fcnn(FcnnConfig(), 4, 100, 3).eval()
    scans = torch.randn(2, 4, 100)
    other = scans.clone()
    other[:, 1::2] = 0
    assert torch.equal(network(scans).fractions, network(other).fractions)
    torch.testing.assert_close(Crelu()(torch.tensor([[[1.0, -2.0]]])), torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]))


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_defaults_are_cheap(name):
    from torch.utils.flop_counter import FlopCounterMode

    network_class, config_class = networks.network_classes(name)
    network = network_class(config_class(), 4, 441, 5).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.randn(1, 4, 441))
    # Two networks in one.
    most = 120e6 if name == "guarded" else 60e6
    assert 0 < counter.get_total_flops() <= most


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_corner_of_a_search_space_is_a_network(name):
    network_class, config_class = networks.network_classes(name)
    for corner in (0, -1):
        values = {}
        for option, space in config_class.SEARCH.items():
            assert isinstance(space, (Choice, Span))
            values[option] = (space.values if isinstance(space, Choice) else (space.low, space.high))[corner]
        network = network_class(config_class.searched(**values), 4, 441, 5)
        assert network(torch.randn(2, 4, 441)).fractions.shape == (2, 5)


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

    def loss(self, output, truth, epoch=0):
        return quantification_loss(output, truth)


def test_a_new_network_trains_by_one_line(monkeypatch, tiny_basis):
    from fsl_mrs_dl.synth.priors import PUBLISHED

    monkeypatch.setitem(networks.NETWORKS, "toy", (Toy, ToyConfig))
    plan = TrainConfig(number=12_800, batch=64, epochs=2, held_out=500)
    model = train("toy", tiny_basis, PUBLISHED, plan, ToyConfig(32), progress=False)
    errors = model.card["errors"]["published conditions"]
    assert max(errors.values()) < 0.1


def test_an_expected_error_beyond_its_range_can_come_back():
    features = torch.ones(1, 6)
    quantifier = Quantifier(6, 8, 2)
    last = quantifier.spread[-1]
    for start, expected in ((5.0, SPREAD_RANGE[1]), (-12.0, SPREAD_RANGE[0])):
        nn.init.constant_(last.bias, start)
        nn.init.zeros_(last.weight)
        spread = quantifier(features)[2]
        assert (spread == expected).all()
        # Errors of which the first lies within the range and the second beyond it.
        error = torch.tensor([0.1, 1e3 if start > 0 else 1e-6])
        last.bias.grad = None
        (error * torch.exp(-spread) + spread).sum().backward()
        assert last.bias.grad[0] * start > 0 and last.bias.grad[1] == 0
