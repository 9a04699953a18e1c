"""Decoding tuned for a checkpoint, and kept in it.

What is found goes into `metrics["decoding"]` under the name of what it was tuned with: that of the
checkpoint's own language model, of a grammar's or word list's file, or `none`. A language model is
copied into the checkpoint, so that from then on decoding uses it by default.
"""

import dataclasses
import gzip
import hashlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from asr.checkpoint.checkpoint import LANGUAGE_MODEL, Checkpoint, load_checkpoint, update_metrics
from asr.checkpoint.registry import writable_checkpoint
from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.decoder import (
    LIST_PRIOR_WEIGHT,
    Decoder,
    TunedSettings,
    all_tuned_settings,
    build_decoder,
    general_settings,
    with_tuned_settings,
)
from asr.decode.fusion import FusionConfig
from asr.decode.priors import LOG_PRIORS, measure_log_priors
from asr.decode.priors import log_priors as kept_log_priors
from asr.errors import AsrError, CheckpointError, ConfigError, ManifestError
from asr.files import committed_path, sha256_of
from asr.inference.options import AUTO, NONE, DecodingOptions
from asr.inference.recognizer import Recognizer
from asr.language.confusable import Costs, with_letter_costs
from asr.language.confusable import letter_costs as kept_letter_costs
from asr.model.device import torch_device
from asr.scoring.calibration import expected_calibration_error, fit_calibration
from asr.text.tokens import TokenTable
from asr.text.unwritable import find_unwritable
from asr.tuning.choice import Tuning, passes
from asr.tuning.choice import tune as choose
from asr.tuning.dev_set import DevEvaluator, encode_dev_set, was_trained_on
from asr.tuning.letters import letter_costs
from asr.tuning.priors import list_prior_weight
from asr.tuning.rejection import Rejection, allowed_utterances, choose_rejection

Progress = Callable[[str, int], AbstractContextManager[Callable[[], object]]]
"""From what is done and how many steps it takes to a context in which each step is announced."""

HIGHEST_WER = 0.9
"""With more errors on the dev set than this, the choice says nothing about how to decode."""

_log = logging.getLogger("asr.tune")


@dataclass(frozen=True)
class LanguageModelFile:
    """A language model as a checkpoint carries it."""

    path: Path
    """The file to decode with while tuning."""
    content: bytes | None
    """Compressed by gzip, to be copied into the checkpoint; None: it is there already."""
    sha256: str
    """Of the checkpoint's copy."""
    source_sha256: str
    """Of the file that the user gave."""


@dataclass(frozen=True)
class TuningResult:
    """What was found, before it is kept."""

    checkpoint: Path
    name: str
    """Of the settings in the checkpoint's metrics."""
    settings: TunedSettings
    lm: LanguageModelFile | None = None
    tuning: Tuning | None = None
    """None: the settings were copied from another checkpoint."""
    calibration_errors: tuple[float, float] | None = None
    """Of the word confidences, before and after calibration; None: there were no words."""
    rejection: Rejection | None = None
    """Of the grammar or word list, if there is one."""
    letter_costs: Costs | None = None
    """What writing another letter costs the model, if it was measured."""
    log_priors: tuple[float, ...] | None = None
    """Of the tokens: those of training, or where it left none, of the dev set."""
    list_prior_weight: float | None = None
    """Their weight for any grammar or word list, if it was measured."""


@contextmanager
def no_progress(description: str, total: int) -> Iterator[Callable[[], object]]:
    """A `Progress` that nobody sees."""
    yield lambda: None


