"""Fully convolutional network with concatenated rectifiers on the real spectra.

After the idea of Hatami, Sdika, Ratiney, Magnetic Resonance Spectroscopy Quantification using Deep Learning,
MICCAI 2018 (regression by convolutions alone, with concatenated rectified linear units: Shang et al., ICML 2016).
Sizes are this project's.
"""

from dataclasses import dataclass

import torch
from torch import nn

from ..errors import ConfigError
from .cnn import length_after
from .layers import Choice, check_choice, check_number
from .output import LOSSES, OUTPUTS, Output, Quantifier, check_layers, quantification_loss

CONVOLUTIONS = 7


@dataclass(frozen=True)
class FcnnConfig:
    """Size of a fully convolutional network.

    Attributes:
        filters: of the seven convolutions over frequency; the rectifier behind each makes twice as many channels.
        kernels: their widths (points).
        strides: of them.
        dropout: share of the last channels dropped in training, before the convolution that is as wide as what is
            left of the spectrum and gives the concentrations.
        batch_normalisation: whether it stands behind every convolution.
        output: softmax (concentrations of sum 1) or sigmoid (each within 0 and 1).
        loss: name in `output.LOSSES`: largest, huber or squares.
        input_bins: points of the spectrum that the network sees (`inputs.InputConfig.resample_bins`).
    """

    filters: tuple[int, ...] = (32, 48, 64, 64, 96, 96, 128)
    kernels: tuple[int, ...] = (9, 7, 7, 5, 5, 3, 3)
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 1, 1)
    dropout: float = 0.0
    batch_normalisation: bool = False
    output: str = "softmax"
    loss: str = "largest"
    input_bins: int | None = None

    SEARCH = {
        "first_filters": Choice((16, 32, 48, 64)),
        "last_filters": Choice((64, 96, 128, 192)),
        "kernel": Choice((5, 7, 9, 11)),
        "later_kernel": Choice((3, 5, 7)),
        "dropout": Choice((0.0, 0.1, 0.2, 0.3)),
        "batch_normalisation": Choice((True, False)),
        "output": Choice(("softmax", "sigmoid")),
    }

    @classmethod
    def searched(cls, first_filters, last_filters, kernel, later_kernel, **values):
        """The configuration of a point in `SEARCH`: filters grow evenly from the first to the last."""
        step = (last_filters - first_filters) / (CONVOLUTIONS - 1)
        filters = tuple(round(first_filters + step * k) for k in range(CONVOLUTIONS))
        return cls(filters, (kernel,) * 3 + (later_kernel,) * 4, **values)

    def __post_init__(self):
        for name in ("filters", "kernels", "strides"):
            check_layers(name, getattr(self, name))
            if len(getattr(self, name)) != CONVOLUTIONS:
                raise ConfigError(f"{name} must list {CONVOLUTIONS} numbers, not {len(getattr(self, name))}.")
        check_choice("output", self.output, OUTPUTS)
        check_choice("loss", self.loss, LOSSES)
        check_number("dropout", self.dropout, 0.0, 0.9)


class Crelu(nn.Module):
    """Concatenated rectified linear unit: what is positive and what is negative, in channels of their own."""

    def forward(self, values):
        """(batch, channel, bin) to (batch, 2 channel, bin)."""
        return torch.cat([values, -values], 1).relu()


class Fcnn(nn.Module):
    """Fully convolutional network.

    Args:
        config: FcnnConfig.
        channels, bins: of the input; only its real channels are read.
        metabolites: number of concentrations.
    """

    def __init__(self, config, channels, bins, metabolites):
        super().__init__()
        self.config = config
        layers, before, length = [], channels // 2, bins
        for filters, kernel, stride in zip(config.filters, config.kernels, config.strides):
            layers.append(nn.Conv1d(before, filters, kernel, stride, kernel // 2))
            if config.batch_normalisation:
                layers.append(nn.BatchNorm1d(filters))
            layers.append(Crelu())
            before, length = 2 * filters, length_after(length, kernel, stride)
        self.features = nn.Sequential(*layers, nn.Flatten())
        # A dense layer on all that is left is the convolution as wide as that.
        self.quantifier = Quantifier(before * length, (), metabolites, config.dropout, output=config.output)

    def forward(self, channels):
        """(batch, channel, bin) to Output without reconstruction."""
        features = self.features(channels[:, ::2])
        fractions, line, spread = self.quantifier(features)
        return Output(fractions, line, spread=spread, features=features)

    def loss(self, output, truth, epoch=0):
        """Scalar training loss; the same in every epoch."""
        return quantification_loss(output, truth, self.config.loss)
