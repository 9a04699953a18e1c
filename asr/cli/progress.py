"""How far a long command is, on stderr: a bar on a terminal, else a line now and then."""

import logging
import time
from typing import Any, Self

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

_log = logging.getLogger("asr.progress")

LINE_SECONDS = 30.0
"""From one line to the next where stderr is no terminal."""


class AudioProgress:
    """Files and hours of audio that are done, how many times real time that is, and what is left.

    What is left is estimated from the bytes of the files.
    """

    def __init__(self, num_files: int, num_bytes: int) -> None:
        self._num_files, self._num_bytes = num_files, max(1, num_bytes)
        self._files = self._bytes = 0
        self._audio_seconds = 0.0
        self._started = self._last_line = time.monotonic()
        self._bar = tqdm(
            total=self._num_bytes,
            disable=None,
            leave=False,
            bar_format="{percentage:3.0f} %|{bar}| {desc}",
        )
        self._redirected = logging_redirect_tqdm()

    def __enter__(self) -> Self:
        self._redirected.__enter__()
        return self

    def __exit__(self, *ended: Any) -> None:
        self._bar.close()
        self._redirected.__exit__(*ended)

    def advance(self, num_bytes: int, audio_seconds: float) -> None:
        """A file of so many bytes is done, of which so much audio was transcribed."""
        self._files += 1
        self._bytes += num_bytes
        self._audio_seconds += audio_seconds
        self._bar.set_description_str(self.state(), refresh=False)
        self._bar.update(num_bytes)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line > LINE_SECONDS:
            self._last_line = now
            _log.info("%s", self.state())

    def state(self) -> str:
        """How far it is, in one line."""
        seconds = time.monotonic() - self._started
        left = seconds * (self._num_bytes - self._bytes) / max(1, self._bytes)
        return (
            f"{self._files} of {self._num_files} files, {self.done()}, "
            f"{tqdm.format_interval(left)} left"
        )

    def done(self) -> str:
        """How much was transcribed, and how fast."""
        seconds = max(1e-9, time.monotonic() - self._started)
        done = f"{self._audio_seconds / 3600:.2f} h of audio in {tqdm.format_interval(seconds)}"
        if not self._audio_seconds:  # everything was there already, or could not be read
            return done
        return f"{done}, {self._audio_seconds / seconds:.0f} × real time"
