"""How fast a stream makes scans, and what takes the time."""

import contextlib
import os
import time

import torch
from torch.profiler import ProfilerActivity, profile

from ..threads import one_thread
from .steps import PREFIX


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
    while time.perf_counter() - begin < seconds or not batches:
        batches += 1
        stream[batches]
        _wait(stream.device)
    return batches * stream.batch / (time.perf_counter() - begin)


def _wait(device):
    """Let a GPU finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def step_shares(stream, batches=8):
    """Share of the time in each step of making a batch, on one thread; on a GPU, of the GPU's time.

    Returns:
        {name of the step (`steps.step`): share}, adding up to 1, the longest first. Imperfections that the recipe
        does not use have none.
    """
    stream[0]
    on_gpu = stream.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    # The profiler does not see what other threads do.
    with one_thread(), _silent(), profile(activities=activities) as record:
        for index in range(1, batches + 1):
            stream[index]
        _wait(stream.device)
    times = {
        event.key.removeprefix(PREFIX): event.device_time_total if on_gpu else event.cpu_time_total
        for event in record.key_averages()
        if event.key.startswith(PREFIX)
    }
    total = sum(times.values())
    return {name: times[name] / total for name in sorted(times, key=times.get, reverse=True)}


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


def device_name(device):
    """What makes the scans, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' if threads > 1 else ''}"


def benchmark_text(stream, seconds=5.0):
    """Speed and shares as a table."""
    speed = scans_per_second(stream, seconds)
    _, conditions, _, points = stream.members.shape
    lines = [
        f"{speed:.0f} scans per second: recipe {stream.recipe.name}, {conditions} x {points} complex points, "
        f"batches of {stream.batch}, on {device_name(stream.device)}",
        *(f"  {name:<40}{share:>7.1%}" for name, share in step_shares(stream).items()),
    ]
    return "\n".join(lines)
