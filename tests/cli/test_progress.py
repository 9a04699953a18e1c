"""The line that says how much was transcribed."""

from asr.cli.progress import AudioProgress


def test_speed_is_that_of_what_was_transcribed() -> None:
    with AudioProgress(num_files=2, num_bytes=300) as progress:
        progress.advance(100, 0.0)  # its transcript was there already
        assert progress.done() == "0.00 h of audio in 00:00"
        progress.advance(200, 7200.0)
        assert "2.00 h of audio in 00:00, " in progress.done()
        assert progress.state().startswith("2 of 2 files, 2.00 h")
