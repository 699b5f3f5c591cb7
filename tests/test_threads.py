"""One thread of torch, and the number of before afterwards."""

import threading

import torch

from fsl_mrs_dl.threads import one_torch_thread


def test_threads_are_one_within_and_as_before_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []
        with one_torch_thread(), one_torch_thread():
            started = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
            started.start()
            started.join()
            seen.append(torch.get_num_threads())
        assert seen == [1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
