"""How many threads torch and the linear algebra of numpy and scipy work with."""

import contextlib
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def one_thread():
    """Run torch and numpy's linear algebra on one thread within the block, and in the threads that are started in it.

    Matrices as small as those of one spectrum, and work that is spread over threads already, gain nothing from
    more and lose much on busy cores: threads of a matrix product wait for each other in a loop. And one thread
    gives the same digits in a worker as outside it. Of several threads that enter such a block, one goes on at a
    time, as there is one setting for all.
    """
    import torch

    with _ONE_AT_A_TIME, _linear_algebra().limit(limits=1, user_api="blas"):
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def in_chunks(work, count, size):
    """Work on a number of things, some at a time, with all cores.

    Args:
        work: function of a slice of them; runs in several threads, each with one thread of its own as of `one_thread`.
            It must not enter `one_thread` itself: that would wait for the end of this.
        count: of things.
        size: how many make a chunk.

    Yields:
        What `work` returns of each chunk, in the order in which they end.
    """
    chunks = [slice(at, min(at + size, count)) for at in range(0, count, size)]
    with one_thread():
        pool = ThreadPoolExecutor(_cores())
        try:
            for job in as_completed([pool.submit(work, chunk) for chunk in chunks]):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.lru_cache(maxsize=1)
def _linear_algebra():
    """Control of the BLAS libraries in this process; finding them takes some milliseconds."""
    # Imported for their libraries, which are not to be found before.
    import numpy.linalg  # noqa: F401
    import scipy.linalg  # noqa: F401
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()
