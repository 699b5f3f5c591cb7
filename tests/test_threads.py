"""One thread of torch and of linear algebra, and the numbers of before afterwards."""

import threading

import numpy.linalg  # noqa: F401  its library is one of those that are limited
import threadpoolctl
import torch

from fsl_mrs_dl.threads import one_thread


def counts():
    """Threads of torch, and of each library of linear algebra."""
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    return torch.get_num_threads(), *(library["num_threads"] for library in libraries)


def test_threads_are_one_within_and_as_before_afterwards():
    before = torch.get_num_threads()
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        torch.set_num_threads(2)
        try:
            seen, outside = [], counts()
            with one_thread(), one_thread():
                started = threading.Thread(target=lambda: seen.append(counts()))
                started.start()
                started.join()
                seen.append(counts())
            assert all(set(numbers) == {1} and len(numbers) > 1 for numbers in seen)
            assert set(outside) == {2} and counts() == outside
        finally:
            torch.set_num_threads(before)
