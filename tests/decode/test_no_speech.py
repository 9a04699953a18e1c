"""Noise that was taken for words: what is left out of a transcript, and what is not."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

import asr
from asr.decode.align import viterbi_align
from asr.decode.decoder import Decoder
from asr.decode.greedy import greedy_search
from asr.decode.no_speech import PAUSE_SECONDS, spoken_tokens
from asr.decode.timing import FrameClock
from asr.inference.decoding import SegmentDecoder
from asr.text.tokens import TokenTable

WITH_SPACE, WITHOUT = TokenTable(tuple(" ABC")), TokenTable(tuple("ABC"))
FRAME = 0.05
PAUSE = round(PAUSE_SECONDS / FRAME)
CLEAR, DOUBTFUL = 6.0, 0.5
"""Nats by which a letter is likelier than the blank."""


def emissions(said: Sequence[tuple[str, float]], table: TokenTable = WITH_SPACE) -> Tensor:
    """`(T, C)`: each character has a frame in which it gains so many nats; "_" is a blank."""
    scores = torch.full((sum(len(text) for text, _ in said), len(table)), -20.0)
    scores[:, 0] = 0.0
    gains = [(character, gain) for text, gain in said for character in text]
    for row, (character, gain) in zip(scores, gains, strict=True):
        if character != "_":
            row[table.encode(character)[0]] = gain
    return scores.double().log_softmax(dim=1)


def heard(
    said: Sequence[tuple[str, float]], table: TokenTable = WITH_SPACE, below: float = 2.0
) -> str:
    log_probs = emissions(said, table)
    alignment = viterbi_align(log_probs, greedy_search(log_probs).tokens)
    return table.decode(spoken_tokens(log_probs, alignment, table, FRAME, below))


def test_doubtful_words_between_pauses_are_left_out() -> None:
    pause, short = "_" * PAUSE, "_" * (PAUSE - 2)  # and a space
    assert heard([(f"AB{pause}", CLEAR), (" C", DOUBTFUL), (f"{pause} BA", CLEAR)]) == "AB BA"
    assert heard([("AB", DOUBTFUL)]) == ""
    assert heard([("AB", DOUBTFUL)], below=0) == "AB"
    assert heard([("AB", DOUBTFUL)], below=0.4) == "AB"
    # What belongs to speech around it is judged with that.
    assert heard([(f"AB{short}", CLEAR), (" C", DOUBTFUL), (f"{short} BA", CLEAR)]) == "AB C BA"
    # The mean counts: one clear letter makes up for two doubtful ones.
    assert heard([("AB", DOUBTFUL), ("C", CLEAR)]) == "ABC"
    assert heard([("", CLEAR)]) == heard([(pause, CLEAR)]) == heard([("  ", CLEAR)]) == ""


def test_without_spaces_what_stands_between_pauses_counts_as_a_whole() -> None:
    pause = "_" * PAUSE
    assert heard([("AB", CLEAR), (pause, 0), ("C", DOUBTFUL)], WITHOUT) == "AB"
    assert heard([("AB", CLEAR), ("C", DOUBTFUL)], WITHOUT) == "ABC"


def test_the_gain_is_that_of_the_path_over_blanks_alone() -> None:
    """Against the two probabilities themselves, at the threshold between keeping and leaving."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        log_probs = (3 * torch.randn(12, 5, generator=generator)).double().log_softmax(dim=1)
        tokens = greedy_search(log_probs).tokens
        if WITH_SPACE.space in tokens or not tokens:
            continue
        alignment = viterbi_align(log_probs, tokens)
        first, last = alignment.first_frames[0], alignment.last_frames[-1]
        outside = np.r_[0:first, last + 1 : 12]
        blank = log_probs[:, 0].numpy()
        on_path = alignment.log_score - blank[outside].sum()
        gain = (on_path - blank[first : last + 1].sum()) / len(tokens)
        below, above = (
            spoken_tokens(log_probs, alignment, WITH_SPACE, 0.0001, gain + change)
            for change in (-1e-6, 1e-6)
        )
        assert (below, above) == (tokens, ())


def test_a_transcript_leaves_them_out_of_its_text_words_and_best_alternative() -> None:
    pause = "_" * PAUSE
    log_probs = emissions([("AB", CLEAR), (f" {pause}", CLEAR), ("C", DOUBTFUL)]).float()
    clock = FrameClock(FRAME, 0.0)
    texts = []
    for below in (0.0, 2.0):
        decoder = Decoder(no_speech_below=below)
        found = SegmentDecoder(decoder, WITH_SPACE, clock, True)(log_probs, 0, math.inf)
        assert [word.text for word in found.words] == found.text.split()
        assert found.nbest[0].text == found.text
        assert not found.rejected
        texts.append(found.text)
    assert texts == ["AB C", "AB"]


@pytest.mark.parametrize("name", ["english", "an4-blstm"])
def test_a_checkpoint_leaves_noise_out_unless_told_otherwise(name: str) -> None:
    recognizer = asr.load(name)
    assert recognizer.prepare().decoder.no_speech_below == 2.0
    assert recognizer.prepare(no_speech_below=0).decoder.no_speech_below == 0
