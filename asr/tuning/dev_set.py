"""A dev set whose emissions are kept, decoded again and again with different settings.

Shapes: T frames, C tokens with the blank.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.decode.align import viterbi_align
from asr.decode.confidence import VOTERS, word_confidences
from asr.decode.decoder import Decoder
from asr.decode.fusion import Fusion
from asr.errors import ManifestError
from asr.files import sha256_of
from asr.inference.recognizer import Recognizer
from asr.language.automata.automaton import step
from asr.scoring.calibration import correct_words
from asr.scoring.wer import align, character_errors, word_errors
from asr.text.tokens import TokenTable


@dataclass(frozen=True)
class DevSet:
    """Reference transcripts, and what the acoustic model makes of the recordings."""

    references: tuple[str, ...]
    emissions: tuple[Tensor, ...]
    """The log_probs `(T, C)` of each utterance."""
    audio_seconds: float

    def subset(self, wanted: Sequence[bool]) -> "DevSet":
        """Some of the utterances. Their share of the audio is taken by their frames."""
        chosen = [i for i, is_wanted in enumerate(wanted) if is_wanted]
        frames = sum(map(len, self.emissions))
        part = sum(len(self.emissions[i]) for i in chosen) / frames if frames else 0.0
        return DevSet(
            tuple(self.references[i] for i in chosen),
            tuple(self.emissions[i] for i in chosen),
            self.audio_seconds * part,
        )


@dataclass(frozen=True)
class DecodingTrial:
    """A dev set decoded with some settings; rates are fractions."""

    decoder: Decoder
    texts: tuple[str, ...]
    word_errors: int
    wer: float
    cer: float
    milliseconds: float
    """Processor time of the search for each second of audio."""


@dataclass(frozen=True)
class ConstrainedResult:
    """What a grammar or word list makes of one utterance."""

    text: str | None
    """None: nothing that it allows is possible."""
    log_ratio: float
    """As `Decoder.log_ratio`."""


def encode_dev_set(
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
            f"none of the {len(utterances)} dev utterances has a word; expected at least one to "
            "tune on"
        )
    emissions, seconds = [], 0.0
    for utterance in utterances:
        waveform, _ = read_utterance(utterance, recognizer.sample_rate)
        seconds += len(waveform) / recognizer.sample_rate
        emissions.append(recognizer.log_probs(waveform))
        advance()
    return DevSet(tuple(u.text for u in utterances), tuple(emissions), seconds)


class DevEvaluator:
    """Decodes a dev set on a number of threads, on which the results do not depend."""

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

    def trial(self, decoder: Decoder) -> DecodingTrial:
        """Decode with some settings and count the errors."""
        texts, seconds = self._decode(decoder)
        pairs = list(zip(self.dev.references, texts, strict=True))
        errors = sum(_word_errors(*pair) for pair in pairs)
        return DecodingTrial(
            decoder=decoder,
            texts=tuple(texts),
            word_errors=errors,
            wer=errors / self._words,
            cer=sum(_character_errors(*pair) for pair in pairs) / self._characters,
            milliseconds=1000 * seconds / self.dev.audio_seconds,
        )

    def word_errors(self, decoder: Decoder) -> int:
        """Decode with some settings and count the word errors alone."""
        texts, _ = self._decode(decoder)
        return sum(map(_word_errors, self.dev.references, texts))

    def raw_confidences(self, decoder: Decoder) -> tuple[list[float], list[bool]]:
        """The confidence of each recognised word before calibration, and whether it is right."""
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

    def constrained_results(self, decoder: Decoder) -> list[ConstrainedResult]:
        """What a decoder with a grammar or word list makes of each utterance, nothing rejected."""

        def decode(log_probs: Tensor) -> ConstrainedResult:
            found = decoder(log_probs)
            if not found:
                return ConstrainedResult(None, 0.0)
            log_ratio = decoder.log_ratio(log_probs, found[0].tokens)
            return ConstrainedResult(self.table.decode(found[0].tokens), log_ratio)

        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(decode, self.dev.emissions))

    def _decode(self, decoder: Decoder) -> tuple[list[str], float]:
        """The texts, and the processor time of all searches together."""

        def decode(log_probs: Tensor) -> tuple[str, float]:
            started = time.thread_time()
            found = decoder(log_probs)
            taken = time.thread_time() - started
            return (self.table.decode(found[0].tokens) if found else ""), taken

        decode(
            self.dev.emissions[0]
        )  # compiles what is not yet compiled, outside the measured time
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


def count_unknown_words(references: Sequence[str], fusion: Fusion) -> int:
    """How many of the words of some transcripts the word language model lacks."""
    known = fusion.external

    @cache
    def is_unknown(word: str) -> bool:
        if fusion.table.unknown(word):
            return True
        state = 0
        for token in fusion.table.encode(word):
            state = step(known.lexicon.trie, state, token)
            if state < 0:
                return True
        return bool(known.lexicon.word[state] < 0)

    return sum(is_unknown(word) for reference in references for word in reference.split())


def was_trained_on(config: Mapping[str, Any], manifest: Path) -> bool:
    """Whether a checkpoint's `config.json` records that it was trained on this very manifest.

    What an earlier checkpoint was trained on, from which its training continued, is not recorded
    there. Raises AsrError if the manifest cannot be read.
    """
    training = config["training"]
    hashes = training.get("manifest_sha256", {})
    learned = training.get("data", {}).get("train", [])
    return sha256_of(manifest) in [hashes[path] for path in learned if path in hashes]
