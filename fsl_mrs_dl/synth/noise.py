"""Noise of the receiver: drawn, and what its parameters mean."""

import torch

from ..axes import spectrum_to_fid
from ..errors import ConfigError


def gaussian_noise(shape, sigma, seed):
    """Complex Gaussian noise in the time domain, as an analogue-to-digital converter sees it.

    Args:
        shape: (batch, condition, point).
        sigma: (batch,) standard deviation of the real and of the imaginary part.
        seed: of the noise.

    Returns:
        shape complex64, on sigma's device.
    """
    generator = torch.Generator(device=sigma.device).manual_seed(seed)
    parts = torch.randn(*shape, 2, generator=generator, device=sigma.device)
    return torch.view_as_complex(parts * sigma[:, None, None, None])


def generalised_gaussian_noise(shape, alpha, beta, seed):
    """FIDs whose spectra have generalised Gaussian noise.

    Every point, real and imaginary part and condition of the spectrum (`axes.fid_to_spectrum`) is an
    independent value with the density beta / (2 alpha Gamma(1/beta)) exp(-(|x| / alpha)^beta). It is
    alpha V G^(1/beta), with V uniform in [-1, 1] and G of a gamma distribution of shape 1 + 1/beta:
    given G, x is uniform in the slice of the density at a height that G sets.

    In the time domain such noise is nearly Gaussian whatever beta is, being a sum over the whole
    spectrum. It has the same standard deviation there, except the first point, which has twice as much
    (`axes.spectrum_to_fid`).

    Args:
        shape: (batch, condition, point).
        alpha: (batch,) scale of each scan, in the unit of the FIDs.
        beta: (batch,) shape of each scan: 2 is Gaussian, 1 is Laplace.
        seed: of the noise; scan i is drawn with seed + i, so a batch equals its scans one by one.

    Returns:
        shape complex64, on alpha's device.

    Raises:
        ConfigError: a scale is negative, a shape is not positive, or their number is not the batch.
    """
    batch, *scan_shape = shape
    alpha = torch.as_tensor(alpha, dtype=torch.float32)
    beta = torch.as_tensor(beta, dtype=torch.float32, device=alpha.device)
    _check_parameters(batch, alpha, beta)
    spectra = torch.empty(*shape, 2, device=alpha.device)
    generator = torch.Generator(device=alpha.device)
    for index, values in enumerate(spectra):
        generator.manual_seed(seed + index)
        power = 1 / beta[index]
        # The public torch.distributions.Gamma draws with this function too, but takes no generator.
        slices = torch._standard_gamma((1 + power).expand(*scan_shape, 2).contiguous(), generator=generator)
        values.uniform_(-1, 1, generator=generator).mul_(slices.pow_(power)).mul_(alpha[index])
    return spectrum_to_fid(torch.view_as_complex(spectra))


def _check_parameters(batch, alpha, beta):
    """Refuse scales and shapes that are no generalised Gaussian, or not one for each scan."""
    if alpha.shape != (batch,) or beta.shape != (batch,):
        raise ConfigError(
            f"Noise needs one alpha and one beta for each of {batch} scans, "
            f"not {tuple(alpha.shape)} and {tuple(beta.shape)}."
        )
    if not (bool((alpha >= 0).all()) and bool((beta > 0).all()) and bool(torch.isfinite(alpha + beta).all())):
        raise ConfigError(
            "Noise needs finite alpha of at least 0 and beta above 0, "
            f"not alpha down to {alpha.min():g} and beta down to {beta.min():g}."
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
    return torch.as_tensor(sigma) / _sigma_per_alpha(beta)


def sigma_of_alpha(alpha, beta):
    """Standard deviation of generalised Gaussian noise, the inverse of `alpha_of_sigma`."""
    return torch.as_tensor(alpha) * _sigma_per_alpha(beta)


def _sigma_per_alpha(beta):
    """Standard deviation for a scale of 1."""
    beta = torch.as_tensor(beta, dtype=None if torch.is_tensor(beta) else torch.get_default_dtype())
    return torch.exp((torch.lgamma(3 / beta) - torch.lgamma(1 / beta)) / 2)
