"""Resampling of a stream piece by piece, also at rates whose ratio is not a simple fraction.

A windowed sinc filter has finite length, so a piece resampled with enough context on both sides
gives the same samples as the whole waveform would.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99
"""The filter of `dsp.resample`: zero crossings on each side, cut-off as a share of Nyquist."""

_MAX_FILTER_BANK = 1 << 20
"""`dsp.resample` stores a filter for each phase; above this size they are computed on the fly."""

_CHUNK_VALUES = 1 << 20


def resample_stream(pieces: Iterable[Tensor], from_rate: int, to_rate: int) -> Iterator[Tensor]:
    """Resample consecutive `(..., S)` pieces of waveforms to pieces of the resampled waveforms.

    Joined, they are the result of resampling the joined input: `ceil(S · to_rate / from_rate)`
    samples. Memory use is bounded by the largest piece plus a second of audio.
    """
    if from_rate == to_rate:
        yield from pieces
        return
    divisor = math.gcd(from_rate, to_rate)
    step, hop = from_rate // divisor, to_rate // divisor  # `step` samples become `hop` samples
    reach = 2 * _reach(from_rate, to_rate)
    margin = -(-reach // step) * step
    # `held` is a window of the input; its first `done` samples are resampled already and serve as
    # left context. Both stay multiples of `step`, where input and output samples coincide, so that
    # positions in the output are exact integers.
    held, done = torch.empty(0), 0
    for piece in pieces:
        held = torch.cat((held, piece), dim=-1) if held.numel() else piece
        ready = (held.shape[-1] - margin) // step * step
        if ready > done:
            resampled = _resample(held[..., : ready + margin], from_rate, to_rate)
            yield resampled[..., done // step * hop : ready // step * hop]
            drop = max(0, ready - margin)
            held, done = held[..., drop:], ready - drop
    if held.shape[-1] > done:
        yield _resample(held, from_rate, to_rate)[..., done // step * hop :]


def _reach(from_rate: int, to_rate: int) -> int:
    """Half the length of the filter, in samples at `from_rate`."""
    return math.ceil(_ZERO_CROSSINGS * max(1.0, from_rate / to_rate) / _ROLLOFF) + 1


def _resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    divisor = math.gcd(from_rate, to_rate)
    if (from_rate // divisor) * (to_rate // divisor) > _MAX_FILTER_BANK:
        return sinc_resample(waveform, from_rate, to_rate)
    from asr.signal.dsp import resample  # torchaudio takes a second to import: only if needed

    return resample(waveform, from_rate, to_rate)


def sinc_resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Band-limited interpolation of `(..., S)` between any two rates in Hz.

    Hann-windowed sinc after J. O. Smith, "Digital Audio Resampling" (1984): the filter of
    `dsp.resample`, but with the weights computed for each output sample. For 11,111 Hz to 16,000 Hz
    a bank with a filter for each phase would take gigabytes.
    """
    cutoff = _ROLLOFF * min(1.0, to_rate / from_rate)
    reach = _reach(from_rate, to_rate)
    taps = torch.arange(-reach, reach + 1)
    windows = torch.nn.functional.pad(waveform, (reach, reach)).unfold(-1, len(taps), 1)
    length = -(-waveform.shape[-1] * to_rate // from_rate)
    output = torch.empty(*waveform.shape[:-1], length)
    for start in range(0, length, _CHUNK_VALUES // len(taps)):
        index = torch.arange(start, min(length, start + _CHUNK_VALUES // len(taps)))
        centre = index * from_rate // to_rate
        # From exact integers, because float times of late samples would lose their low bits.
        fraction = (index * from_rate % to_rate).double() / to_rate
        time = cutoff * (taps - fraction[:, None]).clamp(
            -_ZERO_CROSSINGS / cutoff, _ZERO_CROSSINGS / cutoff
        )
        weights = cutoff * torch.sinc(time) * torch.cos(time * (math.pi / 2 / _ZERO_CROSSINGS)) ** 2
        output[..., start : start + len(index)] = (windows[..., centre, :] * weights.float()).sum(
            -1
        )
    return output
