"""The table of recurrent cells: every cell works as a layer."""

import pytest
import torch

from asr.model.cells import FUSED_CELLS
from asr.model.layers import FusedLayer


@pytest.mark.parametrize("cell", sorted(FUSED_CELLS))
def test_every_cell_maps_frames_to_hidden_states(cell: str) -> None:
    assert FusedLayer(cell, 3, 5)(torch.zeros(2, 4, 3)).shape == (2, 4, 5)
