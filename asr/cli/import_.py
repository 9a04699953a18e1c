"""`asr import`: converts corpora in the layouts of other tools to manifests."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import echo

if TYPE_CHECKING:
    from asr.corpus.manifest import Utterance

app = typer.Typer(
    help="Convert a corpus in another tool's layout to a manifest.", no_args_is_help=True
)

Output = Annotated[Path, typer.Option("--output", "-o", help="Manifest to write (*.jsonl).")]
Root = Annotated[
    Path, typer.Option("--root", help="Folder that the paths of recordings are relative to.")
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
) -> None:
    """Import a Kaldi data folder."""
    from asr.corpus.importers import read_kaldi

    _write(output, read_kaldi(folder, root), folder)


@app.command()
def lhotse(
    cuts: Annotated[
        Path, typer.Argument(metavar="CUTS", help="File of MonoCuts (*.jsonl or *.jsonl.gz).")
    ],
    output: Output,
    root: Root = Path(),
) -> None:
    """Import Lhotse cuts of recordings in files, with one supervision each."""
    from asr.corpus.lhotse import read_lhotse

    _write(output, read_lhotse(cuts, root), cuts)


@app.command()
def librispeech(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with *.trans.txt files at any depth.")
    ],
    output: Output,
) -> None:
    """Import LibriSpeech, or a part of it."""
    from asr.corpus.importers import read_librispeech

    _write(output, read_librispeech(folder), folder)


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
        typer.Option(help="Column with the ids; default: the paths without their suffixes."),
    ] = None,
    speaker_column: Annotated[
        str | None, typer.Option(help="Column with the speakers, such as Common Voice's client_id.")
    ] = None,
    root: Root = Path(),
) -> None:
    """Import a table with column names in the first line, such as Common Voice's."""
    from asr.corpus.importers import Columns, read_csv

    columns = Columns(audio_column, text_column, id_column, speaker_column)
    _write(output, read_csv(file, columns, root), file)


def _write(output: Path, utterances: "Sequence[Utterance]", source: Path) -> None:
    from asr.corpus.importers import check_ids
    from asr.corpus.manifest import write_manifest

    check_ids(utterances, source)
    write_manifest(output, utterances)
    hours = sum(utterance.duration for utterance in utterances) / 3600
    speakers = len({utterance.speaker for utterance in utterances} - {None})
    echo(f"{output}: {len(utterances)} utterances, {hours:.2f} hours, {speakers} speakers")
