"""Estimate the noise of a scan: a generalised Gaussian by Markov chain Monte Carlo.

The sampler is the affine-invariant ensemble of emcee (Foreman-Mackey et al., PASP 125, 306, 2013).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import emcee
import numpy as np
from scipy.special import gammaln
from tqdm import tqdm

from ..config import from_dict, read_json, to_dict
from ..errors import ConfigError, DataError, OutputError

FORMAT = "fsl_mrs_dl noise 1"

DENSITY = "beta / (2 alpha Gamma(1/beta)) exp(-(|x - mu| / alpha)^beta); sigma is its standard deviation"

SCALE = (
    "mu, alpha and sigma are of the real and of the imaginary part of a spectrum, relative to the largest magnitude of "
    "the scan's FIDs (fid_maximum, all conditions). The transform is unitary: time and frequency domain have the same "
    "sigma (factor 1), except the first point of an FID, halved before the transform (axes.fid_to_spectrum)."
)

ENSEMBLES, WALKERS, STEPS, MOST_STEPS = 4, 16, 600, 9600
"""Independent ensembles, walkers in each, steps at first, and steps after which the sampler gives up."""

MOST_R_HAT, LEAST_EFFECTIVE = 1.01, 400
"""Limits of a converged chain (Vehtari et al., Bayesian Anal. 16, 667, 2021)."""

DRAWS = 500
"""Posterior draws that are kept."""

_LOW = np.array([-1.0, np.log(1e-4), np.log(0.3)])
_HIGH = np.array([1.0, np.log(10.0), np.log(10.0)])
"""Bounds of (mu, ln alpha, ln beta), for values with standard deviation 1."""

PRIORS = (
    "mu uniform within one standard deviation of the values about 0, alpha log-uniform in 0.0001 to 10 standard "
    "deviations, beta log-uniform in 0.3 to 10, independent"
)


@dataclass(frozen=True)
class Marginal:
    """Posterior of one parameter: mean, 95 % interval, effective sample size, split R-hat."""

    mean: float
    low: float
    high: float
    effective: float
    r_hat: float

    def __post_init__(self):
        if not self.low <= self.high:
            raise ConfigError(f"The interval of a noise parameter must be ascending, not {self.low} to {self.high}.")


@dataclass(frozen=True)
class NoiseFit:
    """Noise of one scan, as `DENSITY` and `SCALE` say.

    Attributes:
        name: of the scan.
        mu, alpha, beta, sigma: posteriors of location, scale, shape and standard deviation.
        values: number of values fitted.
        ranges_ppm: where they are from (ppm).
        fid_maximum: largest magnitude of the FIDs, in the unit of the scan.
        seed: of the sampler.
        steps: of each walker, the discarded half included.
        draws: ((mu, alpha, beta), ...) draws from the posterior.
        notes: what was decided, in words.
    """

    name: str
    mu: Marginal
    alpha: Marginal
    beta: Marginal
    sigma: Marginal
    values: int
    ranges_ppm: tuple[tuple[float, float], ...]
    fid_maximum: float
    seed: int
    steps: int
    draws: tuple[tuple[float, float, float], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if not self.draws or not all(alpha > 0 and beta > 0 for _, alpha, beta in self.draws):
            raise ConfigError(f"Noise of {self.name}: there must be draws, with alpha and beta above 0.")
        if not self.fid_maximum > 0:
            raise ConfigError(f"Noise of {self.name}: fid_maximum must be positive, not {self.fid_maximum}.")


def fit_noise(noise, seed=1, most_steps=MOST_STEPS, progress=True):
    """Posterior of a generalised Gaussian.

    Four independent ensembles start far apart, the walkers of each close together. The first half of every
    chain is discarded; chains are doubled until they have converged.

    Args:
        noise: noise_ranges.NoiseValues.
        seed: of the sampler; the same seed and values give the same fit.
        most_steps: steps of each walker after which to give up.
        progress: show it when it takes longer than two seconds.

    Returns:
        NoiseFit, and the kept chains (ensemble, step, walker, 4) of mu, alpha, beta and sigma.

    Raises:
        DataError: the values are constant, or the chains have not converged.
        ConfigError: seed or steps are not allowed.
    """
    check_options(seed, most_steps)
    deviation = float(np.std(noise.values))
    if not deviation > 0:
        raise DataError(f"{noise.name}: all noise values are {noise.values[0]:g}; give a scan with noise.")
    samplers = _Samplers((noise.values / deviation).astype(np.float32), seed)
    steps = min(STEPS, most_steps)
    with tqdm(desc=f"noise of {noise.name}", unit="step", delay=2, leave=False, disable=not progress) as bar:
        while True:
            chains = samplers.run(steps, bar) * (deviation, deviation, 1, deviation)
            marginals = [_marginal(chains[..., index]) for index in range(4)]
            if all(m.r_hat <= MOST_R_HAT and m.effective >= LEAST_EFFECTIVE for m in marginals):
                break
            if 2 * steps > most_steps:
                raise DataError(_not_converged(noise, marginals, steps))
            steps *= 2
    flat = chains[..., :3].transpose(1, 0, 2, 3).reshape(-1, 3)
    kept = flat[np.linspace(0, len(flat) - 1, DRAWS).astype(int)]
    draws = tuple(tuple(float(f"{value:.6g}") for value in draw) for draw in kept)
    fit = NoiseFit(
        noise.name, *marginals, int(noise.values.size), noise.ranges_ppm, noise.fid_maximum, seed, steps, draws,
        noise.notes,
    )  # fmt: skip
    return fit, chains


def check_options(seed, most_steps):
    """Refuse a seed or a number of steps with which no chain can be run.

    Raises:
        ConfigError: the seed is not one of the sampler's, or there are fewer than 100 steps.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"The sampler's seed must be 0 to {2**32 - 1}, not {seed}.")
    if most_steps < 100:
        raise ConfigError(f"The sampler needs at least 100 steps to judge its chains, not {most_steps}.")


