"""Ctrl-C and SIGTERM during training: finish the step, save the state, stop."""

import contextlib
import os
import signal
from collections.abc import Iterator


class Interrupted(Exception):  # noqa: N818 (a request, not an error)
    """Ctrl-C or a termination signal: the state is saved and the run can be resumed."""


@contextlib.contextmanager
def stop_signal() -> Iterator[list[int]]:
    """A list that stays empty until Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def handle(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        os.write(2, b"\nstopping after this step; press Ctrl-C again to stop without saving\n")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
