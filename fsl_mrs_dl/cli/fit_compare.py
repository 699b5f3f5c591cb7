"""fsl_mrs_dl fit --compare: FSL-MRS's own fit of the same scan beside the network's."""

from dataclasses import replace


def comparer(wanted):
    """Function from a Result to one with the comparison asked for.

    Args:
        wanted: "newton", or None for the Result as it is.

    Raises:
        ConfigError: FSL-MRS cannot be imported.
    """
    if wanted is None:
        return lambda result: result
    from ..evaluate.compare import compare
    from ..fslmrs.newton import BASELINE, MODEL, NewtonFit
    from ..fslmrs.quantification import require_host

    require_host(f"--compare {wanted}", "fsl_mrs.utils.fitting")

    def compared(result):
        low, high = ppm_range = result.first_fit.ppm_limits
        title = f"Newton with FSL-MRS's defaults ({MODEL}, baseline {BASELINE}), {low:g} to {high:g} ppm"
        return replace(result, comparison=compare(result, NewtonFit(ppm_range).with_bounds, wanted, title))

    return compared


def print_values(result):
    """A line for each spectrum of the comparison of a Result, if there is one."""
    found = result.comparison
    for key in found.spectra if found else ():
        values = "  ".join(f"{name} {value:.3f}" for name, (value, _) in found.values.get(key, {}).items())
        print(f"  {found.name}, {key}: {values or f'no values: {found.failures[key]}'}")
