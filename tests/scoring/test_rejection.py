"""Rejected utterances, counted by themselves."""

from asr.scoring.rejection import Rejections, count_rejections
from asr.scoring.report import render_report
from asr.scoring.wer import align, summarise

REFERENCES = {
    "good": "GO",
    "bad": "TURN LEFT",
    "lost": "STOP NOW",
    "other": "HOW ARE YOU",
    "hum": "",
}
FOUND = {"good": "GO", "bad": "TURN LIFT", "lost": "STOP NOW", "other": "GO", "hum": ""}


def test_rejections_are_neither_right_nor_wrong() -> None:
    aligned = align(REFERENCES, FOUND)
    accepted, rejected = aligned[:2], aligned[2:]
    found = count_rejections(accepted, rejected)
    assert found == Rejections(3, 5, 1, 2, words=5, wer_as_deletions=6 / 8)
    text = render_report(accepted, summarise(accepted), worst=0, rejections=found)
    assert "1 substituted, 0 deleted" in text
    assert "rejected                3  of 5 utterances; 1 of them would have been right, 2 " in text
    assert "WER with their words as deletions: 75.00%" in text


def test_all_or_none_may_be_rejected() -> None:
    aligned = align(REFERENCES, FOUND)
    assert count_rejections(aligned, []).utterances == 0
    found = count_rejections([], aligned)
    assert (found.would_be_right, found.wer_as_deletions) == (2, 1.0)
    assert "no error rate: every utterance was rejected\nrejected " in render_report(
        [], None, rejections=found
    )
    assert count_rejections([], aligned[-1:]).wer_as_deletions is None
