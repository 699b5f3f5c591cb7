"""Noise of the receiver: drawn, and what its parameters mean."""

import torch

from ..axes import spectrum_to_fid
from ..errors import ConfigError
from .noise_quantiles import at_same_quantile, quantile_tables


def gaussian_noise(shape, sigma, seed):
    """Complex Gaussian noise in the time domain, as an analogue-to-digital converter sees it.

    Args:
        shape: (batch, condition, point).
        sigma: (batch,) standard deviation of the real and of the imaginary part.
        seed: of the noise, see `standard_normal`.

    Returns:
        shape complex64, on sigma's device.
    """
    values = standard_normal(shape, seed, sigma.device)
    return torch.view_as_complex(values.mul_(sigma[:, None, None, None]))


def standard_normal(shape, seed, device):
    """Standard normal numbers for the real and imaginary parts of scans.

    On a CPU scan i is drawn with seed + i, so a batch equals its scans one by one. Another device draws the batch
    at once: the same seed gives the same numbers on the same kind of device, but others than on a CPU.

    Args:
        shape: (batch, condition, point).
        seed: of the first scan.
        device: torch device.

    Returns:
        (batch, condition, point, 2) float32.
    """
    device = torch.device(device)
    values = torch.empty(*shape, 2, device=device)
    generator = torch.Generator(device=device)
    # A whole batch on a GPU: drawing each scan for itself would take longer than all the rest.
    draws = enumerate(values) if device.type == "cpu" else ((0, values),)
    for index, part in draws:
        part.normal_(generator=generator.manual_seed(seed + index))
    return values


def generalised_gaussian_noise(shape, alpha, beta, seed):
    """FIDs whose spectra have generalised Gaussian noise.

    Every point, real and imaginary part and condition of the spectrum (`axes.fid_to_spectrum`) is an
    independent value with the density beta / (2 alpha Gamma(1/beta)) exp(-(|x| / alpha)^beta): a standard normal
    number, carried to the same quantile of this distribution (`noise_quantiles`).

    In the time domain such noise is nearly Gaussian whatever beta is, being a sum over the whole
    spectrum. It has the same standard deviation there, except the first point, which has twice as much
    (`axes.spectrum_to_fid`).

    Args:
        shape: (batch, condition, point).
        alpha: (batch,) scale of each scan, in the unit of the FIDs.
        beta: (batch,) shape of each scan, on the CPU: 2 is Gaussian, 1 is Laplace.
        seed: of the noise, see `standard_normal`.

    Returns:
        shape complex64, on alpha's device.

    Raises:
        ConfigError: a scale is negative (looked at on a CPU only: a look at a GPU's values waits for them), a shape
            is not positive, or their number is not the batch.
    """
    alpha = torch.as_tensor(alpha, dtype=torch.float32)
    beta = torch.as_tensor(beta, dtype=torch.float32)
    _check_parameters(shape[0], alpha, beta)
    normal = standard_normal(shape, seed, alpha.device)
    values = at_same_quantile(normal, quantile_tables(beta).to(alpha.device))
    return spectrum_to_fid(torch.view_as_complex(values.mul_(alpha[:, None, None, None])))


def _check_parameters(batch, alpha, beta):
    """Refuse scales and shapes that are no generalised Gaussian, or not one for each scan."""
    if alpha.shape != (batch,) or beta.shape != (batch,):
        raise ConfigError(
            f"Noise needs one alpha and one beta for each of {batch} scans, "
            f"not {tuple(alpha.shape)} and {tuple(beta.shape)}."
        )
    known = alpha if alpha.device.type == "cpu" else torch.zeros(1)
    if not bool((known >= 0).all() and (beta > 0).all() and known.isfinite().all() and beta.isfinite().all()):
        raise ConfigError(
            "Noise needs finite alpha of at least 0 and beta above 0, "
            f"not alpha down to {known.min():g} and beta down to {beta.min():g}."
        )


def alpha_of_sigma(sigma, beta):
    """Scale alpha of generalised Gaussian noise with a standard deviation.

    The variance is alpha^2 Gamma(3/beta) / Gamma(1/beta) (Nadarajah, J. Appl. Stat. 32, 685, 2005).

    Args:
        sigma: standard deviation of the real and of the imaginary part, tensor or number.
        beta: shape, tensor or number.

    Returns:
        Tensor of the same unit as sigma: sqrt(2) sigma for beta 2, sigma / sqrt(2) for beta 1.
    """
    beta = torch.as_tensor(beta, dtype=None if torch.is_tensor(beta) else torch.get_default_dtype())
    # The standard deviation for a scale of 1.
    return torch.as_tensor(sigma) / torch.exp((torch.lgamma(3 / beta) - torch.lgamma(1 / beta)) / 2)
