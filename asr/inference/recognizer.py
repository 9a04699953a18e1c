"""A trained checkpoint put to use: audio in, transcripts out.

Shapes: S samples, T feature frames, T' output frames, F features, C tokens with blank.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.checkpoint.checkpoint import Checkpoint, load_checkpoint
from asr.config import from_dict
from asr.decode.align import Alignment, viterbi_align
from asr.decode.confidence import VOTERS, mean_log_ratio, word_confidences
from asr.decode.decoder import Decoder
from asr.decode.hypothesis import Hypothesis
from asr.decode.timing import frame_clock, time_words
from asr.errors import AudioError, CheckpointError, ConfigError
from asr.inference.options import Decoding, DecodingKeywords, DecodingOptions, prepare_decoding
from asr.inference.transcript import Alternative, Transcript
from asr.model.acoustic import AcousticModel, EncoderConfig, check_weights
from asr.model.device import torch_device
from asr.signal import audio
from asr.signal.audio_file import LARGEST_SAMPLE
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.signal.resampling import resample_stream
from asr.text.timed import TimedWord
from asr.text.tokens import TokenTable

_log = logging.getLogger("asr.inference")

WINDOW_SECONDS = 40.0
"""Recordings longer than this are encoded in windows, so that memory does not grow with them."""
CONTEXT_SECONDS = 5.0
"""Audio that a window overlaps its neighbours by, at each of its ends."""


class Recognizer:
    """Features, acoustic model, tokens and decoding of one checkpoint."""

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
            tokens = TokenTable(tuple(checkpoint.config["tokens"]))
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

    def transcribe(
        self,
        recording: str | Path | np.ndarray[Any, Any] | Tensor,
        sample_rate: int | None = None,
        *,
        raw: audio.RawFormat | None = None,
        word_timestamps: bool = False,
        damaged: Literal["refuse", "read"] = "refuse",
        decoder: Decoder | None = None,
        **options: Unpack[DecodingKeywords],
    ) -> Transcript:
        """Transcribe a file, or samples `(S,)` of floats in [-1, 1] with their sample rate in Hz.

        The options say how to decode; they are the fields of `DecodingOptions`, and by default the
        checkpoint's own language model is used as it was tuned. A `decoder` takes their place.
        `raw` describes a headerless file. Word times and confidences cost an alignment more. Of a
        damaged file, `damaged="read"` reads what is left, and the transcript's `damage` says what
        is wrong with it.
        Raises AudioError on a file that cannot be read and on samples of another shape or type,
        and what `prepare` raises; ConfigError on a decoder over other tokens.
        """
        started = time.perf_counter()
        decoder = self._decoder(decoder, options)
        damage: list[str] | None = [] if damaged == "read" else None
        if isinstance(recording, (str, Path)):
            if sample_rate is not None:
                raise AudioError(
                    f"{recording}: sample_rate goes with samples; a file states its own"
                )
            waveform, _ = audio.read(recording, self.sample_rate, raw, damage=damage)
        else:
            waveform = self._checked_samples(recording, sample_rate)
        duration_seconds = len(waveform) / self.sample_rate
        transcript = self._decode(
            self.log_probs(waveform), duration_seconds, decoder, word_timestamps
        )
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

    def _decode(
        self, log_probs: Tensor, duration_seconds: float, decoder: Decoder, word_timestamps: bool
    ) -> Transcript:
        """The transcript of emissions `(T', C)`."""
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
            words = self._words(alignment, duration_seconds, decoder.calibration.apply(confidences))
            transcript = dataclasses.replace(transcript, words=words)
        return transcript

    def _distinct(self, hypotheses: Sequence[Hypothesis]) -> tuple[Alternative, ...]:
        """Of the hypotheses with one text the best."""
        found: dict[str, Alternative] = {}
        for hypothesis in hypotheses:
            text = self.tokens.decode(hypothesis.tokens)
            alternative = Alternative(text, hypothesis.log_score, hypothesis.log_language)
            found.setdefault(text, alternative)
        return tuple(found.values())

    def _words(
        self, alignment: Alignment, duration_seconds: float, confidences: NDArray[np.float64]
    ) -> tuple[TimedWord, ...]:
        words = time_words(alignment, self.tokens, self.clock, duration_seconds)
        return tuple(with_confidences(words, confidences))

    @torch.inference_mode()
    def log_probs(self, waveform: Tensor) -> Tensor:
        """Emissions `(T', C)` of samples `(S,)` at the checkpoint's own rate, on the CPU."""
        features = self.extractor(waveform.to(self.device))
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

    def _checked_samples(
        self, samples: np.ndarray[Any, Any] | Tensor, sample_rate: int | None
    ) -> Tensor:
        if sample_rate is None or sample_rate <= 0:
            raise AudioError(f"samples: expected their sample_rate in Hz, found {sample_rate}")
        if len(samples.shape) != 1 or len(samples) == 0:
            raise AudioError(
                f"samples: expected one channel (S,), found the shape {tuple(samples.shape)}; "
                "average the channels first"
            )
        if isinstance(samples, np.ndarray) and samples.dtype.kind == "f":
            # A copy: torch takes no array that is read-only, backwards or of another byte order.
            samples = torch.from_numpy(np.array(samples, np.float32, order="C"))
        if not (isinstance(samples, Tensor) and samples.is_floating_point()):
            raise AudioError(
                f"samples: expected floats in [-1, 1], found {samples.dtype}; divide 16-bit "
                "integers by 32768"
            )
        waveform = samples.detach().cpu().float()
        largest = float(waveform.abs().max())  # NaN if any is
        if not largest <= LARGEST_SAMPLE:
            found = f"{largest:.3g}" if math.isfinite(largest) else "NaN or infinity"
            raise AudioError(
                f"samples: expected sizes of {LARGEST_SAMPLE:g} at most, where 1 is full scale, "
                f"found {found}"
            )
        return torch.cat(list(resample_stream([waveform], sample_rate, self.sample_rate)))


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
