"""Resampling of streams and at odd rates agrees with resampling of the whole waveform."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.signal.dsp import resample
from asr.signal.resampling import resample_stream, sinc_resample
from tests.signal.test_audio import tone


@given(
    from_rate=st.sampled_from([8000, 11025, 22050, 44100, 48000, 7919]),
    to_rate=st.sampled_from([8000, 16000, 22050]),
    length=st.integers(1, 30000),
    piece=st.integers(1000, 9000),
)
@settings(max_examples=25)
def test_a_stream_resamples_as_the_whole(
    from_rate: int, to_rate: int, length: int, piece: int
) -> None:
    waveform = torch.randn(length, generator=torch.Generator().manual_seed(length))
    joined = torch.cat(list(resample_stream(torch.split(waveform, piece), from_rate, to_rate)))
    whole = torch.cat(list(resample_stream([waveform], from_rate, to_rate)))
    assert len(joined) == math.ceil(length * to_rate / from_rate)
    torch.testing.assert_close(joined, whole, atol=5e-6, rtol=0)


@pytest.mark.parametrize("rates", [(8000, 16000), (48000, 16000), (44100, 16000), (16000, 12000)])
def test_direct_interpolation_agrees_with_the_filter_bank(rates: tuple[int, int]) -> None:
    waveform = torch.randn(5003, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        sinc_resample(waveform, *rates), resample(waveform, *rates), atol=1e-4, rtol=0
    )


def test_a_tone_at_an_odd_rate_stays_the_tone() -> None:
    resampled = sinc_resample(torch.from_numpy(tone(22222, 11111)[:, 0]).float(), 11111, 16000)
    np.testing.assert_allclose(
        resampled.numpy()[200:-200], tone(32000, 16000)[200:-200, 0], atol=2e-3
    )
