"""Y-shaped autoencoder: a shared encoder, a decoder of clean spectra, a quantifier.

After the design of Ma, Langbein, Shermer, Karakus, arXiv 2602.20289 (dense encoder and decoder around a
latent code from which concentrations are read), at a size that two processor cores train.
"""

from dataclasses import dataclass

from torch import nn
from torch.nn import functional

from ..config import check_range
from ..errors import ConfigError
from .output import Output, Quantifier, check_layers, quantification_loss

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class YaeConfig:
    """Size of a Y-shaped autoencoder.

    Attributes:
        encoder: units of the encoder's layers; the last is the latent code's size.
        decoder: units of the decoder's hidden layers.
        quantifier: units of the quantifier's hidden layer.
        activation: gelu, relu or tanh.
        dropout: share of the encoder's units dropped in training.
        reconstruction_weight: of the decoder's loss beside the quantifier's.
    """

    encoder: tuple[int, ...] = (768, 512, 256)
    decoder: tuple[int, ...] = (256,)
    quantifier: int = 256
    activation: str = "gelu"
    dropout: float = 0.0
    reconstruction_weight: float = 0.2

    def __post_init__(self):
        if not self.encoder:
            raise ConfigError("encoder must list the units of at least one layer.")
        for name in ("encoder", "decoder"):
            check_layers(name, getattr(self, name))
        check_layers("quantifier", (self.quantifier,))
        if self.activation not in ACTIVATIONS:
            raise ConfigError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {self.activation!r}.")
        check_range("dropout", (self.dropout, self.dropout), 0.0, 0.9)
        check_range("reconstruction_weight", (self.reconstruction_weight, self.reconstruction_weight), 0.0)


class Yae(nn.Module):
    """Y-shaped autoencoder.

    Args:
        config: YaeConfig.
        channels, bins: of the input.
        metabolites: number of concentrations.
    """

    def __init__(self, config, channels, bins, metabolites):
        super().__init__()
        self.config, self.shape = config, (channels, bins)
        sizes = [channels * bins, *config.encoder]
        self.encoder = nn.Sequential(*self._dense(sizes))
        sizes = [config.encoder[-1], *config.decoder]
        self.decoder = nn.Sequential(*self._dense(sizes), nn.Linear(sizes[-1], channels * bins))
        self.quantifier = Quantifier(config.encoder[-1], config.quantifier, metabolites)

    def _dense(self, sizes):
        """Dense layers with normalisation between the given sizes."""
        for before, after in zip(sizes[:-1], sizes[1:]):
            yield nn.Linear(before, after)
            yield nn.LayerNorm(after)
            yield ACTIVATIONS[self.config.activation]()
            if self.config.dropout:
                yield nn.Dropout(self.config.dropout)

    def forward(self, channels):
        """(batch, channel, bin) to Output."""
        latent = self.encoder(channels.flatten(1))
        fractions, line = self.quantifier(latent)
        return Output(fractions, line, self.decoder(latent).unflatten(1, self.shape))

    def loss(self, output, truth):
        """Scalar training loss: quantification, and reconstruction of the clean spectra."""
        reconstruction = functional.huber_loss(output.clean, truth.clean, delta=0.05)
        return quantification_loss(output, truth) + 50 * self.config.reconstruction_weight * reconstruction
