"""`asr import`: converts corpora in the layouts of other tools to manifests."""

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import echo
from asr.cli.options import Damaged, DamagedOption

if TYPE_CHECKING:
    from asr.corpus.import_audio import Channel
    from asr.corpus.manifest import Utterance

app = typer.Typer(
    help="Convert a corpus in another tool's layout to a manifest.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Output = Annotated[Path, typer.Option("--output", "-o", help="Manifest to write (*.jsonl).")]
Root = Annotated[
    Path, typer.Option("--root", help="Folder that the paths of recordings are relative to.")
]
ChannelOption = Annotated[
    str | None,
    typer.Option(
        "--channel",
        metavar="NUMBER|mean",
        help="Of recordings with several channels: the one that is meant (1 is the first), or "
        "their mean. By default such recordings are refused.",
    ),
]


class Tags(enum.StrEnum):
    """What becomes of tags that are not replaced."""

    KEEP = "keep"
    DROP = "drop"


TagsOption = Annotated[
    Tags,
    typer.Option(
        "--tags",
        help="Tags in texts, such as <unk>, [noise] and {breath}: keep them as they are, with a "
        "warning that counts them, or drop them.",
    ),
]
Replace = Annotated[
    list[str] | None,
    typer.Option(
        "--replace",
        metavar="TAG=TEXT",
        help="Replace a tag in texts by other text, or drop it where that is empty: --replace "
        "'<unk>=UM'; repeatable.",
    ),
]


@app.command()
def kaldi(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder with wav.scp and text, optionally segments and utt2spk."
        ),
    ],
    output: Output,
    root: Root = Path(),
    channel: ChannelOption = None,
    damaged: DamagedOption = Damaged.REFUSE,
    tags: TagsOption = Tags.KEEP,
    replace: Replace = None,
) -> None:
    """Import a Kaldi data folder."""
    from asr.corpus.importers import read_kaldi

    utterances = read_kaldi(folder, root, _channel(channel), damaged is Damaged.READ)
    _write(output, utterances, folder, tags, replace)


@app.command()
def lhotse(
    cuts: Annotated[
        Path, typer.Argument(metavar="CUTS", help="File of MonoCuts (*.jsonl or *.jsonl.gz).")
    ],
    output: Output,
    root: Root = Path(),
    damaged: DamagedOption = Damaged.REFUSE,
    tags: TagsOption = Tags.KEEP,
    replace: Replace = None,
) -> None:
    """Import Lhotse cuts of recordings in files, with one supervision each."""
    from asr.corpus.lhotse import read_lhotse

    _write(output, read_lhotse(cuts, root, damaged is Damaged.READ), cuts, tags, replace)


@app.command()
def librispeech(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with *.trans.txt files at any depth.")
    ],
    output: Output,
    channel: ChannelOption = None,
    damaged: DamagedOption = Damaged.REFUSE,
    tags: TagsOption = Tags.KEEP,
    replace: Replace = None,
) -> None:
    """Import LibriSpeech, or a part of it."""
    from asr.corpus.importers import read_librispeech

    utterances = read_librispeech(folder, _channel(channel), damaged is Damaged.READ)
    _write(output, utterances, folder, tags, replace)


@app.command(name="csv")
def table(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Table: *.csv, or *.tsv with tabs.")],
    output: Output,
    audio_column: Annotated[
        str, typer.Option(help="Column with the paths of the recordings.")
    ] = "path",
    text_column: Annotated[str, typer.Option(help="Column with the transcripts.")] = "sentence",
    id_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the ids; default: the paths without their suffixes, with the times "
            "of segments."
        ),
    ] = None,
    speaker_column: Annotated[
        str | None, typer.Option(help="Column with the speakers, such as Common Voice's client_id.")
    ] = None,
    start_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the seconds at which segments of recordings begin; default: `start`, "
            "if there is one. If empty, recordings are whole."
        ),
    ] = None,
    end_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the seconds at which they end, empty or -1 for the end of the "
            "recording; default: `end`, if there is one."
        ),
    ] = None,
    root: Root = Path(),
    channel: ChannelOption = None,
    damaged: DamagedOption = Damaged.REFUSE,
    tags: TagsOption = Tags.KEEP,
    replace: Replace = None,
) -> None:
    """Import a table with column names in the first line, such as Common Voice's.

    Lines are utterances: whole recordings, or segments where there are columns for their times.
    """
    from asr.corpus.table import Columns, read_csv

    columns = Columns(
        audio_column, text_column, id_column, speaker_column, start_column, end_column
    )
    utterances = read_csv(file, columns, root, _channel(channel), damaged is Damaged.READ)
    _write(output, utterances, file, tags, replace)


@app.command()
def labels(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|DIR",
            help="Labels of Audacity (*.txt), Praat (*.TextGrid) or ELAN (*.eaf) beside their "
            "recordings, which have the same names.",
        ),
    ],
    output: Output,
    tier: Annotated[
        list[str] | None,
        typer.Option(
            "--tier", help="Tier to take, where there are several; repeatable, each is a speaker."
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            "--margin",
            min=0,
            metavar="SECONDS",
            help="Make segments longer than their labels by so much at either end, at most to the "
            "middle between two: for labels that begin and end with the words.",
        ),
    ] = 0.0,
    channel: ChannelOption = None,
    damaged: DamagedOption = Damaged.REFUSE,
    tags: TagsOption = Tags.KEEP,
    replace: Replace = None,
) -> None:
    """Import segments of recordings that were labelled by hand, or by `transcribe -f textgrid`.

    Labels without a text are left out. TextGrids and ELAN's files need the extra `labels`.
    """
    from asr.corpus.labels import read_labels

    is_damaged = damaged is Damaged.READ
    utterances = read_labels(source, tier or (), _channel(channel), is_damaged, margin)
    _write(output, utterances, source, tags, replace)


@app.command()
def manifest(
    file: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest to read (*.jsonl).")],
    output: Output,
    tags: TagsOption = Tags.KEEP,
    replace: Replace = None,
) -> None:
    """Write a manifest again with other tags in its texts."""
    from asr.corpus.manifest import read_manifest

    _write(output, read_manifest(file), file, tags, replace)


def _channel(value: str | None) -> "Channel | None":
    if value is None:
        return None
    if value == "mean":
        return "mean"
    if value.isascii() and value.isdigit() and int(value[:9]) > 0:
        return int(value[:9])
    raise typer.BadParameter(
        f"expected the number of a channel, 1 being the first, or mean, found {value!r}",
        param_hint="--channel",
    )


def _replacements(values: list[str] | None) -> dict[str, str]:
    replacements = {}
    for value in values or []:
        tag, equals, text = value.partition("=")
        if not equals:
            raise typer.BadParameter(
                f"expected TAG=TEXT, such as '<unk>=UM' or '[noise]=', found {value!r}",
                param_hint="--replace",
            )
        replacements[tag] = text
    return replacements


def _write(
    output: Path,
    utterances: "Sequence[Utterance]",
    source: Path,
    tags: Tags,
    replace: list[str] | None,
) -> None:
    from asr.corpus.importers import check_utterances, rewrite_tags
    from asr.corpus.manifest import total_hours, write_manifest

    utterances = rewrite_tags(utterances, source, _replacements(replace), tags is Tags.DROP)
    check_utterances(utterances, source)
    write_manifest(output, utterances)
    hours = total_hours(utterances)
    speakers = len({utterance.speaker for utterance in utterances} - {None})
    echo(f"{output}: {len(utterances)} utterances, {hours:.2f} hours, {speakers} speakers")
