"""`asr tune`: how best to decode with a checkpoint."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from asr.cli.console import echo
from asr.cli.options import Checkpoint, Device, Threads, check_folder, check_picture, in_one_line
from asr.errors import ConfigError

if TYPE_CHECKING:
    from asr.decode.decoder import TunedSettings
    from asr.tuning.rejection import Rejection
    from asr.tuning.tune import TuningResult

_log = logging.getLogger("asr.tune")


def tune(
    checkpoint: Checkpoint,
    dev_manifest: Annotated[
        Path | None,
        typer.Argument(metavar="DEV_MANIFEST", help="JSONL with transcripts; never trained on."),
    ] = None,
    lm: Annotated[
        str,
        typer.Option(
            "--lm",
            metavar="FILE|none",
            help="ARPA language model, to be copied into the checkpoint. Without it: the "
            "checkpoint's own, if it has one. none: decode without.",
            show_default=False,
        ),
    ] = "auto",
    closed_vocabulary: Annotated[
        bool,
        typer.Option(
            "--closed_vocabulary", help="Words that the language model lacks are impossible."
        ),
    ] = False,
    grammar: Annotated[
        Path | None,
        typer.Option(
            "--grammar",
            help="Tune for these sentences, a JSGF grammar or a .txt, and when to reject.",
        ),
    ] = None,
    lexicon: Annotated[
        Path | None,
        typer.Option("--lexicon", help="Tune for this list of words, and when to reject."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            help="Copy what was tuned for this checkpoint, with its language model unless --lm "
            "names another, instead of tuning on a DEV_MANIFEST: for a model that was trained on "
            "all there is.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw WER over time here: .pdf, .png or .svg.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Print the choice and leave the checkpoint alone.")
    ] = False,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Choose the weights of language model and priors, word bonus, pruning and beam on a dev set.

    The choice is kept in the checkpoint, with the language model and a calibration of word
    confidences: from then on that is how the checkpoint decodes unless told otherwise. With
    --grammar or --lexicon the cost of a word, the search and --reject_below are chosen for it; for
    the last one DEV_MANIFEST has to hold other utterances too, or noise with an empty transcript.
    For grammars and lists that are not tuned, the weight of the label priors is measured with the
    sentences of DEV_MANIFEST as the list, and what writing one letter for another costs, to warn of
    sentences that are hard to tell apart.
    """
    from asr.tuning.report import draw_trials, render_trials
    from asr.tuning.tune import check_writable, copy_settings, save_result, tune_checkpoint

    if like and (dev_manifest or closed_vocabulary or grammar or lexicon or plot):
        raise ConfigError("like: tunes nothing, so that beside it only --lm and --dry_run count")
    if plot:
        check_picture(plot)
        check_folder(plot)
    if not dry_run:
        check_writable(checkpoint)
    if like:
        result = copy_settings(checkpoint, like, lm)
    elif dev_manifest:
        result = tune_checkpoint(
            checkpoint,
            dev_manifest,
            lm=lm,
            closed_vocabulary=closed_vocabulary,
            grammar=grammar,
            lexicon=lexicon,
            device=device,
            threads=threads,
            progress=_progress,
        )
    else:
        raise ConfigError(
            "dev_manifest: expected a DEV_MANIFEST to tune on, or --like CHECKPOINT, found neither"
        )
    if not dry_run:
        save_result(result)
    if plot and result.tuning:
        draw_trials(result.tuning, plot)
    if result.tuning:
        echo(render_trials(result.tuning) + "\n")
        _warn_of_edges(result.tuning.edges)
    echo(_summary(result))
    if not dry_run:
        echo(f"kept in {checkpoint}: decoding.{result.name}")


@contextmanager
def _progress(description: str, total: int) -> Iterator[Callable[[], object]]:
    with tqdm(total=total, desc=description, disable=None, leave=False) as bar:
        yield bar.update


def _warn_of_edges(edges: tuple[str, ...]) -> None:
    if edges:
        _log.warning(
            "the best is at the edge of what was tried: %s; beyond it may be better still, or the "
            "language model and this speech do not belong together",
            ", ".join(edges),
        )


def _summary(result: "TuningResult") -> str:
    lines = [f"choice: {_choice(result.settings)}"]
    if result.tuning:
        trial = result.tuning.choice
        lines.append(f"dev WER {trial.wer:.2%}, CER {trial.cer:.2%}")
        lines.append("no words were recognised: confidences are not calibrated")
        if result.calibration_errors:
            before, after = result.calibration_errors
            lines[-1] = (
                f"calibration error of word confidences: {before:.4f}, calibrated {after:.4f}"
            )
    if result.rejection:
        lines += _rejection(result.rejection)
    if (weight := result.list_prior_weight) is not None:
        lines.append(f"prior_weight of grammars and lists not tuned: {weight:g}")
    return "\n".join(lines)


def _rejection(rejection: "Rejection") -> list[str]:
    lines = [
        f"allowed utterances: {rejection.inside}, of which misrecognised "
        f"{rejection.misrecognised}, false rejects {rejection.false_rejects}"
    ]
    if rejection.reject_below is None:
        return [
            *lines,
            "other utterances: none, so that reject_below is not set; to set it, add utterances "
            "of other words, or noise with an empty transcript, to the dev set",
        ]
    accepts = f"other utterances: {rejection.outside}, of which false accepts "
    return [*lines, f"{accepts}{rejection.false_accepts}"]


def _choice(settings: "TunedSettings") -> str:
    from asr.config import to_dict

    search, fusion = to_dict(settings.search), settings.fusion
    chosen = {name: value for name, value in search.items() if value not in (None, False)}
    if settings.lm_sha256 or settings.constraint_sha256:
        chosen["word_bonus"] = fusion.word_bonus
    if settings.lm_sha256:
        chosen["lm_weight"] = fusion.lm_weight
        if fusion.closed_vocabulary:
            chosen["closed_vocabulary"] = True
        else:
            chosen["unknown_penalty"] = fusion.unknown_log_penalty
        chosen["empty_word_penalty"] = fusion.empty_word_log_penalty
    if settings.reject_below is not None:
        chosen["reject_below"] = settings.reject_below
    return in_one_line(chosen)
