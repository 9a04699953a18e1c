"""Language models, word lists, grammars, hot words and emissions that are not what they should be.

Whatever a file holds, the commands end by themselves: with one message that says where, what was
expected and what was found, or with what a sound file would have given.
"""

import gzip
import json
import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.align import viterbi_align
from asr.decode.beam import SearchConfig, beam_search, search
from asr.decode.decoder import Decoder
from asr.decode.fusion import Fusion
from asr.decode.greedy import greedy_search
from asr.decode.hypothesis import checked_emissions
from asr.errors import ConfigError, TextError
from asr.inference.evaluation import evaluate
from asr.inference.recognizer import Recognizer
from asr.language.grammar.compiler import compile_grammar
from asr.language.ngram.model import read_arpa
from asr.signal import audio
from asr.text.tokens import TokenTable
from tests.support import REPOSITORY, Command, run_python

CHECKPOINT = REPOSITORY / "checkpoints" / "an4-blstm"
SAMPLE = read_manifest(REPOSITORY / "recipes" / "synthetic" / "samples" / "manifest.jsonl")[1]
TABLE = TokenTable(tuple(" AB"))

ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-99\t<s>\t-0.3
-0.7\t</s>
-1.0\t<unk>
-0.5\tSTOP\t-0.1
-0.6\tYES

\\2-grams:
-0.2\t<s> STOP
-0.4\t<s> YES
-0.1\tSTOP </s>

