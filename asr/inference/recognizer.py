"""A trained checkpoint put to use: audio in, transcripts out.

Shapes: S samples, T feature frames, T' output frames, F features, C tokens with blank.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.checkpoint.checkpoint import Checkpoint, load_checkpoint
from asr.checkpoint.front_matter import language_of
from asr.checkpoint.model import model_of
from asr.decode.decoder import Decoder
from asr.decode.timing import frame_clock
from asr.errors import AsrError, ConfigError
from asr.inference.chunks import ChunkTranscriber
from asr.inference.decoding import SegmentDecoder, join_segments, silence
from asr.inference.options import Decoding, DecodingKeywords, DecodingOptions, prepare_decoding
from asr.inference.phrases import PhraseTranscriber
from asr.inference.pipeline import Pipeline, Source
from asr.inference.recording import Recording, recording_blocks
from asr.inference.stream import Stream, StreamTranscriber, check_stream_options
from asr.inference.transcript import Transcript
from asr.inference.windows import Passage, Window, WindowReader
from asr.model.acoustic import AcousticModel
from asr.model.device import Precision, limit_kernel_cache, precision_dtype, torch_device
from asr.signal import audio
from asr.signal.channels import Channel
from asr.signal.features import FeatureExtractor
from asr.signal.silero import borrowed_check
from asr.text.tokens import TokenTable
from asr.version import __version__

_log = logging.getLogger("asr.inference")

Vad = Literal["off", "energy", "voice"]
"""Voice activity detection."""

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
        precision: Precision = "float32",
    ) -> None:
        limit_kernel_cache()
        self.extractor = extractor.to(device).eval()
        self.model = model.to(device).eval()
        self.tokens = tokens
        self.device = device
        self.dtype = precision_dtype(precision, device)
        """Of the encoder's matrix products."""
        # For its tuned settings and language model; its weights are in the model.
        self.checkpoint = dataclasses.replace(checkpoint, weights={})
        self._prepared: tuple[Any, Decoding] | None = None
        self.clock = frame_clock(extractor.config, model.config)
        self.windows = WindowReader(self.extractor, model.config.subsampling)
        self.threads = torch.get_num_threads()
        """Processor cores that transcribing uses."""

    @classmethod
    def load(
        cls, checkpoint: str | Path, device: str = "cpu", precision: Precision = "float32"
    ) -> "Recognizer":
        """Read a checkpoint, by its folder or the name of a shipped one.

        `precision` is that of the encoder. In float32 results are the same in any batch, within
        1e-5; bfloat16 is nearly twice as fast where the processor multiplies it, several times as
        slow elsewhere, and changes a text now and then.
        Raises CheckpointError on one that is missing, damaged or altered.
        """
        loaded = load_checkpoint(checkpoint)
        return cls.from_checkpoint(loaded, torch_device(device), precision)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, device: torch.device, precision: Precision = "float32"
    ) -> "Recognizer":
        """Build the recogniser of a checkpoint that was read.

        Raises CheckpointError if its settings and weights do not belong together.
        """
        features, model = model_of(checkpoint, str(checkpoint.folder or "checkpoint"))
        tokens = checkpoint.tokens
        return cls(FeatureExtractor(features), model, tokens, device, checkpoint, precision)

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

    @property
    def precision(self) -> str:
        """Of the encoder, by its name."""
        return str(self.dtype).removeprefix("torch.")

    def provenance(self, decoding: Decoding) -> dict[str, Any]:
        """How transcripts are made with a decoder, as plain JSON values.

        `precision` is that of the encoder, `decoding` has the settings in use; `versions` has those
        of this package and torch, and the checkpoint by its name and the SHA-256 in its
        `config.json`, which covers its weights.
        """
        folder = self.checkpoint.folder
        versions = {
            "asr": __version__,
            "torch": torch.__version__,
            "checkpoint": folder.resolve().name if folder else None,
            "checkpoint_sha256": self.checkpoint.config.get("sha256"),
        }
        known = {name: value for name, value in versions.items() if value}
        return {
            "decoding": decoding.settings(),
            "precision": self.precision,
            "versions": known,
        }

    def transcribe(
        self,
        recording: Recording,
        sample_rate: int | None = None,
        *,
        raw: audio.RawFormat | None = None,
        word_timestamps: bool = False,
        damaged: Literal["refuse", "read"] = "refuse",
        vad: Vad = "off",
        channel: Channel = "mix",
        decoder: Decoder | None = None,
        **options: Unpack[DecodingKeywords],
    ) -> Transcript:
        """Transcribe a file, or samples `(S,)` of floats in [-1, 1] with their sample rate in Hz.

        A file is given by its path, as bytes, or open for reading bytes; it may be hours long.
        The options say how to decode; they are the fields of `DecodingOptions`, and by default the
        checkpoint's own language model is used as it was tuned. A `decoder` takes their place.
        `raw` describes a headerless file. Word times and confidences cost an alignment more. Of a
        damaged file, `damaged="read"` reads what is left, and the transcript's `damage` says what
        is wrong with it. Of several channels, `channel` chooses one by its number, 1 being the
        first; otherwise they are averaged. `vad` chooses voice activity detection: with "energy"
        only what stands out from the background noise is transcribed, with "voice" of that only
        what silero-vad hears a voice in; a lexicon or grammar then holds for each stretch of speech
        rather than for the whole recording.
        Raises AudioError on a file that cannot be read or lacks the channel, on samples of another
        shape or type, and on anything else; what `prepare` raises; ConfigError on a decoder over
        other tokens.
        """
        started = time.perf_counter()
        ready = self._decoder(decoder, options)
        pipeline = self._pipeline(ready, word_timestamps, vad)
        read = partial(
            recording_blocks,
            to_rate=self.sample_rate,
            sample_rate=sample_rate,
            raw=raw,
            channel=channel,
        )
        source = self._source(partial(read, recording), ready, damaged, vad)
        ((_, outcome),) = pipeline([source])
        if isinstance(outcome, AsrError):
            raise outcome
        seconds = time.perf_counter() - started
        return dataclasses.replace(outcome, processing_seconds=seconds)

    def transcribe_all(
        self,
        recordings: Iterable[Recording],
        *,
        raw: audio.RawFormat | None = None,
        word_timestamps: bool = False,
        damaged: Literal["refuse", "read"] = "refuse",
        vad: Vad = "off",
        channel: Channel = "mix",
        decoder: Decoder | None = None,
        **options: Unpack[DecodingKeywords],
    ) -> Iterator[tuple[int, Transcript | AsrError]]:
        """Transcribe many files, in batches and on all threads: several times as fast.

        Yields the number of each recording, from 0, with its transcript, or with the AudioError
        that `transcribe` would have raised, in the order in which they are done. The parameters
        are those of `transcribe`.
        """
        ready = self._decoder(decoder, options)
        pipeline = self._pipeline(ready, word_timestamps, vad)
        read = partial(recording_blocks, to_rate=self.sample_rate, raw=raw, channel=channel)
        return pipeline(self._source(partial(read, one), ready, damaged, vad) for one in recordings)

    def stream(
        self,
        *,
        word_timestamps: bool = False,
        step_seconds: float = 0.4,
        right_context_seconds: float | None = None,
        decoder: Decoder | None = None,
        **options: Unpack[DecodingKeywords],
    ) -> Stream:
        """Transcribe audio while it arrives: feed the stream with samples, get events.

        A phrase is what voice activity detection takes for speech, up to the next pause of 0.65 s,
        or 30 s at most. It is encoded from its beginning every `step_seconds`, or less often where
        that takes more than half of the time, for a `Partial`, which may change altogether. At its
        end all of it is decoded for a `Final`, 1 to 1.5 s after the last word and the time that
        decoding takes: the results are those of `transcribe` with `vad`. The first phrase is
        noticed after a second of sound, further ones within 0.3 s.

        With `right_context_seconds`, usually 0.3 to 2, frames are encoded in chunks of
        `step_seconds`, once so much audio after them is there, and never again. Words are shown
        so much after they were said, and up to a step more; those that all hypotheses agree on
        become final in the middle of a phrase, with a context of 1 s usually after 1.5 s, at most
        3 s. An encoder that was trained on whole utterances makes more errors with a short
        context. With one that does not read backwards the context may be 0. A lexicon or grammar
        still decides at the end of a phrase.

        The other parameters are those of `transcribe`. Raises ConfigError on values out of range,
        and what `prepare` raises.
        """
        is_bidirectional = self.model.config.bidirectional
        check_stream_options(step_seconds, right_context_seconds, is_bidirectional)
        ready = self._decoder(decoder, options)
        decode = SegmentDecoder(ready, self.tokens, self.clock, word_timestamps)

        least_seconds = self._front_end_samples() / self.sample_rate

        def begin(offset_seconds: float) -> StreamTranscriber:
            parts = (self.encode, self.windows, decode, offset_seconds, step_seconds)
            if right_context_seconds is None:
                return PhraseTranscriber(*parts)
            return ChunkTranscriber(*parts, max(right_context_seconds, least_seconds))

        return Stream(begin, self.sample_rate)

    def _front_end_samples(self) -> int:
        """Samples after an output frame that its features and the convolutions need.

        The frames of features on which they depend lie a hop apart, with half a window on each
        side.
        """
        hops = self.model.lookahead * self.extractor.config.stack - 1
        return hops * self.extractor.hop + -(-self.extractor.window_length // 2)

    def _source(
        self,
        read: Callable[..., Iterator[Tensor]],
        decoder: Decoder,
        damaged: Literal["refuse", "read"],
        vad: Vad,
    ) -> Source:
        def passages(damage: list[str]) -> Iterator[Passage]:
            blocks = read(damage=damage if damaged == "read" else None)
            if vad == "off":
                return self.windows.passages(blocks)
            return self.windows.speech(blocks, not decoder.is_constrained, vad == "voice")

        return passages

    def _pipeline(self, decoder: Decoder, word_timestamps: bool, vad: Vad) -> Pipeline:
        if vad not in get_args(Vad):
            raise ConfigError(f"vad: expected one of {', '.join(get_args(Vad))}, found {vad!r}")
        if vad == "voice":
            with borrowed_check():  # raises before any work
                pass
        decode = SegmentDecoder(decoder, self.tokens, self.clock, word_timestamps)
        frame_seconds = self.extractor.config.frame_seconds
        at_once = decoder.is_constrained and vad == "off"
        return Pipeline(self.encode, decode, frame_seconds, self.threads, at_once)

    def _decoder(self, decoder: Decoder | None, options: DecodingKeywords) -> Decoder:
        """A ready decoder, or the one that the options make."""
        if decoder is None:
            return self.prepare(**options).decoder
        if options:
            raise ConfigError(
                f"{next(iter(options))}: expected a decoder or decoding options, found both"
            )
        return decoder

    def log_probs(self, waveform: Tensor) -> Tensor:
        """Emissions `(T', C)` of samples `(S,)` at the checkpoint's own rate, on the CPU.

        Between `segments` a space is likely.
        """
        return join_segments(self.segments(waveform), self.tokens)

    def segments(self, waveform: Tensor) -> list[Tensor]:
        """Emissions `(T', C)` of each part of a recording, one after the other.

        A long recording of samples `(S,)` at the checkpoint's own rate is cut at its pauses, and
        each part is encoded on its own; a short one is one part.
        """
        segments: list[list[Tensor]] = []
        for passage in self.windows.passages([waveform]):
            for window in passage.windows:
                if window.starts_segment:
                    segments.append([])
                segments[-1] += self.encode([window])
        return [torch.cat(parts) for parts in segments]

    @torch.inference_mode()
    def encode(self, windows: Sequence[Window]) -> list[Tensor]:
        """Emissions `(T', C)` of the frames that count in each window, on the CPU."""
        encoded = iter(self._encode([window for window in windows if not window.is_silent]))
        return [
            silence(window.end - window.begin, self.tokens) if window.is_silent else next(encoded)
            for window in windows
        ]

    def _encode(self, windows: Sequence[Window]) -> list[Tensor]:
        if not windows:
            return []
        lengths = torch.tensor([len(window.features) for window in windows], device=self.device)
        features = [window.features.to(self.device) for window in windows]
        batch = pad_sequence(features, batch_first=True)
        is_float32 = self.dtype is torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=not is_float32):
            log_probs = self.model(batch, lengths)[0].cpu()
        return [
            found[window.begin : window.end]
            for found, window in zip(log_probs, windows, strict=True)
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
