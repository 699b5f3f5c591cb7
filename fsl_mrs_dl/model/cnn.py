"""Convolutional network: convolutions over frequency, then dense layers.

After the design of Ma, Langbein, Shermer, Karakus, arXiv 2602.20289 (convolutions over frequency, then
convolutions that join acquisitions and real/imaginary parts), by default at a size that two processor cores
train. The published form is the preset `cnn-published`.
"""

from dataclasses import dataclass

from torch import nn

from ..errors import ConfigError
from .layers import ACTIVATIONS, Choice, Span, check_choice, check_number
from .output import LOSSES, OUTPUTS, Output, Quantifier, check_layers, quantification_loss


@dataclass(frozen=True)
class CnnConfig:
    """Size of a convolutional network.

    Attributes:
        filters: of each convolution over frequency that sees all channels.
        kernels: widths of these convolutions (points), as many.
        strides: of these convolutions, as many.
        dense: units of the dense layer behind them.
        dropout: share of the units before the output dropped in training.
        pools: by how much the largest of neighbouring values is taken behind each of these convolutions, as many;
            none where left empty.
        front: filters of convolutions over frequency before them, which every channel passes on its own, through
            the same layers. Two further convolutions with the last of these filters then join the acquisitions and
            the real and imaginary parts.
        front_kernels: widths of the convolutions in front (points), as many.
        join_kernel: width of the convolutions that join (points).
        activation: of the convolutions: gelu, relu, tanh or sigmoid.
        dense_activation: of the dense layer.
        normalisation: layer (of the dense layer) or batch (of every convolution and the dense layer).
        hidden: whether a further dense layer, of as many units, stands before the output.
        output: softmax (concentrations of sum 1) or sigmoid (each within 0 and 1).
        loss: name in `output.LOSSES`: largest, huber or squares.
        line_apart: whether the line parameters come from a small head that does not shape the rest.
        input_bins: points of the spectrum that the network sees (`inputs.InputConfig.resample_bins`).
    """

    filters: tuple[int, ...] = (32, 64, 96, 128)
    kernels: tuple[int, ...] = (9, 7, 5, 5)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    dense: int = 256
    dropout: float = 0.0
    pools: tuple[int, ...] = ()
    front: tuple[int, ...] = ()
    front_kernels: tuple[int, ...] = ()
    join_kernel: int = 1
    activation: str = "gelu"
    dense_activation: str = "gelu"
    normalisation: str = "layer"
    hidden: bool = True
    output: str = "softmax"
    loss: str = "largest"
    line_apart: bool = False
    input_bins: int | None = None

    SEARCH = {
        "first_filters": Choice((16, 32, 64)),
        "second_filters": Choice((32, 64, 96, 128)),
        "blocks": Span(1, 3),
        "kernel": Choice((5, 7, 9, 11)),
        "later_kernel": Choice((3, 5, 7)),
        "reduce": Choice(("stride", "pool")),
        "dense": Choice((64, 128, 256, 512)),
        "activation": Choice(("gelu", "relu", "tanh", "sigmoid")),
        "dense_activation": Choice(("gelu", "relu", "tanh", "sigmoid")),
        "normalisation": Choice(("layer", "batch")),
        "dropout": Choice((0.0, 0.1, 0.2, 0.3)),
        "hidden": Choice((True, False)),
        "output": Choice(("softmax", "sigmoid")),
    }

    @classmethod
    def searched(cls, first_filters, second_filters, blocks, kernel, later_kernel, reduce, **values):
        """The configuration of a point in `SEARCH`: each of `blocks` convolutions of either count halves the length."""
        number = 2 * blocks
        kernels = (kernel, *[later_kernel] * (number - 1))
        steps, ones = (2,) * number, (1,) * number
        strides, pools = (steps, ()) if reduce == "stride" else (ones, steps)
        filters = (first_filters,) * blocks + (second_filters,) * blocks
        return cls(filters, kernels, strides, pools=pools, **values)

    def __post_init__(self):
        if not self.filters or not len(self.filters) == len(self.kernels) == len(self.strides):
            raise ConfigError("filters, kernels and strides must be lists of the same length, at least 1.")
        if len(self.pools) not in (0, len(self.filters)):
            raise ConfigError("pools must be empty or a list as long as filters.")
        if len(self.front) != len(self.front_kernels):
            raise ConfigError("front and front_kernels must be lists of the same length.")
        for name in ("filters", "kernels", "strides", "pools", "front", "front_kernels"):
            check_layers(name, getattr(self, name))
        check_layers("dense", (self.dense,))
        check_layers("join_kernel", (self.join_kernel,))
        for name in ("activation", "dense_activation"):
            check_choice(name, getattr(self, name), ACTIVATIONS)
        check_choice("normalisation", self.normalisation, ("layer", "batch"))
        check_choice("output", self.output, OUTPUTS)
        check_choice("loss", self.loss, LOSSES)
        check_number("dropout", self.dropout, 0.0, 0.9)


