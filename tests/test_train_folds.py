"""Folds: every scan is held out once and otherwise trained on, whatever the device or the order."""

import pytest
import torch

from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.folds import FoldSource

CPU = torch.device("cpu")


def source(basis, **options):
    """Folds of 10 batches of 8 scans."""
    return FoldSource(basis, PUBLISHED, None, 3, 8, **{"number": 85, "folds": 5, **options})


def test_every_batch_is_held_out_once_and_never_trained_on_then(tiny_basis):
    held = []
    for fold in range(5):
        one = source(tiny_basis, fold=fold)
        kept, out = one.training(CPU), one.held_out(1, CPU)
        assert sorted((*kept.numbers, *out.numbers)) == list(range(10)) and len(out) == 2
        held += out.numbers
    assert sorted(held) == list(range(10))


def test_a_part_gives_the_streams_batches_again_and_again(tiny_basis):
    one = source(tiny_basis)
    part, stream = one.held_out(1, CPU), one.stream(PUBLISHED, 3, CPU)
    assert part.numbers == (0, 5) and part.batch == 8
    assert torch.equal(part[1].measured, stream[5].measured) and torch.equal(part[3].measured, part[1].measured)


def test_too_few_scans_are_refused(tiny_basis):
    with pytest.raises(ConfigError, match="cut into 2 to 2 parts, not 5"):
        source(tiny_basis, number=20)
