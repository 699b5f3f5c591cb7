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
"""Validation, test and calibration streams take the training seed plus this times 1, 2 and 3: never the same scans."""

SCANS_AT_ONCE = {"cpu": 1, "cuda": 4096}
"""How many training scans are made at once, at least: a GPU makes thousands in the time of a few. On the processor
they are made step by step, so that they are those of a file of the same seed and batch."""

HELD_OUT_AT_ONCE = 256
"""The same of held-out scans, on any device."""


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
        """The training scans by number of batch; a batch is one of the plan's, or several of them joined."""
        if self.stored is not None:
            return self.stored
        joined = max(1, SCANS_AT_ONCE[device.type] // self.batch)
        return self.stream(self.recipe, self.seed, device, self.pool, joined * self.batch)

    def held_out(self, place, device):
        """Scans never trained on: 1 for validation after each epoch, 2 for the final errors, 3 for error bars."""
        batch = max(self.batch, HELD_OUT_AT_ONCE)
        return self.stream(self.recipe, self.seed + place * HELD_OUT_SEED_STEP, device, self.pool, batch)

    def stream(self, recipe, seed, device, pool=None, batch=None):
        """A stream of another recipe of the same basis set, made on a device."""
        return Stream(self.basis, recipe, seed, pool, batch or self.batch, device)


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
        scans: Stream or StoredScans, whose batches hold one or more of `batch` scans.
        batch: scans of a step.
        config: ModelConfig.
        device: torch device.
        rank, world: number of this process and how many there are; each takes other scans.
    """

    def __init__(self, scans, batch, config, device, rank=0, world=1):
        self.scans, self.batch, self.config, self.device = scans, batch, config, device
        self.rank, self.world = rank, world
        self.joined = scans.batch // batch
        self.number, self.made = None, None

    def __call__(self, step, epoch):
        """Input and truth of a step, counted over the whole training."""
        number = step // self.joined * self.world + self.rank
        if number != self.number:
            self.number, self.made = number, fed(self.scans[number], self.config, self.device)
        first = step % self.joined * self.batch
        return rows_of(*self.made, slice(first, first + self.batch))


class KeptFeed:
    """The same scans again and again, in a new order in every epoch; they are made once and kept on the device.

    Args:
        scans: Stream or StoredScans.
        number: how many of its scans; less what does not fill a step.
        batch: scans of a step.
        config: ModelConfig.
        device: torch device.
        seed: of the order.
        with_clean: whether the network reconstructs spectra, so that the clean ones are kept too.
        rank, world: as of FreshFeed.

    Raises:
        ConfigError: they do not fit into the device's memory.
    """

    def __init__(self, scans, number, batch, config, device, seed, with_clean=True, rank=0, world=1):
        self.batch, self.seed, self.rank, self.world = batch, seed, rank, world
        number -= number % batch
        self.steps = number // (batch * world)
        first = fed(scans[0], config, device)
        needed, free = number * first[0][0].numel() * 4 * (1 + with_clean), free_bytes(device)
        if needed > 0.9 * free:
            raise ConfigError(
                f"{number} scans that are seen again and again take {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are "
                "free: lower --number, or leave --passes out to train on new scans."
            )
        empty = [torch.empty((number, *one.shape[1:]), device=device) for one in tensors_of(*first, with_clean)]
        for index, start in enumerate(range(0, number, scans.batch)):
            made = first if index == 0 else fed(scans[index], config, device)
            for kept, one in zip(empty, tensors_of(*made, with_clean), strict=True):
                kept[start : start + scans.batch] = one[: number - start]
        self.channels, self.truth = empty[0], Output(*empty[1:])
        self.order, self.order_epoch = None, None

    def __call__(self, step, epoch):
        """Input and truth of a step, counted over the whole training."""
        if epoch != self.order_epoch:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "order", epoch))
            self.order = torch.randperm(len(self.channels), generator=generator).to(self.channels.device)
            self.order_epoch = epoch
        place = (step % self.steps) * self.world + self.rank
        return rows_of(self.channels, self.truth, self.order[place * self.batch : (place + 1) * self.batch])


def tensors_of(channels, truth, with_clean=True):
    """Input and truth as a tuple of tensors, the clean spectra last if at all."""
    return (channels, truth.fractions, truth.line, *((truth.clean,) if with_clean else ()))


def rows_of(channels, truth, rows):
    """Some scans of an input and a truth."""
    clean = None if truth.clean is None else truth.clean[rows]
    return channels[rows], Output(truth.fractions[rows], truth.line[rows], clean)


def free_bytes(device):
    """Free memory of a device (bytes)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