def tune_checkpoint(
    checkpoint: Path,
    dev_manifest: Path,
    *,
    lm: Path | str | None = AUTO,
    closed_vocabulary: bool = False,
    grammar: Path | None = None,
    lexicon: Path | None = None,
    device: str = "cpu",
    threads: int = 0,
    progress: Progress = no_progress,
) -> TuningResult:
    """Choose how a checkpoint decodes best, on utterances that it was not trained on.

    `lm` is an ARPA file, "auto" for the checkpoint's own if it has one, or "none". With a grammar
    or a word list there is none. `threads` 0 leaves torch's number of threads. Nothing is written:
    see `save_result`. Raises ConfigError on options that contradict each other, ManifestError on a
    dev set with nothing to tune on, AsrError where a file cannot be read or does not fit the
    checkpoint.
    """
    constraint = _checked_constraint(grammar, lexicon, lm)
    if threads:
        torch.set_num_threads(threads)
    utterances = read_manifest(dev_manifest)
    loaded = load_checkpoint(checkpoint)
    recognizer = Recognizer.from_checkpoint(loaded, torch_device(device))
    if was_trained_on(loaded.config, dev_manifest):
        _log.warning(
            "%s was trained on %s: it knows these very recordings, so that a language model seems "
            "of little use to it; tune on others",
            checkpoint,
            dev_manifest,
        )
    _check_references(utterances, recognizer.tokens, dev_manifest, constraint)
    lm_path = None if constraint else _language_model_path(loaded, lm)
    if closed_vocabulary and lm_path is None:
        raise ConfigError(
            "closed_vocabulary: has no effect without a language model; name one with --lm"
        )
    fusion = FusionConfig(closed_vocabulary=closed_vocabulary)
    decoder = build_decoder(
        recognizer.tokens, fusion=fusion, lm=lm_path, grammar=grammar, lexicon=lexicon
    )
    lm_file = None if lm_path is None else _language_model_file(loaded, lm_path)
    with progress("emissions", len(utterances)) as advance:
        try:
            dev = encode_dev_set(recognizer, utterances, advance)
        except ManifestError as error:
            raise ManifestError(f"{dev_manifest}: {error}") from error
    log_priors = kept_log_priors(loaded.metrics, recognizer.tokens)
    if log_priors is None:
        log_priors = measure_log_priors(dev.emissions, len(recognizer.tokens))
    decoder = dataclasses.replace(decoder, log_priors=log_priors)
    with progress("searches", passes(decoder)) as advance:
        evaluator = DevEvaluator(
            dev, recognizer.tokens, threads or torch.get_num_threads(), advance
        )
        if constraint is None:
            result = _with_language_model(checkpoint, evaluator, decoder, lm_file)
        else:
            result = _with_constraint(checkpoint, evaluator, decoder, constraint, dev_manifest)
    return dataclasses.replace(
        result,
        letter_costs=letter_costs(dev, recognizer.tokens),
        log_priors=log_priors,
        list_prior_weight=list_prior_weight(dev, recognizer.tokens, log_priors),
    )


def copy_settings(checkpoint: Path, other: Path, lm: Path | str | None = AUTO) -> TuningResult:
    """What was tuned for another checkpoint, for this one.

    `lm` is the ARPA file for this checkpoint, "none", or "auto" for the other checkpoint's own, if
    it has one. Nothing is written: see `save_result`. Raises CheckpointError unless the other
    checkpoint has one choice of settings with a language model, or without one, as asked; AsrError
    where a file cannot be read or does not fit the checkpoint.
    """
    loaded, source = load_checkpoint(checkpoint), load_checkpoint(other)
    path = _language_model_path(source, lm)
    found = [
        settings
        for settings in all_tuned_settings(source.metrics)
        if settings.constraint_sha256 is None and (settings.lm_sha256 is None) == (path is None)
    ]
    if path is not None and len(found) > 1:  # one of them may be for this very model
        sha256 = sha256_of(path)
        found = [s for s in found if sha256 in (s.lm_sha256, s.lm_source_sha256)] or found
    if len(found) != 1:
        kind = "with a language model" if path else "without a language model"
        raise CheckpointError(
            f"{other}: expected one choice of `asr tune` {kind} to copy, found "
            f"{len(found)}; tune that checkpoint {kind} first"
        )
    same = loaded.tokens == source.tokens
    if found[0].search.prior_weight and not same:
        raise CheckpointError(
            f"{checkpoint}: expected the tokens of {other}, which was tuned with label priors of "
            f"its own, found others; tune {checkpoint} on a dev set"
        )
    general = general_settings(source.metrics)
    result = TuningResult(
        checkpoint,
        NONE,
        found[0],
        letter_costs=kept_letter_costs(source.metrics, source.tokens) if same else None,
        log_priors=kept_log_priors(source.metrics, source.tokens) if same else None,
        list_prior_weight=(
            general.search.prior_weight if same and LIST_PRIOR_WEIGHT in source.metrics else None
        ),
    )
    if path is None:
        return result
    build_decoder(loaded.tokens, lm=path)  # it has to fit the tokens
    lm_file = _language_model_file(source if lm == AUTO else loaded, path)
    if lm == AUTO:
        lm_file = dataclasses.replace(lm_file, content=_compressed(_content(path)))
    settings = _with_file(found[0], lm_file)
    return dataclasses.replace(result, name=LANGUAGE_MODEL, settings=settings, lm=lm_file)


