"""How often a wider beam finds a worse hypothesis: `python -m tests.benchmarks.widening`.

A beam search is not monotone: a wider one may keep a prefix whose descendants crowd out what the
narrower one went on to find. Counted on the emissions of a checkpoint, without and with a 3-gram:
of the utterances, those whose best score is lower than at the beam half as wide, and by how much.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from asr.decode.beam import SearchConfig
from asr.decode.decoder import Decoder, build_decoder
from asr.decode.fusion import FusionConfig
from asr.inference.recognizer import Recognizer
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from tests.benchmarks.speech import Speech, encoded, sentences

BEAMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_ROUNDING = 1e-9


def main() -> None:
    """Markdown to stdout."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.widening", description=str(__doc__).split("\n\n")[0]
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/an4-blstm"))
    parser.add_argument("--manifest", type=Path, default=Path("data/an4/test.jsonl"))
    parser.add_argument("--train", type=Path, default=Path("data/an4/train.jsonl"))
    options = parser.parse_args()
    speech = encoded(Recognizer.load(options.checkpoint), options.manifest)
    with tempfile.TemporaryDirectory() as folder:
        arpa = Path(folder) / "words.arpa"
        write_arpa(arpa, estimate(sentences(options.train), 3).table)
        fusion = FusionConfig(lm_weight=0.4, word_bonus=2.5)
        print(f"{len(speech.emissions)} utterances, {speech.seconds:.0f} s")
        print(widen("No language model", speech, build_decoder(speech.table)))
        print(widen("Word 3-gram", speech, build_decoder(speech.table, fusion=fusion, lm=arpa)))


def widen(title: str, speech: Speech, decoder: Decoder) -> str:
    """A row for each beam, compared with the one before it; nothing is pruned but by rank."""
    lines = [
        f"\n{title}:\n",
        "| beam | WER % | score rises | falls | mean fall | more word errors | fewer |",
        "|---|---|---|---|---|---|---|",
    ]
    before: tuple[list[float], list[int]] | None = None
    for beam in BEAMS:
        wider = Decoder(SearchConfig(beam_size=beam), decoder.fusion)
        # Beam 1 without knowledge would be greedy search, whose score is another.
        if wider.is_greedy:
            continue
        best = [wider(torch.from_numpy(log_probs))[0] for log_probs in speech.emissions]
        texts = [speech.table.decode(hypothesis.tokens) for hypothesis in best]
        scores = [hypothesis.log_score for hypothesis in best]
        errors = speech.word_errors(texts)
        cells = ["", "", "", "", ""]
        if before:
            rises = [new - old for new, old in zip(scores, before[0], strict=True)]
            falls = [-rise for rise in rises if rise < -_ROUNDING]
            more = [new - old for new, old in zip(errors, before[1], strict=True)]
            rising, worse, better = (
                sum(r > _ROUNDING for r in rises),
                sum(m > 0 for m in more),
                sum(m < 0 for m in more),
            )
            mean = f"{sum(falls) / len(falls):.2g}" if falls else ""
            cells = [str(rising), str(len(falls)), mean, str(worse), str(better)]
        rate = 100 * speech.word_error_rate(texts)
        lines.append(f"| {beam} | {rate:.2f} | {' | '.join(cells)} |")
        before = scores, errors
    return "\n".join(lines)


if __name__ == "__main__":
    main()
