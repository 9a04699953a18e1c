"""`asr tune`: how best to decode with a checkpoint."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from asr.cli.options import (
    Checkpoint,
    Device,
    Threads,
    check_folder,
    check_picture,
    in_one_line,
    load_recognizer,
)
from asr.errors import ManifestError

if TYPE_CHECKING:
    from asr.corpus.manifest import Utterance
    from asr.decode.decoder import TunedSettings
    from asr.inference.recognizer import Recognizer
    from asr.tuning.bench import Bench, DevSet
    from asr.tuning.choice import Tuning

_log = logging.getLogger("asr.tune")


def tune(
    checkpoint: Checkpoint,
    dev_manifest: Annotated[
        Path | None,
        typer.Argument(metavar="DEV_MANIFEST", help="JSONL with the truth; never trained on."),
    ] = None,
    lm: Annotated[
        Path | None,
        typer.Option("--lm", help="ARPA language model to decode with; without: none."),
    ] = None,
    closed_vocabulary: Annotated[
        bool,
        typer.Option("--closed_vocabulary", help="Words that the model lacks are impossible."),
    ] = False,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            help="Take over what was tuned for this checkpoint, instead of a DEV_MANIFEST: for a "
            "model that has learnt from all there is.",
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
    """Choose language model weight, word bonus, beam and pruning on DEV_MANIFEST.

    The choice is kept in the checkpoint, with a calibration of word confidences: whenever the same
    language model is used with it, that is how it decodes.
    """
    import torch

    from asr.corpus.manifest import read_manifest
    from asr.decode.decoder import build_decoder
    from asr.decode.fusion import FusionConfig
    from asr.tuning.bench import Bench
    from asr.tuning.choice import passes
    from asr.tuning.choice import tune as choose
    from asr.tuning.report import draw_trials, render_trials

    if closed_vocabulary and not lm:
        raise typer.BadParameter("--closed_vocabulary means nothing without --lm")
    if like:
        if dev_manifest or closed_vocabulary or plot:
            raise typer.BadParameter("--like chooses nothing anew: beside it only --lm, --dry_run")
        _take_over(checkpoint, like, lm, dry_run)
        return
    if dev_manifest is None:
        raise typer.BadParameter("expected a DEV_MANIFEST to choose on, or --like CHECKPOINT")
    if plot:
        check_picture(plot)
        check_folder(plot)
    utterances = read_manifest(dev_manifest)
    recognizer = load_recognizer(checkpoint, device, threads)
    _warn_if_trained_on(checkpoint, dev_manifest)
    fusion = FusionConfig(closed_vocabulary=closed_vocabulary)
    decoder = build_decoder(recognizer.tokens, fusion=fusion, lm=lm)
    dev = _dev_set(recognizer, utterances, dev_manifest)
    total = passes(decoder)
    with tqdm(total=total, desc="searches", disable=None, leave=False) as progress:
        bench = Bench(dev, recognizer.tokens, threads or torch.get_num_threads(), progress.update)
        tuning = choose(bench, decoder)
    typer.echo(render_trials(tuning))
    settings, calibrated = _settings(tuning, bench, lm)
    rates = f"dev WER {tuning.choice.wer:.2%}, CER {tuning.choice.cer:.2%}"
    typer.echo(f"\nchoice: {_choice(settings)}\n{rates}\n{calibrated}")
    if tuning.edges:
        _log.warning(
            "the best is at the edge of what was tried: %s; beyond it may be better still, or the "
            "language model and this speech do not belong together",
            ", ".join(tuning.edges),
        )
    if plot:
        draw_trials(tuning, plot)
    if not dry_run:
        _keep(checkpoint, lm.name if lm else "none", settings)


def _take_over(checkpoint: Path, other: Path, lm: Path | None, dry_run: bool) -> None:
    """Keep what was tuned for another checkpoint and its language model, if any, for this one's."""
    from asr.checkpoint.checkpoint import load_checkpoint
    from asr.decode.decoder import all_tuned_settings
    from asr.errors import CheckpointError
    from asr.files import sha256_of

    load_checkpoint(checkpoint)
    found = [
        settings
        for settings in all_tuned_settings(load_checkpoint(other).metrics)
        if (settings.lm_sha256 is None) == (lm is None)
    ]
    kind = "with a language model" if lm else "without a language model"
    if len(found) != 1:
        raise CheckpointError(
            f"{other}: expected one choice of `asr tune` {kind} to take over, found {len(found)}; "
            f"tune that checkpoint {kind} first"
        )
    settings = dataclasses.replace(found[0], lm_sha256=sha256_of(lm) if lm else None)
    typer.echo(f"choice: {_choice(settings)}")
    if not dry_run:
        _keep(checkpoint, lm.name if lm else "none", settings)


def _dev_set(
    recognizer: "Recognizer", utterances: Sequence["Utterance"], manifest: Path
) -> "DevSet":
    from asr.tuning.bench import emissions_of

    with tqdm(total=len(utterances), desc="emissions", disable=None, leave=False) as progress:
        try:
            return emissions_of(recognizer, utterances, progress.update)
        except ManifestError as error:
            raise ManifestError(f"{manifest}: {error}") from error


def _warn_if_trained_on(checkpoint: Path, manifest: Path) -> None:
    from asr.checkpoint.checkpoint import load_checkpoint
    from asr.tuning.bench import was_trained_on

    if was_trained_on(load_checkpoint(checkpoint).config, manifest):
        _log.warning(
            "%s was trained on %s: it knows these very recordings, so that a language model seems "
            "of little use to it; tune on others",
            checkpoint,
            manifest,
        )


def _settings(tuning: "Tuning", bench: "Bench", lm: Path | None) -> tuple["TunedSettings", str]:
    """The choice as it is kept, with a calibration; what that does to the confidences."""
    from asr.decode.decoder import TunedSettings
    from asr.files import sha256_of
    from asr.scoring.calibration import expected_calibration_error, fit_calibration

    decoder = tuning.choice.decoder
    settings = TunedSettings(lm_sha256=sha256_of(lm) if lm else None, search=decoder.search)
    if decoder.fusion is not None:
        settings = dataclasses.replace(settings, fusion=decoder.fusion.config)
    raw, correct = bench.raw_confidences(decoder)
    if not raw:
        return settings, "no words were recognised: confidences are not calibrated"
    calibration = fit_calibration(raw, correct)
    before, after = (
        expected_calibration_error(confidences, correct)
        for confidences in (raw, calibration.apply(raw))
    )
    text = f"calibration error of word confidences: {before:.4f}, calibrated {after:.4f}"
    return dataclasses.replace(settings, calibration=calibration), text


def _choice(settings: "TunedSettings") -> str:
    from asr.config import to_dict

    search, fusion = to_dict(settings.search), settings.fusion
    chosen = {name: value for name, value in search.items() if value not in (None, False)}
    if settings.lm_sha256:
        chosen |= {"lm_weight": fusion.lm_weight, "word_bonus": fusion.word_bonus}
        if fusion.closed_vocabulary:
            chosen["closed_vocabulary"] = True
        else:
            chosen["unknown_penalty"] = fusion.unknown_log_penalty
    return in_one_line(chosen)


def _keep(checkpoint: Path, name: str, settings: "TunedSettings") -> None:
    from asr.checkpoint.checkpoint import load_checkpoint, update_metrics
    from asr.decode.decoder import with_tuned_settings

    metrics = load_checkpoint(checkpoint).metrics
    update_metrics(checkpoint, with_tuned_settings(metrics, name, settings))
    typer.echo(f"kept in {checkpoint}: decoding.{name}")