class _Samplers:
    """The ensembles, which can be run on."""

    def __init__(self, values, seed):
        random = np.random.RandomState(seed)
        self.samplers, self.states, self.done = [], [], 0
        for _ in range(ENSEMBLES):
            ln_beta = random.uniform(np.log(0.7), np.log(3.5))
            centre = (random.uniform(-0.2, 0.2), -_ln_sigma_per_alpha(ln_beta) + random.normal(0, 0.1), ln_beta)
            # Close together: a lone walker of an ensemble that has gone ahead can stay behind for good.
            start = centre + random.normal(0, 0.02, (WALKERS, 3))
            generator = np.random.RandomState(random.randint(2**31 - 1))
            self.states.append(emcee.State(start, random_state=generator.get_state()))
            self.samplers.append(emcee.EnsembleSampler(WALKERS, 3, log_posterior, args=(values,), vectorize=True))

    def run(self, steps, bar):
        """Go on to `steps`; the second half as (ensemble, step, walker, 4): mu, alpha, beta and sigma."""
        bar.total = steps * ENSEMBLES
        for index, sampler in enumerate(self.samplers):
            for state in sampler.sample(self.states[index], iterations=steps - self.done):
                bar.update()
            self.states[index] = state
        self.done = steps
        chains = np.stack([sampler.get_chain(discard=steps // 2) for sampler in self.samplers])
        mu, ln_alpha, ln_beta = np.moveaxis(chains, -1, 0)
        return np.stack([mu, np.exp(ln_alpha), np.exp(ln_beta), np.exp(ln_alpha + _ln_sigma_per_alpha(ln_beta))], -1)


def log_posterior(theta, values):
    """Logarithm of the posterior density, up to a constant.

    Args:
        theta: (walker, 3) mu, ln alpha and ln beta.
        values: (value,) float32 with standard deviation 1.

    Returns:
        (walker,), -inf outside the bounds of the priors, which are uniform in theta.
    """
    mu, ln_alpha, ln_beta = theta.T
    inside = ((theta >= _LOW) & (theta <= _HIGH)).all(axis=-1)
    beta = np.exp(ln_beta)
    # Single precision is four times as fast, and wrong by less than 0.001 in the sum of some thousand terms.
    mu_32, alpha_32, beta_32 = (column[:, None].astype(np.float32) for column in (mu, ln_alpha, beta))
    with np.errstate(divide="ignore", over="ignore"):
        logs = np.log(np.abs(values - mu_32)) - alpha_32
        misfit = np.exp(beta_32 * logs).sum(axis=-1, dtype=float)
        total = values.size * (ln_beta - np.log(2) - ln_alpha - gammaln(1 / beta)) - misfit
    return np.where(inside, total, -np.inf)


def split_r_hat(chains):
    """Potential scale reduction of chains cut in two, 1 for perfect agreement.

    Gelman et al., Bayesian Data Analysis, 3rd ed., section 11.4: the root of the pooled over the mean
    variance within the chains. Here the draws of an ensemble's walkers in one half make one chain, as
    only the ensembles are independent.

    Args:
        chains: (ensemble, step, walker).

    Returns:
        R-hat; infinite for chains that never moved.
    """
    half = chains.shape[1] // 2
    parts = np.concatenate([chains[:, :half], chains[:, -half:]]).reshape(2 * len(chains), -1)
    length = parts.shape[1]
    within = parts.var(axis=1, ddof=1).mean()
    between = length * parts.mean(axis=1).var(ddof=1)
    if not within > 0:
        return np.inf
    return float(np.sqrt(((length - 1) / length * within + between / length) / within))


def effective_size(chains):
    """Independent draws that (ensemble, step, walker) chains are worth: draws over autocorrelation time.

    The time is the integrated one of emcee (Goodman and Weare, Commun. Appl. Math. Comput. Sci. 5, 65,
    2010), for each ensemble.
    """
    if not np.ptp(chains) > 0:
        return 0.0
    draws = chains[0].size
    times = [float(emcee.autocorr.integrated_time(chain[..., None], tol=0)[0]) for chain in chains]
    return float(sum(draws / max(time, 1.0) for time in times))


def _marginal(chains):
    """Summary of one parameter's chains (ensemble, step, walker)."""
    low, high = np.quantile(chains, (0.025, 0.975))
    return Marginal(float(chains.mean()), float(low), float(high), effective_size(chains), split_r_hat(chains))


def _not_converged(noise, marginals, steps):
    """Why the chains cannot be used."""
    r_hat = max(marginal.r_hat for marginal in marginals)
    effective = min(marginal.effective for marginal in marginals)
    return (
        f"{noise.name}: the chains have not converged after {steps} steps (R-hat {r_hat:.3f}, at most {MOST_R_HAT} is "
        f"allowed; {effective:.0f} effective draws, at least {LEAST_EFFECTIVE} are); allow more with --steps, or give "
        f"more than these {noise.values.size} values, with wider --ppm ranges."
    )


def _ln_sigma_per_alpha(ln_beta):
    """Logarithm of the standard deviation for alpha 1 (see noise.alpha_of_sigma)."""
    return (gammaln(3 * np.exp(-ln_beta)) - gammaln(np.exp(-ln_beta))) / 2


def save_fits(fits, path):
    """Write fits as one JSON file.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {"format": FORMAT, "density": DENSITY, "scale": SCALE, "priors": PRIORS}
    content["fits"] = [to_dict(fit) for fit in fits]
    try:
        Path(path).write_text(json.dumps(content) + "\n", encoding="utf-8")
    except OSError as exc:
        raise OutputError(f"{path} cannot be written ({exc.strerror}); choose a file where you may write.") from exc


def read_fits(path):
    """The fits of a file of `save_fits`, a tuple of NoiseFit.

    Raises:
        ConfigError: the file is missing or something else.
    """
    content = read_json(path, "a noise estimate")
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.get("fits"):
        raise ConfigError(f"{path}: not a noise estimate of the format {FORMAT!r}; make it with fsl_mrs_dl noise.")
    return tuple(from_dict(NoiseFit, values, str(path)) for values in content["fits"])


def posterior_draws(fits):
    """Draws of all fits together, (draw, 3) mu, alpha and beta: what training draws its noise from."""
    return np.array([draw for fit in fits for draw in fit.draws])