\\end\\
"""
SORTED = "-0.2\t<s> STOP\n-0.4\t<s> YES\n-0.1\tSTOP </s>"
JSGF = "#JSGF V1.0;\ngrammar g;\n"
NO_TEXT = b"fLaC\x00\x9b\xff"


@pytest.fixture(scope="module", autouse=True)
def _compiled_search() -> None:
    """What is compiled here is not announced on the stderr of a command."""
    beam_search(torch.zeros(1, 2).log_softmax(dim=1), 2)


# Files that the commands are told to use


def edited(old: str, new: str) -> bytes:
    assert old in ARPA
    return ARPA.replace(old, new).encode()


MODELS = {
    "cut in a section": (ARPA[: ARPA.index("-0.4\t<s>")].encode(), "line 14: expected 3 2-grams"),
    "cut in a line": (ARPA[: ARPA.index("YES\n-0.1")].encode(), "line 14: expected a log10 prob"),
    "cut before its end": (edited("\\end\\\n", ""), r"line 17: expected `\end\`, found the end of"),
    "count too high": (edited("2=3", "2=4"), "line 17: expected 4 2-grams before this"),
    "count too low": (edited("2=3", "2=2"), r"line 15: expected `\end\`, as the header announces"),
    "count of no file": (edited("2=3", f"2={10**17}"), "line 17: expected 1000"),
    "count that is none": (edited("2=3", "2=x"), "line 3: expected `ngram 2=` and a count"),
    "positive": (edited("-0.5\t", "0.5\t"), "line 9: expected a log10 probability of 0 or less"),
    "not a number": (edited("-0.5\t", "nan\t"), "line 9: expected a number, found 'nan'"),
    "comma": (edited("-0.5\t", "-0,5\t"), "line 9: expected a number, found '-0,5'"),
    "no <unk>": (edited("<unk>", "NO"), ": language model: has no <unk>"),
    "no word to write": (
        ARPA.replace("STOP", "СТОП").replace("YES", "ДА").encode(),
        ": language model: none of its 2 words",
    ),
    "order too high": (
        edited("2=3", "2=3\n" + "\n".join(f"ngram {k}=0" for k in range(3, 22))),
        "line 22: expected n-grams of at most 20 words, found 'ngram 21=0'",
    ),
    "twice": (edited("<s> YES", "<s> STOP"), "line 14: the 2-gram '<s> STOP': is already on an"),
    "unknown word": (edited("<s> YES", "<s> NO"), "line 14: the word 'NO' is not among the 1-gram"),
    "old Macintosh lines": (edited("\n", "\r"), r"no line `\data\`; expected an ARPA language mod"),
    "UTF-16": (ARPA.encode("utf-16"), r"no line `\data\`"),
    "Latin-1": (ARPA.replace("YES", "J\xd6").encode("latin-1"), "line 10: the word 'J\\\\xd6' is"),
    "gzip cut short": (gzip.compress(ARPA.encode())[:-20], "the gzip data is truncated or dama"),
    "gzip of gzip": (gzip.compress(gzip.compress(ARPA.encode())), r"no line `\data\`"),
    "empty": (b"", r"no line `\data\`"),
    "no text": (NO_TEXT, r"no line `\data\`"),
}
WORDS = {
    "empty": (b"", "expected at least one word, found none"),
    "blank": (b"\n \r\n", "expected at least one word, found none"),
    "a sign": (b"STOP\nYES-\n", "line 2: 'YES-' has '-' (the model writes 'YES')"),
    "two in a line": (b"STOP YES\n", "line 1: 'STOP YES' is not one word"),
    "no text": (NO_TEXT, "cannot read the word list"),
}
GRAMMARS = {
    "empty": ("", "expected a public rule such as `public <name> = word;`, found no rules"),
    "no public rule": ("<a> = STOP;", "found 1 rules, none of them public"),
    "syntax": ("public <a> = STOP | (YES ;", "line 3, column 26: expected ')' after"),
    "left recursion": ("public <a> = <a> STOP | YES;", "line 3, column 8: left recursion, <a>"),
    "undefined": ("public <a> = <b>;", "found none of <b> (line 3, column 14)"),
    "a number": ("public <a> = stop2;", "line 3, column 14: 'stop2' has"),
    "too deep": (f"public <a> = {'(' * 60}STOP{')' * 60};", "groups nested at most 50 deep"),
}
HOT_WORDS = {
    "boost": (b"STOP:3\n\nYES:abc\n", "line 3: expected a hot word as WORD or WORD:BOOST"),
    "no word": (b":3\n", "line 1: expected a hot word"),
    "twice": (b"STOP\nSTOP:2\n", "line 2: the hot word 'STOP' comes twice"),
    "empty": (b"", "expected at least one hot word, one WORD:BOOST a line, found none"),
    "blank": (b"\xef\xbb\xbf\n \r\n", "expected at least one hot word"),
    "no text": (NO_TEXT, "cannot read the hot words"),
}
FILES = [
    *(("--lm", *case) for case in MODELS.values()),
    *(("--lexicon", *case) for case in WORDS.values()),
    *(("--grammar", (JSGF + text).encode(), fault) for text, fault in GRAMMARS.values()),
    *(("--hotwords", *case) for case in HOT_WORDS.values()),
]
NAMES = [
    *(f"--lm {name}" for name in MODELS),
    *(f"--lexicon {name}" for name in WORDS),
    *(f"--grammar {name}" for name in GRAMMARS),
    *(f"--hotwords {name}" for name in HOT_WORDS),
]


def transcribe(command: Command, option: str, path: Path, *more: str) -> str:
    """The error of `asr transcribe` with a file of language knowledge."""
    told = f"@{path}" if option == "--hotwords" else path
    return command("transcribe", CHECKPOINT, SAMPLE.audio_filepath, option, told, *more).error


@pytest.mark.parametrize(("option", "content", "fault"), FILES, ids=NAMES)
def test_a_broken_file_is_one_message_that_says_where(
    asr_command: Command, tmp_path: Path, option: str, content: bytes, fault: str
) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    error = transcribe(asr_command, option, path)
    assert error.startswith(str(path))
    assert fault in error


def test_a_grammar_that_would_grow_too_large_is_one_message(
    asr_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = partial(compile_grammar, max_size=20_000)
    monkeypatch.setattr("asr.decode.decoder.compile_grammar", limited)
    path = tmp_path / "large.jsgf"
    path.write_text(f"{JSGF}public <a> = {'[STOP YES] ' * 300};")
    error = transcribe(asr_command, "--grammar", path)
    assert error.startswith(f"{path}: expected a grammar that compiles within 20,000 states")


@pytest.mark.slow
def test_a_grammar_beyond_the_limit_of_the_command_is_one_message(
    asr_command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "large.jsgf"
    path.write_text(f"{JSGF}public <a> = {'[STOP YES] ' * 3000};")
    error = transcribe(asr_command, "--grammar", path)
    assert error.startswith(f"{path}: ")
    assert (
        "expected a grammar that compiles within 1,000,000 states, found that it needs more"
        in error
    )


@pytest.mark.parametrize("option", ["--lm", "--lexicon", "--grammar", "--hotwords"])
def test_a_folder_or_a_missing_file_is_named(
    asr_command: Command, tmp_path: Path, option: str
) -> None:
    for path, cause in ((tmp_path, "Is a directory"), (tmp_path / "gone", "No such file")):
        error = transcribe(asr_command, option, path)
        assert error.startswith(f"{path}: cannot read")
        assert cause in error
        assert "expected a" in error


@pytest.mark.slow
def test_a_real_process_ends_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "words.arpa.gz"
    path.write_bytes(gzip.compress(ARPA.encode())[:-20])
    done = run_python("-m", "asr", "transcribe", CHECKPOINT, SAMPLE.audio_filepath, "--lm", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {path}: the gzip data is truncated")
    assert len(done.stderr.splitlines()) == 1


def test_a_hot_word_of_a_file_that_cannot_be_spelled_is_named(
    asr_command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "names.txt"
    path.write_text("STOP\nyes!\n")
    error = transcribe(asr_command, "--hotwords", path)
    assert error.startswith("hot word 'yes!': expected characters among")


@pytest.mark.parametrize(
    "content",
    [
        edited(SORTED, "\n".join(SORTED.split("\n")[::-1])),
        edited("\t", " "),
        edited("\n", "\r\n"),
        edited("-0.6\tYES", "-0.6\tYES\t0"),
        b"\xef\xbb\xbf" + ARPA.encode(),
        b"made by hand\n" + ARPA.encode(),
        gzip.compress(ARPA.encode()),
    ],
    ids=["unsorted", "spaces", "CRLF", "back-off of 0", "BOM", "preamble", "gzip without .gz"],
)
def test_what_the_format_leaves_open_changes_nothing(tmp_path: Path, content: bytes) -> None:
    plain, other = tmp_path / "plain.arpa", tmp_path / "other.arpa"
    plain.write_text(ARPA)
    other.write_bytes(content)
    for sentence in (["STOP"], ["YES"], [], ["STOP", "NOW", "YES", "STOP"]):
        expected = read_arpa(plain).word_log_probs(sentence).tolist()
        assert read_arpa(other).word_log_probs(sentence).tolist() == expected


def test_words_the_recogniser_cannot_write_are_left_out_aloud(
    asr_command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "words.arpa"
    path.write_bytes(edited("STOP", "st\xf6p"))
    outcome = asr_command("transcribe", CHECKPOINT, SAMPLE.audio_filepath, "--lm", path)
    assert (outcome.code, outcome.stdout) == (0, "YES\n")
    assert "1 of 2 words have characters that the recogniser does not have" in outcome.stderr


def test_a_rule_that_nothing_uses_is_named(asr_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "grammar.jsgf"
    path.write_text(f"{JSGF}public <a> = STOP;\n<b> = YES;\n")
    outcome = asr_command("transcribe", CHECKPOINT, SAMPLE.audio_filepath, "--grammar", path)
    assert (outcome.code, outcome.stdout) == (0, "STOP\n")
    assert outcome.stderr.startswith(f"{path}: no public rule uses <b> (line 4, column 1)")


# Options


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--hotwords", ""), "--hotwords '': expected a hot word as WORD or WORD:BOOST"),
        (("--hotwords", "STOP:"), "--hotwords 'STOP:': expected a hot word as WORD or WORD:BOOST"),
        (("--hotwords", "STOP:abc"), "--hotwords 'STOP:abc': expected a hot word"),
        (("--hotwords", "STOP:1e308"), "hot word 'STOP': expected a boost from"),
        (("--hotwords", "STOP:nan"), "--hotwords 'STOP:nan': expected a hot word"),
        (
            ("--nbest", "10", "--beam_size", "4"),
            "--nbest: expected 1 to 4 (the beam size)",
        ),
        (("--beam_size", str(2**70)), "--beam_size: expected at most 100000, found 1180591620717"),
        (("--nbest", str(2**70)), "--beam_size: expected at most 100000, found 1180591620717"),
        (
            ("--word_bonus", "1e308"),
            "--word_bonus: expected a finite number, 1e+06 at most",
        ),
    ],
)
def test_a_value_out_of_range_is_one_message(
    asr_command: Command, options: tuple[str, ...], fault: str
) -> None:
    error = asr_command("transcribe", CHECKPOINT, SAMPLE.audio_filepath, *options).usage_error
    assert error.startswith(fault)


@pytest.mark.parametrize("size", ["0", "-1", "wide"])
def test_a_beam_of_nothing_is_wrong_usage(asr_command: Command, size: str) -> None:
    outcome = asr_command("transcribe", CHECKPOINT, SAMPLE.audio_filepath, "--beam_size", size)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "'--beam_size'" in outcome.stderr


def manifest(folder: Path, *texts: str) -> Path:
    path = folder / "some.jsonl"
    entry = {"audio_filepath": str(SAMPLE.audio_filepath), "duration": SAMPLE.duration}
    lines = (json.dumps({"id": str(i), **entry, "text": t}) for i, t in enumerate(texts))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize("verb", ["tune", "evaluate"])
def test_a_manifest_of_nothing_is_refused(asr_command: Command, tmp_path: Path, verb: str) -> None:
    path = manifest(tmp_path)
    assert asr_command(verb, CHECKPOINT, path).error.startswith(f"{path}: the manifest is empty")


def test_a_manifest_without_words_cannot_be_tuned_on(asr_command: Command, tmp_path: Path) -> None:
    error = asr_command("tune", CHECKPOINT, manifest(tmp_path, "", " ")).error
    assert "none of" in error
    assert "expected at least one" in error


def test_without_words_evaluate_counts_what_is_written(
    asr_command: Command, tmp_path: Path
) -> None:
    outcome = asr_command("evaluate", CHECKPOINT, manifest(tmp_path, "", " "))
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.startswith("no error rate: none of the 2 references has words\n")
    assert "nonspeech: 2 utterances without speech" in outcome.stdout
    assert "of which 2 got words: 2 in all" in outcome.stdout


def test_one_utterance_is_enough_to_tune_on(asr_command: Command, tmp_path: Path) -> None:
    outcome = asr_command("tune", CHECKPOINT, manifest(tmp_path, "YES"), "--dry_run")
    assert outcome.code == 0, outcome.stderr
    assert "dev WER 0.00%" in outcome.stdout


@pytest.mark.parametrize(
    ("text", "options", "code", "fault"),
    [
        ("", (), 1, "the text has no words; expected at least one sentence"),
        ("\n\n \n", (), 1, "the text has no words; expected at least one sentence"),
        ("A\n", ("--prune", "0,2,1"), 2, "prune: expected up to 3 counts (the order)"),
        ("A\n", ("--prune=-1",), 2, "prune: expected up to 3 counts (the order)"),
        ("A\n", ("--prune", "some"), 2, "expected counts separated by commas"),
        ("A\n", ("--order", "0"), 2, "'--order'"),
        ("A B\nB A\n", ("--order", "20"), 0, ""),
        ("A B\nB A\n", ("--order", "21"), 2, "'--order'"),
    ],
)
def test_a_language_model_of_little_text(
    asr_command: Command, tmp_path: Path, text: str, options: tuple[str, ...], code: int, fault: str
) -> None:
    path, output = tmp_path / "text.txt", tmp_path / "lm.arpa"
    path.write_text(text)
    outcome = asr_command("lm", "train", path, "-o", output, *options)
    assert outcome.code == code, outcome.stderr
    assert fault in outcome.stderr
    assert output.exists() == (code == 0)
    assert not (code and outcome.stdout)


def test_a_checkpoint_is_no_language_model(asr_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("STOP\n")
    error = asr_command("lm", "score", CHECKPOINT / "config.json", path).error
    assert error.startswith(f"{CHECKPOINT / 'config.json'}: no line `\\data\\`; expected an ARPA")


def test_silence_is_aligned_and_doubted(asr_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    audio.write(path, torch.zeros(16_000), 16_000)
    outcome = asr_command("align", CHECKPOINT, path, "STOP")
    assert outcome.code == 1
    assert json.loads(outcome.stdout)["match"] < 0.05
    assert f"warning: {path}: the transcript does not fit the recording" in outcome.stderr
    longer = asr_command("align", CHECKPOINT, path, "STOP " * 30)
    assert (longer.code, longer.stdout) == (1, "")
    assert f"error: {path}: the transcript is longer than the audio allows" in longer.stderr


# Emissions

SOUND = torch.tensor([[0.1, 0.2, 0.3, 0.4]] * 5).log()
NO_LOG_PROBS = {
    "probabilities": (SOUND.exp(), "expected log-probabilities, but in 5 of 5 frames they do not"),
    "certain probabilities": (torch.eye(4), "expected log-probabilities, but in 4 of 4 frames"),
    "logits": (SOUND + 1, "expected log-probabilities, but in 5 of 5 frames"),
    "decimal logarithms": (SOUND / math.log(10), "expected log-probabilities"),
    "impossible frame": (
        SOUND.index_fill(0, torch.tensor([2]), -math.inf),
        "expected log-probabilities, but in 1 of 5 frames",
    ),
    "NaN": (SOUND.index_fill(0, torch.tensor([2]), math.nan), "found NaN"),
    "infinity": (SOUND.index_fill(1, torch.tensor([1]), math.inf), "expected log-probabilities"),
    "a batch": (SOUND.unsqueeze(0), r"expected the shape \(frames, tokens\), found \(1, 5, 4\)"),
    "no tokens": (SOUND[:, :0], r"expected the shape \(frames, tokens\), found \(5, 0\)"),
    "integers": (SOUND.long(), "expected floating point numbers, found torch.int64"),
}


@pytest.mark.parametrize(("log_probs", "fault"), NO_LOG_PROBS.values(), ids=list(NO_LOG_PROBS))
def test_every_decoder_refuses_what_is_no_log_probs(log_probs: Tensor, fault: str) -> None:
    fusion = Fusion(TABLE, hotwords={"A": 1.0})
    for decode in (
        greedy_search,
        lambda emissions: beam_search(emissions, 4),
        lambda emissions: search(emissions, SearchConfig(4), fusion),
        lambda emissions: viterbi_align(emissions, [1]),
    ):
        with pytest.raises(ConfigError, match=f"log_probs: {fault}"):
            decode(log_probs)


def test_certainty_and_no_frames_are_decoded() -> None:
    certain = torch.eye(4)[[2, 0, 3]].log()
    nothing = torch.zeros(0, 4)
    for decode in (greedy_search, lambda emissions: beam_search(emissions, 4)[0]):
        assert decode(certain).tokens == (2, 3)
        assert (decode(nothing).tokens, decode(nothing).log_score) == ((), 0.0)
    assert viterbi_align(certain, [2, 3]).log_score == 0.0
    assert viterbi_align(nothing, []).tokens == ()
    with pytest.raises(TextError, match="passes a token of probability 0"):
        viterbi_align(certain, [1])
    with pytest.raises(TextError, match=r"1 tokens need at least 1 frames .* there are 0"):
        viterbi_align(nothing, [1])


def test_other_numbers_of_tokens_are_refused() -> None:
    fusion = Fusion(TABLE, hotwords={"A": 1.0})
    with pytest.raises(ConfigError, match=r"expected 4 tokens, .* found 3"):
        search(torch.zeros(2, 3).log_softmax(1), SearchConfig(4), fusion)
    with pytest.raises(ConfigError, match=r"tokens: expected 1 to 2 .* found 3"):
        viterbi_align(torch.zeros(2, 3).log_softmax(1), [3])


def test_one_machine_code_serves_emissions_of_every_layout() -> None:
    by_token = SOUND.double().T.contiguous().T
    assert not by_token.is_contiguous()
    assert checked_emissions(by_token).flags.c_contiguous
    assert beam_search(by_token, 4) == beam_search(by_token.contiguous(), 4)


# The clock of an evaluation


def test_what_is_compiled_is_not_part_of_the_real_time_factor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recognizer = Recognizer.load(CHECKPOINT)
    events: list[str] = []

    def heard(log_probs: Tensor, config: SearchConfig, *known: Any) -> list[object]:
        events.append("search")
        return [*search(log_probs, config, *known)]

    def read(*arguments: object, **named: object) -> object:
        events.append("read")
        return sound

    sound = audio.read(SAMPLE.audio_filepath, recognizer.sample_rate)
    monkeypatch.setattr("asr.decode.decoder.search", heard)
    monkeypatch.setattr("asr.inference.recording.audio.read", read)

    def clock() -> float:
        events.append("clock")
        return 3.0 * events.count("clock")

    monkeypatch.setattr("asr.inference.evaluation.time", SimpleNamespace(perf_counter=clock))
    utterances = [Utterance(key, SAMPLE.audio_filepath, 1.0, "YES") for key in ("a", "b")]
    result = evaluate(recognizer, utterances, decoder=Decoder(SearchConfig(beam_size=4)))
    # Silence is searched before anything is timed, and all that is read and searched then is timed.
    assert events[:2] == ["search", "clock"]
    assert sorted(events[2:-1]) == ["read", "read", "search", "search"]
    assert events[-1] == "clock"
    assert result.hypotheses == {"a": "YES", "b": "YES"}
    duration = sum(t.duration_seconds for t in result.transcripts.values())
    assert result.real_time_factor == 3.0 / duration
