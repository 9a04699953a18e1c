"""A dev set whose emissions are kept, decoded again and again with different settings.

Shapes: T frames, C tokens with the blank.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.decode.align import viterbi_align
from asr.decode.confidence import VOTERS, word_confidences
from asr.decode.decoder import Decoder
from asr.errors import ManifestError
from asr.files import sha256_of
from asr.inference.recognizer import Recognizer
from asr.scoring.calibration import correct_words
from asr.scoring.wer import align, character_errors, word_errors
from asr.text.tokens import TokenTable


@dataclass(frozen=True)
class DevSet:
    """What was said, and what the acoustic model made of it."""

    references: tuple[str, ...]
    emissions: tuple[Tensor, ...]
    """Of each utterance its log_probs `(T, C)`."""
    audio_seconds: float


@dataclass(frozen=True)
class Trial:
    """A dev set decoded with some settings; rates are fractions."""

    decoder: Decoder
    texts: tuple[str, ...]
    word_errors: int
    wer: float
    cer: float
    milliseconds: float
    """Processor time of the search for each second of audio."""


def emissions_of(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    advance: Callable[[], object] = lambda: None,
) -> DevSet:
    """Run the acoustic model over a dev set; `advance` is called after each utterance.

    Raises AudioError on a recording that cannot be read, and ManifestError where no utterance has
    a word.
    """
    if not any(utterance.text.split() for utterance in utterances):
        raise ManifestError(
            f"none of the {len(utterances)} dev utterances has a word; expected at least one: "
            "there is nothing to tune on"
        )
    emissions, seconds = [], 0.0
    for utterance in utterances:
        waveform, _ = read_utterance(utterance, recognizer.sample_rate)
        seconds += len(waveform) / recognizer.sample_rate
        emissions.append(recognizer.log_probs(waveform))
        advance()
    return DevSet(tuple(u.text for u in utterances), tuple(emissions), seconds)


class Bench:
    """Decodes a dev set, on a number of threads; results do not depend on these."""

    def __init__(
        self,
        dev: DevSet,
        table: TokenTable,
        threads: int = 1,
        advance: Callable[[], object] = lambda: None,
    ) -> None:
        """`advance` is called after each pass over the dev set."""
        self.dev, self.table, self.threads, self.advance = dev, table, threads, advance
        self._words = sum(len(reference.split()) for reference in dev.references)
        self._characters = sum(len(" ".join(reference.split())) for reference in dev.references)

    def trial(self, decoder: Decoder) -> Trial:
        """Decode with some settings and count what is wrong."""
        texts, seconds = self._decode(decoder)
        pairs = list(zip(self.dev.references, texts, strict=True))
        errors = sum(_word_errors(*pair) for pair in pairs)
        return Trial(
            decoder=decoder,
            texts=tuple(texts),
            word_errors=errors,
            wer=errors / self._words,
            cer=sum(_character_errors(*pair) for pair in pairs) / self._characters,
            milliseconds=1000 * seconds / self.dev.audio_seconds,
        )

    def word_errors(self, decoder: Decoder) -> int:
        """What is wrong, in words alone."""
        texts, _ = self._decode(decoder)
        return sum(map(_word_errors, self.dev.references, texts))

    def changed(self, trial: Trial, other: Trial) -> float:
        """The word errors of a trial if another's texts were the truth, over the words said."""
        return sum(map(_word_errors, other.texts, trial.texts)) / self._words

    def raw_confidences(self, decoder: Decoder) -> tuple[list[float], list[bool]]:
        """Of each word that is recognised its confidence before calibration, and if it is right."""
        confidences: list[float] = []
        texts: dict[str, str] = {}
        for i, log_probs in enumerate(self.dev.emissions):
            found = decoder(log_probs, at_least=VOTERS)
            texts[str(i)] = self.table.decode(found[0].tokens) if found else ""
            if found:
                alignment = viterbi_align(log_probs, found[0].tokens)
                raw = word_confidences(log_probs, alignment, found, self.table)
                confidences += raw.tolist()
        aligned = align({str(i): text for i, text in enumerate(self.dev.references)}, texts)
        return confidences, [right for utterance in aligned for right in correct_words(utterance)]

    def _decode(self, decoder: Decoder) -> tuple[list[str], float]:
        """The texts, and the processor time of all searches together."""

        def decode(log_probs: Tensor) -> tuple[str, float]:
            started = time.thread_time()
            found = decoder(log_probs)
            taken = time.thread_time() - started
            return (self.table.decode(found[0].tokens) if found else ""), taken

        decode(self.dev.emissions[0])  # what is still to be compiled is not to be timed
        with ThreadPoolExecutor(self.threads) as pool:
            results = list(pool.map(decode, self.dev.emissions))
        self.advance()
        return [text for text, _ in results], sum(taken for _, taken in results)


@lru_cache(maxsize=1 << 17)
def _word_errors(reference: str, hypothesis: str) -> int:
    return word_errors(reference, hypothesis).errors


@lru_cache(maxsize=1 << 17)
def _character_errors(reference: str, hypothesis: str) -> int:
    return character_errors(reference, hypothesis).errors


def was_trained_on(config: Mapping[str, Any], manifest: Path) -> bool:
    """Whether a checkpoint's `config.json` tells that it learned from this very manifest.

    What an earlier checkpoint learned, from which its training went on, is not told there. Raises
    AsrError if the manifest cannot be read.
    """
    training = config["training"]
    hashes = training.get("manifest_sha256", {})
    learned = training.get("data", {}).get("train", [])
    return sha256_of(manifest) in [hashes[path] for path in learned if path in hashes]
