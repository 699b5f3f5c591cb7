"""Pictures of a noise estimate: where the noise is from, how the density fits, how the chains ran."""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import gennorm, norm

SPECTRUM_SPREADS = 12
"""Height of the spectrum shown, in standard deviations of the noise to either side."""

TRACED = (("mu", "location mu"), ("alpha", "scale alpha"), ("beta", "shape beta"), ("sigma", "standard deviation"))

WALKERS_SHOWN = 4


def noise_figure(noise, fit, chains):
    """One page: spectrum with the ranges used, histogram with the fit, traces.

    Args:
        noise: noise_ranges.NoiseValues.
        fit: noise_fit.NoiseFit of these values.
        chains: (ensemble, step, walker, 4) kept chains of mu, alpha, beta and sigma.

    Returns:
        matplotlib Figure.
    """
    figure = Figure(figsize=(10, 9), layout="constrained")
    rows = figure.subfigures(3, 1, height_ratios=(1.0, 1.3, 1.3))
    _draw_spectrum(rows[0].subplots(), noise, fit)
    linear, logarithmic = rows[1].subplots(1, 2)
    for axes in (linear, logarithmic):
        _draw_histogram(axes, noise.values, fit)
    logarithmic.set_yscale("log")
    logarithmic.set_ylim(bottom=0.3 / (noise.values.size * _bin_width(noise.values)))
    linear.set_ylabel("density")
    linear.legend(fontsize=8, frameon=False, loc="upper left")
    linear.set_ylim(top=1.25 * linear.get_ylim()[1])
    for axes, (index, (name, title)) in zip(rows[2].subplots(2, 2).flat, enumerate(TRACED)):
        _draw_trace(axes, chains[..., index], getattr(fit, name), title)
    beta = fit.beta
    figure.suptitle(
        f"{fit.name}: {fit.values} values, beta {beta.mean:.2f} ({beta.low:.2f} to {beta.high:.2f}), "
        f"sigma {fit.sigma.mean:.3g} of the FID's maximum"
    )
    return figure


def _draw_spectrum(axes, noise, fit):
    """Real spectra near the noise level, the ranges used shaded."""
    for number, spectrum in enumerate(noise.spectra):
        axes.plot(noise.ppm, spectrum.real, linewidth=0.6, color=("black", "tab:blue")[number % 2])
    for low, high in fit.ranges_ppm:
        axes.axvspan(low, high, color="tab:orange", alpha=0.25, linewidth=0)
    limit = SPECTRUM_SPREADS * fit.sigma.mean
    axes.set(xlim=(noise.ppm[-1], noise.ppm[0]), ylim=(-limit, limit), xlabel="chemical shift (ppm)")
    axes.set_ylabel("real part")
    axes.set_title("all conditions; shaded: taken as noise", fontsize=9)


def _bin_width(values):
    """Width of a histogram's bins, for about 60 across four standard deviations to either side."""
    return 8 * float(np.std(values)) / 60


def _draw_histogram(axes, values, fit):
    """Histogram of the values, the fitted density, and the Gaussian of the same standard deviation."""
    width = _bin_width(values)
    half = np.ceil(np.abs(values).max() / width) * width
    bins = np.linspace(-half, half, int(round(2 * half / width)) + 1)
    axes.hist(values, bins=bins, density=True, color="0.8", label="real and imaginary parts")
    x = np.linspace(-half, half, 601)
    density = gennorm.pdf(x, fit.beta.mean, loc=fit.mu.mean, scale=fit.alpha.mean)
    axes.plot(x, density, color="tab:red", label="generalised Gaussian")
    sigma = fit.sigma.mean
    axes.plot(x, norm.pdf(x, fit.mu.mean, sigma), "--", color="black", linewidth=0.9, label="Gaussian, same sigma")
    axes.set_xlim(-half, half)
    axes.set_xlabel("value relative to the FID's maximum")


def _draw_trace(axes, chains, marginal, title):
    """A few walkers of each ensemble, (ensemble, step, walker), with mean and 95 % interval."""
    for number, ensemble in enumerate(chains):
        axes.plot(ensemble[:, :WALKERS_SHOWN], color=f"C{number}", linewidth=0.5, alpha=0.6)
    axes.axhline(marginal.mean, color="black", linewidth=0.9)
    axes.axhspan(marginal.low, marginal.high, color="black", alpha=0.1, linewidth=0)
    axes.set_title(f"{title}: R-hat {marginal.r_hat:.3f}, {marginal.effective:.0f} effective draws", fontsize=9)
    axes.set_xlabel("step kept", fontsize=8)
    axes.tick_params(labelsize=8)
