"""How far a training is: in steps, or in time where a time was given."""

import time

TICK = 16
"""Steps between two looks at the clock where several processes must agree on it."""


class Clock:
    """Time that a training has taken, over all its resumed parts.

    Args:
        earlier_s: time that earlier parts took (s).
        agree: function that gives every process the first one's number; None with a single process.
    """

    def __init__(self, earlier_s=0.0, agree=None):
        self._begin, self._agree = time.monotonic() - earlier_s, agree
        self._looks, self._agreed_s = 0, earlier_s

    def elapsed_s(self):
        """Time of this process (s)."""
        return time.monotonic() - self._begin

    def common_s(self):
        """Time that all processes agree on (s); every one must ask equally often."""
        if self._agree is None:
            return self.elapsed_s()
        if self._looks % TICK == 0:
            self._agreed_s = self._agree(self.elapsed_s())
        self._looks += 1
        return self._agreed_s
