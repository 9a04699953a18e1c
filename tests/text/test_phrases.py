"""What is said between two pauses."""

from itertools import pairwise

from asr.text.phrases import joined, pause_seconds, phrases, pieces, timed_phrases
from asr.text.timed import Timed, TimedWord


def unspaced(text: str, starts: list[float]) -> TimedWord:
    """A sentence as one word, whose characters begin at some times, and its end."""
    spans = tuple(Timed(c, *times) for c, times in zip(text, pairwise(starts), strict=True))
    return TimedWord(text, starts[0], starts[-1], 0.9, spans)


def test_phrases_end_at_pauses() -> None:
    words = [TimedWord("A", 0.0, 0.5), TimedWord("B", 1.4, 2.0), TimedWord("C", 3.0, 3.5)]
    assert timed_phrases(words) == [Timed("A B", 0.0, 2.0), Timed("C", 3.0, 3.5)]
    assert timed_phrases([]) == []


def test_a_long_character_holds_a_pause() -> None:
    words = [unspaced("我们走", [0.0, 0.2, 2.0, 2.5]), TimedWord("GO", 2.6, 3.0)]
    assert [joined(run) for run in phrases(words)] == ["我们", "走 GO"]
    assert [round(pause_seconds(a, b), 6) for a, b in pairwise(pieces(words))] == [0.2, 1.8, 0.1]