class Cnn(nn.Module):
    """Convolutional network.

    Args:
        config: CnnConfig.
        channels, bins: of the input.
        metabolites: number of concentrations.

    Raises:
        ConfigError: strides and pools leave nothing of the spectrum.
    """

    def __init__(self, config, channels, bins, metabolites):
        super().__init__()
        self.config = config
        self.front, length = None, bins
        if config.front:
            sizes = (1, *config.front)
            front = [self._block(*shape) for shape in zip(sizes[:-1], sizes[1:], config.front_kernels)]
            self.front = nn.Sequential(*sum(front, []))
            last, width = config.front[-1], config.join_kernel
            self.join_acquisitions = nn.Sequential(*self._block(channels // 2 * last, last, width))
            self.join_parts = nn.Sequential(*self._block(2 * last, last, width))
            channels = last
            for kernel in (*config.front_kernels, width, width):
                length = length_after(length, kernel)
        layers = []
        pools = config.pools or (1,) * len(config.filters)
        for filters, kernel, stride, pool in zip(config.filters, config.kernels, config.strides, pools):
            layers += self._block(channels, filters, kernel, stride, pool)
            channels, length = filters, length_after(length, kernel, stride) // pool
        if not length:
            raise ConfigError(f"pools of {config.pools} leave nothing of a spectrum of {bins} points; lower them.")
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * length, config.dense))
        normalisation = nn.BatchNorm1d if config.normalisation == "batch" else nn.LayerNorm
        self.head = nn.Sequential(normalisation(config.dense), ACTIVATIONS[config.dense_activation]())
        self.quantifier = Quantifier(
            config.dense,
            (config.dense,) * config.hidden,
            metabolites,
            config.dropout,
            output=config.output,
            line_apart=config.line_apart,
        )

    def _block(self, before, after, kernel, stride=1, pool=1):
        """A convolution over frequency with what stands behind it, as a list."""
        block = [nn.Conv1d(before, after, kernel, stride, kernel // 2)]
        if self.config.normalisation == "batch":
            block.append(nn.BatchNorm1d(after))
        block.append(ACTIVATIONS[self.config.activation]())
        return [*block, nn.MaxPool1d(pool)] if pool > 1 else block

    def forward(self, channels):
        """(batch, channel, bin) to Output without reconstruction."""
        if self.front is not None:
            batch, count, _ = channels.shape
            # (scan, acquisition, part, filter, bin): first the acquisitions of each part become one, then the parts.
            each = self.front(channels.flatten(0, 1)[:, None]).unflatten(0, (batch, count // 2, 2))
            parts = self.join_acquisitions(each.transpose(1, 2).flatten(2, 3).flatten(0, 1))
            channels = self.join_parts(parts.unflatten(0, (batch, 2)).flatten(1, 2))
        features = self.head(self.features(channels))
        fractions, line, spread = self.quantifier(features)
        return Output(fractions, line, spread=spread, features=features)

    def loss(self, output, truth, epoch=0):
        """Scalar training loss; the same in every epoch."""
        return quantification_loss(output, truth, self.config.loss)


def length_after(length, kernel, stride=1):
    """Points that a convolution with `kernel // 2` zeros at both ends leaves of `length`."""
    return (length + 2 * (kernel // 2) - kernel) // stride + 1
