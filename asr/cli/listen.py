"""`asr listen`: what is being said, to text."""

import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.decoding_options import takes_decoding_options
from asr.cli.live_output import LiveFormat, LivePrinter
from asr.cli.options import Checkpoint, Device, Raw, WordTimestamps, load_recognizer, parse_raw

if TYPE_CHECKING:
    from torch import Tensor

    from asr.inference.options import DecodingKeywords
    from asr.signal.audio import RawFormat

_STDIN = "-"


@takes_decoding_options
def listen(
    checkpoint: Checkpoint,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|-",
            help="An audio file, or with --raw standard input. Default: the microphone, or with "
            "--raw standard input.",
        ),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Read --from FILE no faster than it was recorded.")
    ] = False,
    output_format: Annotated[
        LiveFormat, typer.Option("--output_format", "-f", help="Form of the results.")
    ] = LiveFormat.TXT,
    partials: Annotated[
        bool,
        typer.Option("--partials", help="With -f jsonl: print what may still change, too."),
    ] = False,
    word_timestamps: WordTimestamps = False,
    right_context_seconds: Annotated[
        float | None,
        typer.Option(
            "--right_context_seconds",
            metavar="SECONDS",
            help="Encode what was said once, when so much was heard behind it, usually 0.3 to 2: "
            "words become final within long phrases, with more errors. Default: whole phrases.",
        ),
    ] = None,
    step_seconds: Annotated[
        float,
        typer.Option(
            "--step_seconds", metavar="SECONDS", help="From one partial result to the next."
        ),
    ] = 0.4,
    raw: Raw = None,
    device: Device = "cpu",
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Processor threads; more are rarely faster.")
    ] = 1,
    *,
    decoding: "DecodingKeywords",
) -> None:
    """Print what is said into the microphone, or elsewhere, while it is said.

    Each phrase is printed when it has ended; a terminal shows before what has been said so far.
    Ctrl-C ends the phrase and the command.
    """
    raw_format = parse_raw(raw)
    if source is None and raw_format is not None:
        source = _STDIN
    if source == _STDIN and raw_format is None:
        raise typer.BadParameter(
            "standard input: expected --raw, which says what its samples are", param_hint="--from"
        )
    if realtime and source in (None, _STDIN):
        raise typer.BadParameter("expected a file (--from)", param_hint="--realtime")
    if partials and output_format is LiveFormat.TXT:
        raise typer.BadParameter("expected -f jsonl", param_hint="--partials")
    recognizer = load_recognizer(checkpoint, device, threads)
    stream = recognizer.stream(
        word_timestamps=word_timestamps,
        right_context_seconds=right_context_seconds,
        step_seconds=step_seconds,
        decoder=recognizer.prepare(**decoding).decoder,
    )
    printer = LivePrinter(output_format, partials)
    rate = raw_format.sample_rate if source == _STDIN and raw_format else recognizer.sample_rate
    try:
        for block in _blocks(source, rate, raw_format, realtime):
            with _signals_wait():
                printer(stream.feed(block, rate))
    finally:
        printer(stream.finish())


def _blocks(
    source: str | None, rate: int, raw: "RawFormat | None", realtime: bool
) -> "Iterator[Tensor]":
    from asr.cli.live_sources import blocks_of_file, blocks_of_stdin
    from asr.cli.microphone import listen_to_microphone

    if source is None:
        return listen_to_microphone(rate)
    if source == _STDIN:
        assert raw is not None
        return blocks_of_stdin(raw)
    return blocks_of_file(source, rate, raw, realtime)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals such as Ctrl-C have their effect at the end: a stream could not go on otherwise."""
    received: list[int] = []
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [signal.Signals[name] for name in names]
    previous = {
        one: signal.signal(one, lambda number, _: received.append(number)) for one in numbers
    }
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
        for number in received[:1]:
            signal.raise_signal(number)