def save_result(result: TuningResult) -> None:
    """Keep settings in the checkpoint and its language model with them, in one step.

    Raises ManifestError on settings that were chosen where almost every word is wrong,
    CheckpointError on a shipped checkpoint that is meant by its name, AsrError where the
    checkpoint cannot be written.
    """
    if result.tuning and result.tuning.choice.wer > HIGHEST_WER:
        raise ManifestError(
            f"nothing was kept: with the best settings {result.tuning.choice.wer:.0%} of the words "
            "are wrong, so that the choice is due to chance; check that the dev set has the "
            "transcripts of these recordings, in the language that this checkpoint recognises"
        )
    metrics = load_checkpoint(result.checkpoint).metrics
    if result.letter_costs is not None:
        metrics = with_letter_costs(metrics, result.letter_costs)
    if result.log_priors is not None:
        metrics = {**metrics, LOG_PRIORS: list(result.log_priors)}
    if result.list_prior_weight is not None:
        metrics = {**metrics, LIST_PRIOR_WEIGHT: result.list_prior_weight}
    update_metrics(
        result.checkpoint,
        with_tuned_settings(metrics, result.name, result.settings),
        language_model=result.lm.content if result.lm else None,
    )


def check_writable(checkpoint: Path) -> None:
    """Raise CheckpointError, before any work is done, where `save_result` would."""
    writable_checkpoint(checkpoint)


# --- The parts of tune_checkpoint


def _checked_constraint(
    grammar: Path | None, lexicon: Path | None, lm: Path | str | None
) -> Path | None:
    constraint = DecodingOptions(grammar=grammar, lexicon=lexicon).constraint
    if constraint is None:
        return None
    option = "grammar" if grammar else "lexicon"
    if lm not in (AUTO, NONE, None):
        raise ConfigError(
            f"lm: cannot be tuned together with a {option}; tune each of them by itself"
        )
    if constraint.name in (LANGUAGE_MODEL, NONE):
        raise ConfigError(
            f"{option}: settings are kept under the file's name, which {constraint.name} is taken "
            "for others; rename the file"
        )
    return constraint


def _check_references(
    utterances: Sequence[Utterance], tokens: TokenTable, manifest: Path, constraint: Path | None
) -> None:
    """Refuse transcripts that the model cannot write: each would be an error however it decodes.

    With a grammar or word list some of them may be other utterances, which it does not allow.
    """
    found = find_unwritable([utterance.text for utterance in utterances], tokens)
    if found and constraint and found.transcripts < found.total:
        _log.warning("%s: %s; %s is taken not to allow them", manifest, found, constraint)
    elif found:
        raise ManifestError(f"{manifest}: {found}")


def _with_language_model(
    checkpoint: Path, evaluator: DevEvaluator, decoder: Decoder, lm: LanguageModelFile | None
) -> TuningResult:
    tuning = choose(evaluator, decoder)
    settings, errors = _calibrated(tuning, evaluator)
    if lm is not None:
        settings = _with_file(settings, lm)
    name = LANGUAGE_MODEL if lm else NONE
    return TuningResult(checkpoint, name, settings, lm, tuning, errors)


