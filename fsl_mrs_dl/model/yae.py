"""Y-shaped autoencoder: a shared encoder, a decoder of clean spectra, a quantifier.

After the design of Ma, Langbein, Shermer, Karakus, arXiv 2602.20289 (dense encoder and decoder around a
latent code from which concentrations are read), by default at a size that two processor cores train. The
published form is the preset `yae-published`.
"""

from dataclasses import dataclass

from torch import nn
from torch.nn import functional

from ..errors import ConfigError
from .layers import ACTIVATIONS, NORMALISATIONS, Choice, Span, check_choice, check_number, dense, halved
from .output import LOSSES, OUTPUTS, Output, Quantifier, check_layers, quantification_loss

RAMP_START = 0.1
"""Weight of the quantifier's loss at the start of its ramp."""


@dataclass(frozen=True)
class YaeConfig:
    """Size of a Y-shaped autoencoder.

    Attributes:
        encoder: units of the encoder's layers; the last is the latent code's size.
        decoder: units of the decoder's hidden layers; one more layer behind them, without activation, makes the
            spectra.
        quantifier: units of the quantifier's first hidden layer.
        activation: gelu, relu, tanh or sigmoid.
        dropout: share of the hidden units dropped in training.
        reconstruction_weight: of the decoder's loss beside the quantifier's.
        quantifier_layers: how many hidden layers the quantifier has, each half as large as the one before.
        shared: whether the channels (acquisitions, real and imaginary parts) pass encoder and decoder each on its
            own, through the same layers; the quantifier reads the codes of all. Otherwise they pass together.
        normalisation: behind every hidden dense layer of encoder and decoder: layer, batch or none; batch also in
            the quantifier.
        output: softmax (concentrations of sum 1) or sigmoid (each within 0 and 1).
        loss: name in `output.LOSSES`: largest, huber or squares. With the last two, concentrations count relative
            to their sum and the reconstruction by a Huber loss of delta 1.
        ramp_epochs: over how many epochs the quantifier's weight rises evenly from 0.1 to 1; 0 is from the start.
        line_apart: whether the line parameters come from a small head that does not shape the rest.
        input_bins: points of the spectrum that the network sees (`inputs.InputConfig.resample_bins`).
    """

    encoder: tuple[int, ...] = (768, 512, 256)
    decoder: tuple[int, ...] = (256,)
    quantifier: int = 256
    activation: str = "gelu"
    dropout: float = 0.0
    reconstruction_weight: float = 0.2
    quantifier_layers: int = 1
    shared: bool = False
    normalisation: str = "layer"
    output: str = "softmax"
    loss: str = "largest"
    ramp_epochs: int = 0
    line_apart: bool = False
    input_bins: int | None = None

    SEARCH = {
        "units": Choice((256, 512, 768, 1024)),
        "encoder_layers": Span(2, 6),
        "decoder_layers": Span(1, 4),
        "quantifier": Choice((64, 128, 256, 384, 512)),
        "quantifier_layers": Span(1, 3),
        "activation": Choice(("gelu", "relu", "tanh", "sigmoid")),
        "normalisation": Choice(("layer", "batch", "none")),
        "dropout": Choice((0.0, 0.1, 0.2, 0.3)),
        "output": Choice(("softmax", "sigmoid")),
        "reconstruction_weight": Span(0.02, 2.0, log=True),
    }

    @classmethod
    def searched(cls, units, encoder_layers, decoder_layers, **values):
        """The configuration of a point in `SEARCH`: an encoder that halves, a decoder that doubles from its end."""
        encoder = halved(units, encoder_layers)
        decoder = tuple(encoder[-1] << k for k in range(decoder_layers))
        return cls(encoder, tuple(min(size, units) for size in decoder), **values)

    def __post_init__(self):
        if not self.encoder:
            raise ConfigError("encoder must list the units of at least one layer.")
        for name in ("encoder", "decoder"):
            check_layers(name, getattr(self, name))
        check_layers("quantifier", (self.quantifier,))
        check_number("quantifier_layers", self.quantifier_layers, 1, 16)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("normalisation", self.normalisation, NORMALISATIONS)
        check_choice("output", self.output, OUTPUTS)
        check_choice("loss", self.loss, LOSSES)
        check_number("dropout", self.dropout, 0.0, 0.9)
        check_number("reconstruction_weight", self.reconstruction_weight, 0.0)
        check_number("ramp_epochs", self.ramp_epochs, 0, 10_000)


class Yae(nn.Module):
    """Y-shaped autoencoder.

    Args:
        config: YaeConfig.
        channels, bins: of the input.
        metabolites: number of concentrations.
    """

    def __init__(self, config, channels, bins, metabolites):
        super().__init__()
        self.config = config
        size, codes = (bins, channels) if config.shared else (channels * bins, 1)
        style = (config.activation, config.normalisation, config.dropout)
        self.encoder = nn.Sequential(*dense([size, *config.encoder], *style))
        sizes = [config.encoder[-1], *config.decoder]
        self.decoder = nn.Sequential(*dense(sizes, *style), nn.Linear(sizes[-1], size))
        self.quantifier = Quantifier(
            codes * config.encoder[-1],
            halved(config.quantifier, config.quantifier_layers),
            metabolites,
            config.dropout,
            config.activation,
            "batch" if config.normalisation == "batch" else "none",
            config.output,
            config.line_apart,
        )

    def forward(self, channels):
        """(batch, channel, bin) to Output."""
        latent = self.encoder(channels.flatten(0, 1) if self.config.shared else channels.flatten(1))
        features = latent.reshape(len(channels), -1)
        fractions, line, spread = self.quantifier(features)
        return Output(fractions, line, self.decoder(latent).reshape(channels.shape), spread, features)

    def loss(self, output, truth, epoch=0):
        """Scalar training loss: quantification, and reconstruction of the clean spectra.

        Args:
            output: of `forward`.
            truth: in the same form.
            epoch: number of the training epoch, from 0, for the ramp of the quantifier's weight.
        """
        config = self.config
        # Errors relative to the largest concentration are small: both losses are scaled up, and turn linear early.
        scale, delta = (50, 0.05) if config.loss == "largest" else (1, 1.0)
        reconstruction = functional.huber_loss(output.clean, truth.clean, delta=delta)
        quantification = quantification_loss(output, truth, config.loss)
        ramp = min(epoch / config.ramp_epochs, 1.0) if config.ramp_epochs else 1.0
        weight = RAMP_START + (1 - RAMP_START) * ramp
        return weight * quantification + scale * config.reconstruction_weight * reconstruction
