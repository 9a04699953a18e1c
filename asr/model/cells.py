"""Recurrent cells by name; a new fused cell is one more line of the table."""

from collections.abc import Callable

from torch import nn

FUSED_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
"""Cells whose whole time loop is one library call: LSTM (Hochreiter & Schmidhuber 1997),
GRU (Cho et al. 2014), RNN with tanh (Elman 1990)."""
