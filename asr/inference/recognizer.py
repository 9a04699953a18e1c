"""A trained checkpoint put to use: audio in, transcripts out.

Shapes: S samples, T feature frames, T' output frames, F features, C tokens with blank.
"""

import dataclasses
import itertools
import logging
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.checkpoint.checkpoint import Checkpoint, load_checkpoint
from asr.checkpoint.front_matter import language_of
from asr.config import from_dict
from asr.decode.align import viterbi_align
from asr.decode.confidence import VOTERS, mean_log_ratio, word_confidences
from asr.decode.decoder import Decoder
from asr.decode.hypothesis import Hypothesis
from asr.decode.timing import FrameClock, frame_clock, time_words
from asr.errors import CheckpointError, ConfigError
from asr.inference.options import Decoding, DecodingKeywords, DecodingOptions, prepare_decoding
from asr.inference.recording import Recording, read_recording
from asr.inference.transcript import Alternative, Transcript, join_transcripts
from asr.model.acoustic import AcousticModel, EncoderConfig, check_weights
from asr.model.device import torch_device
from asr.signal import audio
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.signal.pauses import find_pauses
from asr.text.timed import TimedWord
from asr.text.tokens import BLANK, TokenTable
from asr.version import __version__

_log = logging.getLogger("asr.inference")

SEGMENT_SECONDS = 6.5
"""Recordings longer than this are encoded from pause to pause: a model that was trained on single
utterances makes two to three times the errors where several follow each other."""
WINDOW_SECONDS = 40.0
"""What is longer than this without a pause is encoded in windows, which limits the memory."""
CONTEXT_SECONDS = 5.0
"""Audio that a window overlaps its neighbours by, at each of its ends."""
_NO_SPACE, _ELSE = 1e-2, 1e-6
"""Probabilities, between two segments, of the blank and of each token that is no space."""


