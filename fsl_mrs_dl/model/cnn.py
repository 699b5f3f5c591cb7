"""Convolutional network: strided convolutions over frequency, then dense layers.

After the design of Ma, Langbein, Shermer, Karakus, arXiv 2602.20289 (acquisitions and real/imaginary
parts joined by convolution along frequency), at a size that two processor cores train.
"""

from dataclasses import dataclass

from torch import nn

from ..config import check_range
from ..errors import ConfigError
from .output import Output, Quantifier, check_layers, quantification_loss


@dataclass(frozen=True)
class CnnConfig:
    """Size of a convolutional network.

    Attributes:
        filters: of each convolution.
        kernels: widths of the convolutions (points), as many.
        strides: of the convolutions, as many.
        dense: units of the dense layer behind them.
        dropout: share of its units dropped in training.
    """

    filters: tuple[int, ...] = (32, 64, 96, 128)
    kernels: tuple[int, ...] = (9, 7, 5, 5)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    dense: int = 256
    dropout: float = 0.0

    def __post_init__(self):
        if not self.filters or not len(self.filters) == len(self.kernels) == len(self.strides):
            raise ConfigError("filters, kernels and strides must be lists of the same length, at least 1.")
        for name in ("filters", "kernels", "strides"):
            check_layers(name, getattr(self, name))
        check_layers("dense", (self.dense,))
        check_range("dropout", (self.dropout, self.dropout), 0.0, 0.9)


class Cnn(nn.Module):
    """Convolutional network.

    Args:
        config: CnnConfig.
        channels, bins: of the input.
        metabolites: number of concentrations.
    """

    def __init__(self, config, channels, bins, metabolites):
        super().__init__()
        self.config = config
        layers, length = [], bins
        for filters, kernel, stride in zip(config.filters, config.kernels, config.strides):
            layers += [nn.Conv1d(channels, filters, kernel, stride, kernel // 2), nn.GELU()]
            channels, length = filters, (length + 2 * (kernel // 2) - kernel) // stride + 1
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * length, config.dense))
        self.head = nn.Sequential(nn.LayerNorm(config.dense), nn.GELU())
        self.quantifier = Quantifier(config.dense, config.dense, metabolites, config.dropout)

    def forward(self, channels):
        """(batch, channel, bin) to Output without reconstruction."""
        return Output(*self.quantifier(self.head(self.features(channels))))

    def loss(self, output, truth):
        """Scalar training loss."""
        return quantification_loss(output, truth)
