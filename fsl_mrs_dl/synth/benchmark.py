"""How fast a stream makes scans, and what takes the time."""

import contextlib
import os
import time

import torch
from torch.profiler import ProfilerActivity, profile

STEPS = ("draw", "basis", "metabolites", "line shape", "water and baseline", "noise", "sum")
"""Names under which the stream's steps are recorded."""


def scans_per_second(stream, seconds=5.0):
    """Speed of a stream in this process.

    Args:
        stream: dataset.Stream.
        seconds: how long to measure.

    Returns:
        scans per second.
    """
    stream[0]
    begin, batches = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < seconds or not batches:
        batches += 1
        stream[batches]
    return batches * stream.batch / passed


def step_shares(stream, batches=8):
    """Share of the time in each step of making a batch.

    Returns:
        {step of `STEPS`: share}, adding up to 1.
    """
    stream[0]
    with _silent(), profile(activities=[ProfilerActivity.CPU]) as record:
        for index in range(1, batches + 1):
            stream[index]
    times = {event.key: event.cpu_time_total for event in record.key_averages() if event.key in STEPS}
    total = sum(times.values())
    return {step: times[step] / total for step in STEPS}


@contextlib.contextmanager
def _silent():
    """Context without standard error: some builds of torch's profiler report there that they begin and end."""
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def benchmark_text(stream, seconds=5.0):
    """Speed and shares as a table."""
    speed = scans_per_second(stream, seconds)
    _, conditions, _, points = stream.members.shape
    lines = [
        f"{speed:.0f} scans per second: recipe {stream.recipe.name}, {conditions} x {points} complex points, "
        f"batches of {stream.batch}, {torch.get_num_threads()} threads",
        *(f"  {step:<20}{share:>7.1%}" for step, share in step_shares(stream).items()),
    ]
    return "\n".join(lines)
