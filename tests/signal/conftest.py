"""Fixtures that several tests of audio files share."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from asr.errors import AudioError
from asr.signal.audio import read


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[bytes, str], None]:
    """Check that a file of these bytes is refused by name, by `read`, in a few megabytes."""

    def check(data: bytes, pattern: str) -> None:
        path = tmp_path / "speech.wav"
        path.write_bytes(data)
        tracemalloc.start()
        try:
            with pytest.raises(AudioError, match=pattern) as caught:
                read(path)
            assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
        finally:
            tracemalloc.stop()
        message = str(caught.value)
        assert message.startswith(f"{path}: expected ")
        assert ", found " in message
        assert "; " in message

    return check
