"""Decoding options of the commands: what they accept, how they reach the search, what they say."""

import dataclasses
import inspect
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr.checkpoint.checkpoint import load_checkpoint, update_metrics
from asr.cli import hotwords
from asr.cli.decoding_options import _PARAMETERS
from asr.cli.evaluate import evaluate
from asr.cli.hotwords import HOTWORD_BOOST, parse_hotwords
from asr.cli.transcribe import transcribe
from asr.corpus.manifest import read_manifest, write_manifest
from asr.decode.beam import SearchConfig, beam_search
from asr.decode.confidence import Calibration
from asr.decode.decoder import TunedSettings, with_tuned_settings
from asr.decode.fusion import FusionConfig
from asr.errors import AsrError, ConfigError, TextError
from asr.files import sha256_of
from asr.inference import options
from asr.inference.options import WIDE_BEAM, DecodingOptions
from asr.inference.writers import OutputFormat
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from tests.support import Command, Tones


@pytest.fixture(scope="module", autouse=True)
def _compiled_search() -> None:
    """What is compiled here is not announced on the stderr of a command."""
    beam_search(torch.zeros(1, 2).log_softmax(dim=1), 2)


@pytest.fixture
def spoken(tones: Tones) -> tuple[Path, str]:
    utterance = read_manifest(tones.test)[0]
    return Path(utterance.audio_filepath), utterance.text


