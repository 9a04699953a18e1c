"""Ctrl-C, SIGTERM and SIGHUP during training: finish the step, save the state, stop."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

_AGAIN_SECONDS = 0.5
"""A Ctrl-C that comes sooner after the first signal is the same one: launchers pass signals on to
processes that have received them already as members of the process group."""


class Interrupted(Exception):  # noqa: N818 (a request, not an error)
    """Ctrl-C or another signal to end: the state is saved and the run can be resumed."""


def signals_to_end() -> list[signal.Signals]:
    """Those that ask a process to end: Ctrl-C, SIGTERM and, if it is not ignored, SIGHUP.

    `nohup` starts a process with SIGHUP ignored, and that is what its user wants.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


@contextlib.contextmanager
def stop_signal() -> Iterator[list[int]]:
    """A list that stays empty until a signal to end; a second Ctrl-C interrupts at once."""
    received: list[int] = []
    first = 0.0

    def handle(number: int, _: object) -> None:
        nonlocal first
        if not received:
            first = time.monotonic()
            received.append(number)
            with contextlib.suppress(OSError):  # the terminal may have gone
                os.write(
                    2, b"\nstopping after this step; press Ctrl-C again to stop without saving\n"
                )
        elif number == signal.SIGINT and time.monotonic() - first >= _AGAIN_SECONDS:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, handle) for number in signals_to_end()}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
