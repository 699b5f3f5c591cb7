"""What a network is fed: the input and the truth of a step's scans, on the device that trains."""

import hashlib
import os
from dataclasses import dataclass

import torch

from ..errors import ConfigError
from ..model.inputs import network_input
from ..model.output import Output
from ..synth.dataset import Stream
from .validate import truth_of

HELD_OUT_SEED_STEP = 7919
"""Validation and test streams take the training seed plus this and twice this: never the same scans."""


@dataclass(frozen=True)
class Source:
    """Where scans come from.

    Attributes:
        basis: BasisSet.
        recipe: Recipe.
        pool: BasisPool or None.
        seed: of the training scans.
        batch: scans per batch.
        stored: synth.store.StoredScans to train on instead of new scans, or None.
    """

    basis: object
    recipe: object
    pool: object
    seed: int
    batch: int
    stored: object = None

    def training(self, device):
        """The training scans: batches by number."""
        return self.stored or self.stream(self.recipe, self.seed, device, self.pool)

    def held_out(self, place, device):
        """Scans never trained on: 1 for validation after each epoch, 2 for the final errors."""
        return self.stream(self.recipe, self.seed + place * HELD_OUT_SEED_STEP, device, self.pool)

    def stream(self, recipe, seed, device, pool=None):
        """A stream of another recipe of the same basis set, made on a device."""
        placed = {} if device.type == "cpu" else {"device": device}
        return Stream(self.basis, recipe, seed, pool, self.batch, **placed)


def seed_of(*numbers):
    """A seed for torch that differs wherever one of the numbers does."""
    digest = hashlib.sha256(" ".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def fed(batch, config, device):
    """Input (batch, channel, bin) and truth (Output) of simulated scans, for a network of a ModelConfig."""
    batch = batch.to(device)
    channels, scale = network_input(batch.measured, config.input)
    return channels, truth_of(batch, config.input, config.line, config.basis_linewidth_hz, scale)


class FreshFeed:
    """New scans for every step.

    Args:
        scans: Stream or StoredScans.
        config: ModelConfig.
        device: torch device.
        rank, world: number of this process and how many there are; each takes other batches.
    """

    def __init__(self, scans, config, device, rank=0, world=1):
        self.scans, self.config, self.device = scans, config, device
        self.rank, self.world = rank, world

    def __call__(self, step, epoch):
        """Input and truth of a step, counted over the whole training."""
        return fed(self.scans[step * self.world + self.rank], self.config, self.device)


class KeptFeed:
    """The same scans again and again, in a new order in every epoch; they are made once and kept on the device.

    Args:
        scans: Stream or StoredScans.
        number: how many of its scans; whole batches are taken.
        config: ModelConfig.
        device: torch device.
        seed: of the order.
        with_clean: whether the network reconstructs spectra, so that the clean ones are kept too.
        rank, world: as of FreshFeed.

    Raises:
        ConfigError: they do not fit into the device's memory.
    """

    def __init__(self, scans, number, config, device, seed, with_clean=True, rank=0, world=1):
        self.batch, self.seed, self.rank, self.world = scans.batch, seed, rank, world
        number -= number % scans.batch
        channels, _ = first = fed(scans[0], config, device)
        needed = number * channels[0].numel() * 4 * (1 + with_clean)
        free = free_bytes(device)
        if needed > 0.9 * free:
            raise ConfigError(
                f"{number} scans that are seen again and again take {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are "
                "free: lower --number, or leave --passes out to train on new scans."
            )
        shape = (number, *channels.shape[1:])
        self.channels = torch.empty(shape, device=device)
        self.clean = torch.empty(shape, device=device) if with_clean else None
        fractions, lines = [], []
        for index in range(number // scans.batch):
            channels, truth = first if index == 0 else fed(scans[index], config, device)
            rows = slice(index * scans.batch, (index + 1) * scans.batch)
            self.channels[rows] = channels
            if with_clean:
                self.clean[rows] = truth.clean
            fractions.append(truth.fractions)
            lines.append(truth.line)
        self.fractions, self.lines = torch.cat(fractions), torch.cat(lines)
        self.steps = number // (scans.batch * world)
        self.order, self.order_epoch = None, None

    def __call__(self, step, epoch):
        """Input and truth of a step, counted over the whole training."""
        if epoch != self.order_epoch:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "order", epoch))
            self.order = torch.randperm(len(self.channels), generator=generator).to(self.channels.device)
            self.order_epoch = epoch
        place = (step % self.steps) * self.world + self.rank
        rows = self.order[place * self.batch : (place + 1) * self.batch]
        clean = self.clean[rows] if self.clean is not None else None
        return self.channels[rows], Output(self.fractions[rows], self.lines[rows], clean)


def free_bytes(device):
    """Free memory of a device (bytes)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
