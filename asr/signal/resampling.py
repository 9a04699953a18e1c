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


class Resampler:
    """Resamples one waveform that comes in `(S,)` pieces of any sizes.

    What it returns, joined, is the result of resampling the joined input:
    `ceil(S · to_rate / from_rate)` samples. Memory use is bounded by the largest piece plus a
    second of audio.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._from_rate, self._to_rate = from_rate, to_rate
        divisor = math.gcd(from_rate, to_rate)
        # `_step` samples become `_hop` samples
        self._step, self._hop = from_rate // divisor, to_rate // divisor
        reach = 2 * _reach(from_rate, to_rate)
        self._margin = -(-reach // self._step) * self._step
        # `_held` is a window of the input; its first `_done` samples are resampled already and
        # serve as left context. Both stay multiples of `_step`, where input and output samples
        # coincide, so that positions in the output are exact integers.
        self._held, self._done = torch.empty(0), 0

    def feed(self, piece: Tensor) -> Tensor:
        """The samples `(S',)` that the next piece completes."""
        if self._from_rate == self._to_rate:
            return piece
        self._held = torch.cat((self._held, piece))
        ready = (len(self._held) - self._margin) // self._step * self._step
        if ready <= self._done:
            return torch.empty(0)
        resampled = self._resampled(self._held[: ready + self._margin], ready)
        drop = max(0, ready - self._margin)
        self._held, self._done = self._held[drop:], ready - drop
        return resampled

    def finish(self) -> Tensor:
        """The last samples `(S',)`, when the waveform has ended."""
        if len(self._held) <= self._done:
            return torch.empty(0)
        return self._resampled(self._held, None)

    def _resampled(self, waveform: Tensor, end: int | None) -> Tensor:
        """From the first sample that is not done to before `end`, resampled."""
        resampled = _resample(waveform, self._from_rate, self._to_rate)
        last = None if end is None else end // self._step * self._hop
        return resampled[self._done // self._step * self._hop : last]


def resample_stream(pieces: Iterable[Tensor], from_rate: int, to_rate: int) -> Iterator[Tensor]:
    """Resample consecutive `(S,)` pieces of one waveform to pieces of the resampled waveform."""
    resampler = Resampler(from_rate, to_rate)
    for piece in pieces:
        if len(resampled := resampler.feed(piece)):
            yield resampled
    if len(resampled := resampler.finish()):
        yield resampled


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
    """Band-limited interpolation of `(S,)` between any two rates in Hz.

    Hann-windowed sinc after J. O. Smith, "Digital Audio Resampling" (1984): the filter of
    `dsp.resample`, but with the weights computed for each output sample. For 11,111 Hz to 16,000 Hz
    a bank with a filter for each phase would take gigabytes.
    """
    cutoff = _ROLLOFF * min(1.0, to_rate / from_rate)
    reach = _reach(from_rate, to_rate)
    taps = torch.arange(-reach, reach + 1)
    windows = torch.nn.functional.pad(waveform, (reach, reach)).unfold(0, len(taps), 1)
    length = -(-len(waveform) * to_rate // from_rate)
    output = torch.empty(length)
    for start in range(0, length, _CHUNK_VALUES // len(taps)):
        index = torch.arange(start, min(length, start + _CHUNK_VALUES // len(taps)))
        centre = index * from_rate // to_rate
        # From exact integers, because float times of late samples would lose their low bits.
        fraction = (index * from_rate % to_rate).double() / to_rate
        time = cutoff * (taps - fraction[:, None]).clamp(
            -_ZERO_CROSSINGS / cutoff, _ZERO_CROSSINGS / cutoff
        )
        weights = cutoff * torch.sinc(time) * torch.cos(time * (math.pi / 2 / _ZERO_CROSSINGS)) ** 2
        output[start : start + len(index)] = (windows[centre] * weights.float()).sum(dim=1)
    return output
