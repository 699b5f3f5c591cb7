"""How many threads torch works with."""

import contextlib
import threading

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def one_torch_thread():
    """Run torch on one thread within the block, and in the threads that are started in it.

    Matrices as small as those of one spectrum, and work that is spread over threads already, gain nothing from
    more and lose much on busy cores; and one thread gives the same digits in a worker as outside it. Of several
    threads that enter such a block, one goes on at a time, as torch has one setting for all.
    """
    import torch

    with _ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
