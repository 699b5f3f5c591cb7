"""Noise of the receiver."""

import torch


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
