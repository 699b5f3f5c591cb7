"""Names of the steps of making a scan, under which a profiler finds their time."""

from torch.profiler import record_function

PREFIX = "synth: "


def step(name):
    """Context in which time counts for a step; steps must not lie within each other.

    Args:
        name: what the step adds to the scans, as `fsl_mrs_dl generate --benchmark` prints it.
    """
    return record_function(PREFIX + name)
