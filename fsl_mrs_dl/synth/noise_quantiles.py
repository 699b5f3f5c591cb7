"""Generalised Gaussian numbers from normal ones: tables of quantiles, one for each shape.

Drawing such numbers directly takes a gamma variate each, ten times the time of a normal one. A standard normal number
z and the number x at the same quantile of the generalised Gaussian distribution are tied by a smooth, odd and rising
function, P(1/beta, |x|^beta) = erf(|z| / sqrt(2)), with P the regularised incomplete gamma function (Nadarajah,
J. Appl. Stat. 32, 685, 2005). Its logarithm is smooth in log(beta), too, so that the function of any shape lies
between those of a few fixed shapes.
"""

import functools
import math

import numpy as np
import torch
from scipy import special

NODES_PER_SIGMA = 128
"""Nodes of a table per unit of z; straight lines between them are off by at most 2e-5 standard deviations."""

LARGEST_Z = 7.0
"""End of the tables. A normal number drawn in single precision is smaller."""

ROWS_PER_E = 16
"""Fixed shapes for each factor e of beta; cubic interpolation between them adds a relative error of 5e-6 at most, for
shapes above 0.35."""


def quantile_tables(beta):
    """Tables of shapes: x / alpha at z = 0, 1/128, 2/128, ... up to 7.

    Args:
        beta: (batch,) shapes, above 0, on the CPU.

    Returns:
        (batch, node) float32.
    """
    place = ROWS_PER_E * beta.double().log()
    first = place.floor()
    steps = torch.arange(-1, 3)
    numbers = first.long()[:, None] + steps
    used, where = numbers.unique(return_inverse=True)
    rows = torch.stack([_row(number) for number in used.tolist()])
    weights = torch.zeros(len(beta), len(used), dtype=torch.float64)
    weights.scatter_(1, where, _lagrange(place - first))
    return (weights @ rows).exp().float()


def at_same_quantile(normal, tables):
    """Standard normal numbers carried to the same quantiles of other distributions.

    Args:
        normal: (batch, ...) float32; it is overwritten.
        tables: (batch, node) of `quantile_tables`, on the same device.

    Returns:
        (batch, ...) float32.
    """
    batch, nodes = tables.shape
    place = normal.abs().mul_(NODES_PER_SIGMA).clamp_(max=nodes - 1.001)
    node = place.int()
    place.sub_(node)
    start = torch.arange(0, batch * nodes, nodes, dtype=torch.int32, device=tables.device)
    node = (node + start.reshape(-1, *[1] * (normal.dim() - 1))).flatten()
    slopes = torch.diff(tables, append=tables[:, -1:]).flatten()
    low, slope = (values.index_select(0, node).view_as(normal) for values in (tables.flatten(), slopes))
    return torch.copysign(low.addcmul_(place, slope), normal, out=normal)


def _lagrange(share):
    """Weights (..., 4) of values at -1, 0, 1 and 2 for the cubic through them at `share` (...) in [0, 1]."""
    before, after, far = share + 1, 1 - share, 2 - share
    return torch.stack(
        [-share * after * far / 6, before * after * far / 2, before * share * far / 2, -before * share * after / 6], -1
    )


@functools.lru_cache(maxsize=1024)
def _row(number):
    """log(x / alpha) at the nodes (float64) for the shape exp(number / ROWS_PER_E)."""
    beta = math.exp(number / ROWS_PER_E)
    z = np.arange(round(LARGEST_Z * NODES_PER_SIGMA) + 1) / NODES_PER_SIGMA
    inner, outer = special.erf(z / math.sqrt(2)), special.erfc(z / math.sqrt(2))
    with np.errstate(divide="ignore"):
        # Each of the two is exact where the other has lost its digits.
        power = np.where(z < 1, special.gammaincinv(1 / beta, inner), special.gammainccinv(1 / beta, outer))
        # For x near 0, where the power has no digits left, the density is constant.
        straight = np.log(inner) + special.gammaln(1 + 1 / beta)
        logarithm = np.where(power > 1e-200, np.log(power) / beta, straight)
    # x is 0 at z = 0; a logarithm must be finite to be interpolated.
    logarithm[0] = -200.0
    return torch.from_numpy(logarithm)