# The threads that torch computes with are not there in a forked process, which would wait for them
# for ever; one thread needs none of them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class Recognizer:
    """Features, acoustic model, tokens and decoding of one checkpoint.

    It can be pickled, for processes that `multiprocessing` spawns. In a forked process it computes
    on one thread.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        model: AcousticModel,
        tokens: TokenTable,
        device: torch.device,
        checkpoint: Checkpoint,
    ) -> None:
        self.extractor = extractor.to(device).eval()
        self.model = model.to(device).eval()
        self.tokens = tokens
        self.device = device
        # For its tuned settings and language model; its weights are in the model.
        self.checkpoint = dataclasses.replace(checkpoint, weights={})
        self._prepared: tuple[Any, Decoding] | None = None
        self.clock = frame_clock(extractor.config, model.config)

    @classmethod
    def load(cls, checkpoint: str | Path, device: str = "cpu") -> "Recognizer":
        """Read a checkpoint, by its folder or the name of a shipped one.

        Raises CheckpointError on one that is missing, damaged or altered.
        """
        return cls.from_checkpoint(load_checkpoint(checkpoint), torch_device(device))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, device: torch.device) -> "Recognizer":
        """Build the recogniser of a checkpoint that was read.

        Raises CheckpointError if its settings and weights do not belong together.
        """
        where = str(checkpoint.folder or "checkpoint")
        try:
            features = from_dict(FeatureConfig, checkpoint.config["features"], f"{where}: features")
            encoder = from_dict(EncoderConfig, checkpoint.config["encoder"], f"{where}: encoder")
            tokens = checkpoint.tokens
            check_weights(encoder, features.num_features, len(tokens), checkpoint.weights)
            model = AcousticModel(encoder, features.num_features, len(tokens))
            model.load_state_dict(checkpoint.weights)
        except (ConfigError, RuntimeError) as error:
            raise CheckpointError(
                f"{where}: config.json and model.safetensors do not describe one model: {error}"
            ) from error
        return cls(FeatureExtractor(features), model, tokens, device, checkpoint)

    @property
    def sample_rate(self) -> int:
        """Hz; every recording is brought to it."""
        return self.extractor.config.sample_rate

    def prepare(self, **options: Unpack[DecodingKeywords]) -> Decoding:
        """The decoder that some options make, to be used for many recordings.

        The options are the fields of `DecodingOptions`. The last ones are remembered, so that
        calling `transcribe` with the same options again reads no file twice, unless a file has
        changed. Raises ConfigError on options that contradict each other, AsrError on files that
        cannot be read or do not belong to this checkpoint.
        """
        chosen = DecodingOptions(**options)
        key = (chosen, *map(_stamp, (chosen.lm, chosen.lexicon, chosen.grammar)))
        if self._prepared is None or self._prepared[0] != key:
            decoding = prepare_decoding(chosen, self.tokens, self.checkpoint)
            _log.info("%s", decoding.summary())
            self._prepared = key, decoding
        return self._prepared[1]

    @property
    def language(self) -> str | None:
        """What the checkpoint was trained for, as a BCP 47 tag, if that is stated."""
        language = language_of(self.checkpoint.config)
        return language if isinstance(language, str) else None

    def provenance(self, decoding: Decoding) -> dict[str, Any]:
        """How transcripts are made with a decoder, as plain JSON values.

        `decoding` has the settings in use; `versions` has those of this package and torch, and the
        checkpoint by its name and the SHA-256 in its `config.json`, which covers its weights.
        """
        folder = self.checkpoint.folder
        versions = {
            "asr": __version__,
            "torch": torch.__version__,
            "checkpoint": folder.resolve().name if folder else None,
            "checkpoint_sha256": self.checkpoint.config.get("sha256"),
        }
        known = {name: value for name, value in versions.items() if value}
        return {"decoding": decoding.settings(), "versions": known}

    def transcribe(
        self,
        recording: Recording,
        sample_rate: int | None = None,
        *,
        raw: audio.RawFormat | None = None,
        word_timestamps: bool = False,
        damaged: Literal["refuse", "read"] = "refuse",
        decoder: Decoder | None = None,
        **options: Unpack[DecodingKeywords],
    ) -> Transcript:
        """Transcribe a file, or samples `(S,)` of floats in [-1, 1] with their sample rate in Hz.

        A file is given by its path, as bytes, or open for reading bytes.
        The options say how to decode; they are the fields of `DecodingOptions`, and by default the
        checkpoint's own language model is used as it was tuned. A `decoder` takes their place.
        `raw` describes a headerless file. Word times and confidences cost an alignment more. Of a
        damaged file, `damaged="read"` reads what is left, and the transcript's `damage` says what
        is wrong with it.
        Raises AudioError on a file that cannot be read, on samples of another shape or type, and on
        anything else; what `prepare` raises; ConfigError on a decoder over other tokens.
        """
        started = time.perf_counter()
        decoder = self._decoder(decoder, options)
        damage: list[str] | None = [] if damaged == "read" else None
        waveform = read_recording(recording, self.sample_rate, sample_rate, raw, damage)
        transcript = self._transcribe(waveform, decoder, word_timestamps)
        seconds = time.perf_counter() - started
        return dataclasses.replace(
            transcript, processing_seconds=seconds, damage=tuple(damage or ())
        )

    def _decoder(self, decoder: Decoder | None, options: DecodingKeywords) -> Decoder:
        """A ready decoder, or the one that the options make."""
        if decoder is None:
            return self.prepare(**options).decoder
        if options:
            raise ConfigError(
                f"{next(iter(options))}: expected a decoder or decoding options, found both"
            )
        return decoder

    def _transcribe(self, waveform: Tensor, decoder: Decoder, word_timestamps: bool) -> Transcript:
        """The transcript of samples `(S,)` at the checkpoint's own rate.

        Each segment is searched on its own, as the language model, too, knows single utterances;
        but a lexicon or grammar allows whole recordings.
        """
        segments = self.segments(waveform)
        duration_seconds = len(waveform) / self.sample_rate
        if decoder.is_constrained or len(segments) == 1:
            return self._decode(self._joined(segments), duration_seconds, decoder, word_timestamps)
        parts, start = [], 0
        for segment in segments:
            clock = self.clock.from_frame(start)
            start += len(segment)
            end_seconds = min(clock.centre(len(segment)), duration_seconds)
            parts.append(self._decode(segment, end_seconds, decoder, word_timestamps, clock))
        return dataclasses.replace(
            join_transcripts(parts, decoder.search.nbest), duration_seconds=duration_seconds
        )

    def _decode(
        self,
        log_probs: Tensor,
        duration_seconds: float,
        decoder: Decoder,
        word_timestamps: bool,
        clock: FrameClock | None = None,
    ) -> Transcript:
        """The transcript of emissions `(T', C)`, at the times of a clock."""
        needed = VOTERS if word_timestamps else 1
        if decoder.search.nbest > 1:  # several may have one text
            needed = decoder.search.beam_size
        hypotheses = decoder(log_probs, at_least=needed)
        if not hypotheses:
            return Transcript("", duration_seconds, -math.inf, 0.0, rejected=True)
        best = hypotheses[0]
        transcript = Transcript(
            text=self.tokens.decode(best.tokens),
            duration_seconds=duration_seconds,
            log_score=best.log_score,
            processing_seconds=0.0,
            log_language=best.log_language,
            nbest=self._distinct(hypotheses)[: decoder.search.nbest],
        )
        if not (word_timestamps or decoder.is_constrained):
            return transcript
        alignment = viterbi_align(log_probs, best.tokens)
        if decoder.is_constrained:
            log_ratio = mean_log_ratio(log_probs, alignment)
            transcript = dataclasses.replace(transcript, log_ratio=log_ratio)
            if decoder.reject_below is not None and log_ratio < decoder.reject_below:
                return dataclasses.replace(transcript, text="", rejected=True)
        if word_timestamps:
            confidences = word_confidences(log_probs, alignment, hypotheses[:VOTERS], self.tokens)
            words = time_words(alignment, self.tokens, clock or self.clock, duration_seconds)
            words = with_confidences(words, decoder.calibration.apply(confidences))
            transcript = dataclasses.replace(transcript, words=tuple(words))
        return transcript

    def _distinct(self, hypotheses: Sequence[Hypothesis]) -> tuple[Alternative, ...]:
        """Of the hypotheses with one text the best."""
        found: dict[str, Alternative] = {}
        for hypothesis in hypotheses:
            text = self.tokens.decode(hypothesis.tokens)
            alternative = Alternative(text, hypothesis.log_score, hypothesis.log_language)
            found.setdefault(text, alternative)
        return tuple(found.values())

    def log_probs(self, waveform: Tensor) -> Tensor:
        """Emissions `(T', C)` of samples `(S,)` at the checkpoint's own rate, on the CPU.

        Between `segments` a space is likely.
        """
        return self._joined(self.segments(waveform))

    @torch.inference_mode()
    def segments(self, waveform: Tensor) -> list[Tensor]:
        """Emissions `(T', C)` of each part of a recording, one after the other.

        A long recording of samples `(S,)` at the checkpoint's own rate is cut at its pauses, and
        each part is encoded on its own; a short one is one part.
        """
        features = self.extractor(waveform.to(self.device))
        cuts = []
        if len(waveform) > SEGMENT_SECONDS * self.sample_rate:
            frame_seconds = self.extractor.config.frame_seconds
            factor = self.model.config.subsampling
            pauses = find_pauses(waveform, self.sample_rate)
            cuts = [round(pause / frame_seconds / factor) * factor for pause in pauses]
        edges = [0, *cuts, len(features)]
        return [self._encode_long(features[a:b]) for a, b in itertools.pairwise(edges)]

    def _joined(self, segments: Sequence[Tensor]) -> Tensor:
        """The emissions of all segments, with a likely space between those with speech.

        The encoder, which saw each segment alone, has written none. The space takes the place of
        the last frame of a segment, amid a pause.
        """
        if len(segments) == 1 or self.tokens.space < 0:
            return torch.cat(list(segments))
        segments = [segment.clone() for segment in segments]
        spoken = [
            i for i, segment in enumerate(segments) if bool((segment.argmax(1) != BLANK).any())
        ]
        for i in spoken[:-1]:
            frame = segments[i][-1]
            frame[:] = math.log(_ELSE)
            frame[BLANK] = math.log(_NO_SPACE)
            frame[self.tokens.space] = math.log1p(-_NO_SPACE - _ELSE * (len(frame) - 2))
        return torch.cat(segments)

    def _encode_long(self, features: Tensor) -> Tensor:
        """Emissions of features `(T, F)` without a pause, in windows if they are many."""
        window = round(WINDOW_SECONDS / self.extractor.config.frame_seconds)
        if len(features) <= window:
            return self._encode(features)
        factor = self.model.config.subsampling
        window -= window % factor
        context = round(CONTEXT_SECONDS / self.extractor.config.frame_seconds)
        context -= context % factor
        pieces = []
        for start in range(0, len(features), window):
            first, last = max(0, start - context), min(start + window + context, len(features))
            piece = self._encode(features[first:last])
            end = None if start + window >= len(features) else (start - first + window) // factor
            pieces.append(piece[(start - first) // factor : end])
        return torch.cat(pieces)

    def _encode(self, features: Tensor) -> Tensor:
        lengths = torch.tensor([len(features)], device=self.device)
        log_probs, _ = self.model(features.unsqueeze(0), lengths)
        return log_probs[0].cpu()  # type: ignore[no-any-return]


def with_confidences(
    words: Sequence[TimedWord], confidences: NDArray[np.float64]
) -> list[TimedWord]:
    """The words with these confidences `(W,)`."""
    return [
        dataclasses.replace(word, confidence=confidence)
        for word, confidence in zip(words, confidences.tolist(), strict=True)
    ]


def _stamp(path: object) -> tuple[int, int] | None:
    """What changes when a file does: its modification time and size."""
    if not isinstance(path, Path):
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
