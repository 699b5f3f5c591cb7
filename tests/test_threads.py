"""One thread of torch and of linear algebra, and the numbers of before afterwards."""

import threading
import time

import numpy.linalg  # noqa: F401  its library is one of those that are limited
import pytest
import threadpoolctl
import torch

from fsl_mrs_dl.threads import in_chunks, one_thread


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


def test_chunks_cover_everything_once_and_are_worked_on_by_one_thread_each():
    def work(chunk):
        time.sleep(0.01)
        return chunk.start, chunk.stop, set(counts())

    found = sorted(in_chunks(work, 10, 4), key=lambda one: one[0])
    assert found == [(0, 4, {1}), (4, 8, {1}), (8, 10, {1})]
    assert list(in_chunks(work, 0, 4)) == []


def test_a_chunk_that_fails_ends_the_work():
    def work(chunk):
        raise ArithmeticError(chunk.start)

    with pytest.raises(ArithmeticError):
        list(in_chunks(work, 10_000, 1))