@pytest.fixture(scope="module")
def lm(tones: Tones, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the words of the test set, so that none is unknown."""
    path = tmp_path_factory.mktemp("lm") / "words.arpa"
    write_arpa(path, estimate([u.text.split() for u in read_manifest(tones.test)], 2).table)
    return path


# Transcribe


def test_every_format_is_written(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    path, text = spoken
    outcome = asr_command("transcribe", tones.checkpoint, path, "-f", "all", "-o", tmp_path)
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr == "decoding greedily, without a language model\n"
    written = {file.suffix[1:]: file.read_text() for file in tmp_path.iterdir()}
    assert set(written) == {kind.suffix[1:] for kind in OutputFormat.ALL.kinds}
    assert written["txt"] == f"{text}\n"
    assert [line.split()[4] for line in written["ctm"].splitlines()] == text.split()
    assert [word["word"] for word in json.loads(written["json"])["words"]] == text.split()
    assert text in written["srt"]
    assert text in written["vtt"]
    assert written["tsv"].splitlines()[1].endswith(f"\t{text}")


def test_timed_formats_go_to_the_terminal_one_at_a_time(
    tones: Tones, spoken: tuple[Path, str], asr_command: Command
) -> None:
    path, text = spoken
    other = path.with_name("test-001.flac")
    assert asr_command("transcribe", tones.checkpoint, path, "-f", "srt").stdout.endswith(
        f"\n{text}\n\n"
    )
    for arguments in ((path, other, "-f", "srt"), (path, "-f", "all")):
        outcome = asr_command("transcribe", tones.checkpoint, *arguments)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert "--output_dir" in outcome.stderr


@pytest.mark.parametrize("kind", ["jsonl", "ctm", "stm", "trn"])
def test_formats_of_lines_take_several_recordings(
    tones: Tones, spoken: tuple[Path, str], kind: str, asr_command: Command
) -> None:
    paths = spoken[0], spoken[0].with_name("test-001.flac")
    alone = [asr_command("transcribe", tones.checkpoint, path, "-f", kind) for path in paths]
    together = asr_command("transcribe", tones.checkpoint, *paths, "-f", kind)
    assert together.code == 0
    # Encoded in a batch, scores differ in their last digits.
    scores = re.compile(r'"log_score": [-.\d]+')
    apart = alone[0].stdout + alone[1].stdout
    assert scores.sub("", together.stdout) == scores.sub("", apart)


def test_readable_text_is_shown(
    tones: Tones, spoken: tuple[Path, str], asr_command: Command
) -> None:
    path, text = spoken
    arguments = "transcribe", tones.checkpoint, path
    assert asr_command(*arguments, "--text", "lower").stdout == f"{text.lower()}\n"
    values = json.loads(asr_command(*arguments, "--numbers", "de", "-f", "json").stdout)
    assert values["raw_text"] == text
    auto = asr_command(*arguments, "--numbers", "auto")
    assert auto.usage_error.startswith("--numbers: expected a language, one of da, de, en")


def test_json_has_alternatives_and_words_on_request(
    tones: Tones, spoken: tuple[Path, str], asr_command: Command
) -> None:
    arguments = ("transcribe", tones.checkpoint, spoken[0], "-f", "json")
    plain = json.loads(asr_command(*arguments).stdout)
    assert "nbest" not in plain
    assert "words" not in plain
    rich = json.loads(asr_command(*arguments, "--nbest", "3", "--word_timestamps").stdout)
    assert len({alternative["text"] for alternative in rich["nbest"]}) == 3
    assert rich["nbest"][0]["text"] == rich["text"] == spoken[1]
    assert all(0 <= word["confidence"] <= 1 for word in rich["words"])


def test_lexicon_grammar_and_hotwords_reach_the_search(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    path, text = spoken
    other = "A" if "A" not in text else "BBBBBB"
    (tmp_path / "words.txt").write_text(f"{other}\n")
    (tmp_path / "rules.jsgf").write_text(f"public <said> = {text} | {other};")
    arguments = ("transcribe", tones.checkpoint, path)
    lexicon = ("--lexicon", tmp_path / "words.txt")
    assert set(asr_command(*arguments, *lexicon).stdout.split()) <= {other}
    strict = asr_command(*arguments, *lexicon, "--reject_below", "-0.5", "-f", "json")
    values = json.loads(strict.stdout)
    assert (values["text"], values["rejected"]) == ("", True)
    assert values["log_ratio"] < -0.5
    grammar = ("--grammar", tmp_path / "rules.jsgf")
    assert asr_command(*arguments, *grammar).stdout == f"{text}\n"
    manifest, figures = tmp_path / "two.jsonl", tmp_path / "figures.json"
    noise = replace(read_manifest(tones.test)[0], id="noise", text="", audio_filepath=path)
    write_manifest(manifest, [replace(noise, id="said", text=text), noise])
    options = (*lexicon, "--reject_below", "-0.5", "--json", figures)
    evaluated = asr_command("evaluate", tones.checkpoint, manifest, *options)
    assert "no error rate: every utterance was rejected" in evaluated.stdout
    assert "2  of 2 utterances; 0 of them would have been right, 2 wrong" in evaluated.stdout
    found = json.loads(figures.read_text())
    assert (found["rejected"]["would_be_wrong"], found["deletions"]) == (2, None)
    assert found["nonspeech"]["words"] == 0
    hotwords = ("--hotwords", f"{text.split()[0]}:-500")
    assert text.split()[0] not in asr_command(*arguments, *hotwords).stdout.split()


def test_what_may_be_said_is_listed_in_any_case(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    path, text = spoken
    arguments = ("transcribe", tones.checkpoint, path)
    sentences, words = tmp_path / "sentences.txt", tmp_path / "words.txt"
    sentences.write_text(f"{text.lower()}\nbbbbbb\n")
    words.write_text("\n".join({*text.lower().split(), "bbbbbb"}))
    for option in (("--grammar", sentences), ("--lexicon", words)):
        assert asr_command(*arguments, *option).stdout == f"{text}\n"
    found = asr_command(*arguments, "--hotwords", f"{text.split()[0].lower()}:-500").stdout
    assert text.split()[0] not in found.split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lm", "gone.arpa"), "gone.arpa: cannot read"),
        (("--lexicon", "gone.txt"), "gone.txt: cannot read the word list"),
        (("--grammar", "gone.jsgf"), "gone.jsgf: cannot read the grammar"),
        (("--hotwords", "@gone.txt"), "gone.txt: cannot read the hot words"),
        (("--hotwords", "k:3"), "hot word 'k': expected characters among"),
    ],
)
def test_what_does_not_fit_is_one_message(
    tones: Tones,
    spoken: tuple[Path, str],
    asr_command: Command,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    for verb, subject in (("transcribe", spoken[0]), ("evaluate", tones.test)):
        assert message in asr_command(verb, tones.checkpoint, subject, *arguments).error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--hotwords", "A:much"),
            "--hotwords 'A:much': expected a hot word as",
        ),
        (("--lexicon", "a", "--grammar", "b"), "--lexicon: expected a lexicon or a grammar"),
        (("--beam_size", "4", "--nbest", "5"), "--nbest: expected 1 to 4 (the beam size)"),
        (("--word_bonus", "inf"), "--word_bonus: expected a finite number"),
        (("--lm_weight", "0.5"), "--lm_weight: has no effect without a language model"),
        (("--unknown_penalty", "-1"), "--unknown_penalty: has no effect"),
        (("--unknown_penalty", "1"), "--unknown_penalty: expected 0 or less, found 1"),
        (("--closed_vocabulary",), "--closed_vocabulary: has no effect"),
        (("--open_vocabulary",), "--closed_vocabulary: has no effect"),
        (("--lm", "none", "--lm_weight", "1"), "--lm_weight: has no effect"),
        (("--lm", "words.arpa", "--beam_size", "1"), "--lm: expected a beam to use words.arpa"),
        (("--lm", ""), "--lm: expected the path of a file, found ''"),
        (("--reject_below", "-1"), "--reject_below: has no effect without a grammar or lexicon"),
        (("--reject_below", "1"), "--reject_below: expected 0 or less"),
        (("--no_speech_below", "-1"), "--no_speech_below: expected 0 or more"),
        (("--prior_weight", "-1"), "--prior_weight: expected 0 or more, found -1"),
        (("--nbest", "0"), "--nbest: expected at least 1, found 0"),
        (("--beam_size", "0"), "--beam_size"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_wrong_values_are_wrong_usage_and_name_the_flag(
    tones: Tones,
    spoken: tuple[Path, str],
    asr_command: Command,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    for verb, subject in (("transcribe", spoken[0]), ("evaluate", tones.test)):
        outcome = asr_command(verb, tones.checkpoint, subject, *arguments)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert message in outcome.stderr
        assert "Traceback" not in outcome.stderr


def test_hyphens_and_underscores_are_the_same(
    tones: Tones, spoken: tuple[Path, str], asr_command: Command
) -> None:
    arguments = ("transcribe", tones.checkpoint, spoken[0])
    one = asr_command(*arguments, "--output_format", "json", "--word_timestamps")
    other = asr_command(*arguments, "--output-format", "json", "--word-timestamps")
    assert one.code == other.code == 0
    assert one.stdout == other.stdout
    assert '"words"' in one.stdout


def test_both_commands_have_the_fields_of_the_options() -> None:
    fields = [field.name for field in dataclasses.fields(DecodingOptions)]
    assert list(_PARAMETERS) == fields == list(options.DecodingKeywords.__annotations__)
    for field in dataclasses.fields(DecodingOptions):
        assert _PARAMETERS[field.name].default == field.default
    for command in (transcribe, evaluate):
        found = inspect.signature(command).parameters
        assert {name: found[name].annotation for name in fields} == {
            name: parameter.annotation for name, parameter in _PARAMETERS.items()
        }
        assert "decoding" not in found
    assert hotwords.HOTWORD_BOOST == options.HOTWORD_BOOST


# Hot words


def test_hotwords_as_they_may_be_written(tmp_path: Path) -> None:
    listed = tmp_path / "names.txt"
    listed.write_text("\ufeffNEW  YORK:2.5\r\n\nJOHN\n")
    assert parse_hotwords(["A:1, B C :-2,D", f"@{listed}"]) == {
        "A": 1.0,
        "B C": -2.0,
        "D": HOTWORD_BOOST,
        "NEW YORK": 2.5,
        "JOHN": HOTWORD_BOOST,
    }


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["A,,B"], "--hotwords 'A,,B': expected a hot word"),
        ([""], "expected a hot word"),
        ([":3"], "expected a hot word"),
        (["A:nan"], "expected a hot word"),
        (["A:1", "A:2"], "the hot word 'A' comes twice"),
    ],
)
def test_malformed_hotwords_are_refused(entries: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_hotwords(entries)


def test_malformed_hotword_files_name_the_line(tmp_path: Path) -> None:
    listed = tmp_path / "names.txt"
    listed.write_text("A:1\n\nB:x\n")
    with pytest.raises(TextError, match=r"names\.txt, line 3: expected a hot word"):
        parse_hotwords([f"@{listed}"])
    listed.write_bytes(b"\xff\xfe")
    with pytest.raises(AsrError, match="cannot read the hot words"):
        parse_hotwords([f"@{listed}"])


# What was tuned


@pytest.fixture
def tuned(tones: Tones, tmp_path: Path, lm: Path) -> Path:
    """A checkpoint that remembers how to decode with the model."""
    checkpoint = tmp_path / "tuned"
    shutil.copytree(tones.checkpoint, checkpoint)
    settings = TunedSettings(
        lm_sha256=sha256_of(lm),
        search=SearchConfig(beam_size=7, token_log_threshold=-9.0),
        fusion=FusionConfig(lm_weight=0.3, word_bonus=1.5, unknown_log_penalty=-4.0),
        calibration=Calibration(0.5, 0.25),
    )
    metrics = load_checkpoint(checkpoint).metrics
    update_metrics(checkpoint, with_tuned_settings(metrics, lm.name, settings))
    return checkpoint


def settings_used(outcome_file: Path) -> dict[str, object]:
    decoding = json.loads(outcome_file.read_text())["decoding"]
    assert isinstance(decoding, dict)
    return decoding


@pytest.fixture
def small(tones: Tones, tmp_path: Path) -> Path:
    """The first four test utterances."""
    manifest = tmp_path / "small.jsonl"
    entries = [json.loads(line) for line in tones.test.read_text().splitlines()[:4]]
    for entry in entries:
        entry["audio_filepath"] = str(tones.corpus / entry["audio_filepath"])
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return manifest


def test_evaluate_says_how_it_decoded(
    tones: Tones, small: Path, lm: Path, tmp_path: Path, asr_command: Command
) -> None:
    figures = tmp_path / "figures.json"
    arguments = ("evaluate", tones.checkpoint, small, "--json", figures)
    outcome = asr_command(*arguments)
    assert "\ndecoding: search greedy, no_speech_below 2.0\n" in outcome.stdout
    assert settings_used(figures) == {"search": "greedy", "no_speech_below": 2.0}
    outcome = asr_command(*arguments, "--lm", lm, "--word_bonus", "0.5", "--nbest", "2")
    assert outcome.code == 0
    expected = {
        "search": "beam",
        "beam_size": WIDE_BEAM,
        "nbest": 2,
        "lm": str(lm),
        "lm_weight": 0.5,
        "word_bonus": 0.5,
        "unknown_penalty": -10.0,
        "closed_vocabulary": False,
    }
    assert expected.items() <= settings_used(figures).items()
    assert "oracle WER of 2 hypotheses: " in outcome.stdout


def test_tuned_settings_are_used_with_their_model(
    tuned: Path, small: Path, lm: Path, tmp_path: Path, asr_command: Command
) -> None:
    figures = tmp_path / "figures.json"
    arguments = ("evaluate", tuned, small, "--json", figures, "--word_timestamps")
    outcome = asr_command(*arguments, "--lm", lm, "--nbest", "2")
    assert outcome.stderr == f"decoding with a beam of 7 and {lm}, as tuned\n"
    assert "of calibrated word confidences" in outcome.stdout
    as_tuned = {
        "search": "beam",
        "beam_size": 7,
        "nbest": 2,
        "token_log_threshold": -9.0,
        "lm": str(lm),
        "lm_weight": 0.3,
        "word_bonus": 1.5,
        "unknown_penalty": -4.0,
        "closed_vocabulary": False,
    }
    assert as_tuned.items() <= settings_used(figures).items()
    outcome = asr_command(*arguments, "--lm", lm, "--nbest", "2", "--lm_weight", "0.9")
    assert outcome.stderr == f"decoding with a beam of 7 and {lm}\n"
    assert "of uncalibrated word confidences" in outcome.stdout
    assert {**as_tuned, "lm_weight": 0.9}.items() <= settings_used(figures).items()
    asr_command(*arguments)
    assert settings_used(figures) == {"search": "greedy", "no_speech_below": 2.0}


def test_settings_tuned_without_a_model_are_for_use_without_knowledge(
    tones: Tones, small: Path, tmp_path: Path, asr_command: Command
) -> None:
    checkpoint = tmp_path / "tuned"
    shutil.copytree(tones.checkpoint, checkpoint)
    settings = TunedSettings(search=SearchConfig(beam_size=6), calibration=Calibration(0.5, 0.0))
    metrics = load_checkpoint(checkpoint).metrics
    update_metrics(checkpoint, with_tuned_settings(metrics, "none", settings))
    figures = tmp_path / "figures.json"
    arguments = ("evaluate", checkpoint, small, "--json", figures)
    outcome = asr_command(*arguments)
    assert outcome.stderr == "decoding with a beam of 6, without a language model, as tuned\n"
    assert settings_used(figures)["beam_size"] == 6
    asr_command(*arguments, "--hotwords", "A:1")
    assert settings_used(figures)["beam_size"] == WIDE_BEAM
    asr_command(*arguments, "--beam_size", "1")
    assert settings_used(figures) == {"search": "greedy", "no_speech_below": 2.0}
    asr_command(*arguments, "--nbest", "9")
    assert settings_used(figures)["beam_size"] == 9


def test_a_malformed_record_is_one_message(
    tones: Tones, small: Path, tmp_path: Path, asr_command: Command
) -> None:
    checkpoint = tmp_path / "odd"
    shutil.copytree(tones.checkpoint, checkpoint)
    update_metrics(checkpoint, {"decoding": {"none": {"beam": 4}}})
    error = asr_command("evaluate", checkpoint, small).error
    assert error.startswith(f"{checkpoint}: metrics: decoding.none: unknown key 'beam'")


def test_describe_shows_what_was_tuned(tuned: Path, lm: Path, asr_command: Command) -> None:
    described = asr_command("describe", tuned).stdout
    assert f"\nDecoding\n  {lm.name}  lm_sha256 {sha256_of(lm)}" in described
    assert "fusion.lm_weight 0.3" in described
    card = (tuned / "README.md").read_text()
    assert "## Decoding" in card


def test_hypotheses_carry_words_and_alternatives(
    tones: Tones, small: Path, tmp_path: Path, asr_command: Command
) -> None:
    written = tmp_path / "hypotheses.jsonl"
    arguments = ("evaluate", tones.checkpoint, small, "--hypotheses", written)
    asr_command(*arguments, "--word_timestamps", "--nbest", "2")
    for line in written.read_text().splitlines():
        entry = json.loads(line)
        assert [word["word"] for word in entry["words"]] == entry["text"].split()
        assert len(entry["nbest"]) == 2
