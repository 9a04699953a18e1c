"""Chunks of a stream: what an encoder that only reads forwards makes of them."""

import pytest
import torch
from torch import Tensor

from asr.checkpoint.checkpoint import Checkpoint
from asr.decode.decoder import Decoder
from asr.inference.recognizer import Recognizer
from asr.model.acoustic import AcousticModel, EncoderConfig
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.text.tokens import TokenTable

RATE = 8000
ENCODER = EncoderConfig(
    bidirectional=False, layers=2, hidden=8, projection=8, convolution_channels=4, dropout=0.0
)


def recognizer_of(encoder: EncoderConfig, stack: int) -> Recognizer:
    torch.manual_seed(0)
    features = FeatureConfig(
        sample_rate=RATE, num_mels=16, high_hz=3800.0, normalise="none", stack=stack
    )
    model = AcousticModel(encoder, features.num_features, 3)
    checkpoint = Checkpoint({}, {}, {}, None)
    tokens = TokenTable(("A", "B"))
    return Recognizer(FeatureExtractor(features), model, tokens, torch.device("cpu"), checkpoint)


@pytest.mark.parametrize(("subsampling", "stack"), [(1, 1), (2, 1), (3, 1), (4, 1), (2, 2), (0, 3)])
def test_without_right_context_emissions_are_those_of_the_whole(
    subsampling: int, stack: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where features are not normalised and the context on the left is all there is."""
    convolution = {"subsampling": subsampling} if subsampling else {"convolution_channels": 0}
    encoder = EncoderConfig(**{**vars(ENCODER), "subsampling": 1, **convolution})
    recognizer = recognizer_of(encoder, stack)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4 * RATE, generator=generator)
    waveform = torch.cat([1e-4 * noise[:RATE], 0.1 * noise[RATE:]])
    starts: list[int] = []
    parts: list[Tensor] = []
    encode = recognizer.encode

    def watched(windows: object) -> list[Tensor]:
        found = encode(windows)  # type: ignore[arg-type]
        starts.extend(window.start for window in windows)  # type: ignore[attr-defined]
        parts.extend(found)
        return found

    monkeypatch.setattr(recognizer, "encode", watched)
    stream = recognizer.stream(decoder=Decoder(), step_seconds=0.3, right_context_seconds=0)
    stream.feed(waveform, RATE)
    streamed = torch.cat(parts)
    assert len(parts) > 5

    unit = recognizer.windows.unit
    features = recognizer.extractor(waveform[starts[0] * unit :])
    with torch.inference_mode():
        whole = recognizer.model(features[None], torch.tensor([len(features)]))[0][0]
    # The first two windows of features reach back to where the stretch of speech begins.
    torch.testing.assert_close(streamed, whole[: len(streamed)], atol=1e-5, rtol=0)