def _with_constraint(
    checkpoint: Path,
    evaluator: DevEvaluator,
    decoder: Decoder,
    constraint: Path,
    dev_manifest: Path,
) -> TuningResult:
    """Weights and search by the utterances that are allowed, the threshold by all of them."""
    dev = evaluator.dev
    assert decoder.fusion is not None
    allowed = allowed_utterances(dev.references, decoder.fusion)
    if not any(allowed):
        raise ManifestError(
            f"{dev_manifest}: none of the {len(allowed)} transcripts is a sentence that "
            f"{constraint} allows; expected at least one to tune on"
        )
    inside = DevEvaluator(
        dev.subset(allowed), evaluator.table, evaluator.threads, evaluator.advance
    )
    tuning = choose(inside, decoder)
    settings, errors = _calibrated(tuning, inside)
    results = evaluator.constrained_results(tuning.choice.decoder)
    rejection = choose_rejection(dev.references, allowed, results)
    settings = dataclasses.replace(
        settings,
        constraint_sha256=sha256_of(constraint),
        reject_below=rejection.reject_below,
    )
    return TuningResult(checkpoint, constraint.name, settings, None, tuning, errors, rejection)


def _calibrated(
    tuning: Tuning, evaluator: DevEvaluator
) -> tuple[TunedSettings, tuple[float, float] | None]:
    """The choice with a calibration of its confidences, and their errors before and after."""
    decoder = tuning.choice.decoder
    settings = TunedSettings(search=decoder.search)
    if decoder.fusion is not None:
        settings = dataclasses.replace(settings, fusion=decoder.fusion.config)
    raw, correct = evaluator.raw_confidences(decoder)
    if not raw:
        return settings, None
    calibration = fit_calibration(raw, correct)
    before, after = (
        expected_calibration_error(confidences, correct)
        for confidences in (raw, calibration.apply(raw))
    )
    return dataclasses.replace(settings, calibration=calibration), (before, after)


# --- Language models


def _language_model_path(checkpoint: Checkpoint, lm: Path | str | None) -> Path | None:
    """The file of a language model, `AUTO` and `NONE` resolved."""
    if lm is None or lm == NONE:
        return None
    if lm != AUTO:
        return Path(lm)
    assert checkpoint.folder is not None
    own = committed_path(checkpoint.folder, LANGUAGE_MODEL)
    return own if own.is_file() else None


def _language_model_file(checkpoint: Checkpoint, path: Path) -> LanguageModelFile:
    """A language model with what has to be copied into the checkpoint, if it is not there yet."""
    content = _content(path)
    packed = _compressed(content)
    sha256, source = (hashlib.sha256(data).hexdigest() for data in (packed, content))
    assert checkpoint.folder is not None
    own = committed_path(checkpoint.folder, LANGUAGE_MODEL)
    is_own = own.is_file() and own.resolve() == path.resolve()
    if is_own:  # what it was copied from stays known
        for settings in all_tuned_settings(checkpoint.metrics):
            if settings.lm_sha256 == sha256 and settings.lm_source_sha256:
                source = settings.lm_source_sha256
    return LanguageModelFile(path, None if packed is content and is_own else packed, sha256, source)


def _with_file(settings: TunedSettings, lm: LanguageModelFile) -> TunedSettings:
    return dataclasses.replace(settings, lm_sha256=lm.sha256, lm_source_sha256=lm.source_sha256)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AsrError(
            f"{path}: cannot read ({error.strerror or error}); expected an ARPA language model"
        ) from error


def _compressed(content: bytes) -> bytes:
    """The content compressed by gzip, always to the same bytes; as it is if it already was."""
    if content.startswith(b"\x1f\x8b"):
        return content
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=packed, mtime=0) as file:
        file.write(content)
    return packed.getvalue()
