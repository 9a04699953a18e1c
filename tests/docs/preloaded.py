"""Imported once by the process from which the commands of the guides are forked.

What takes each of them seconds (importing torch, loading the compiled search) is done here.
"""

import matplotlib.figure  # noqa: F401
import torch
import torch.utils.tensorboard

import asr
import asr.cli.main
import asr.inference.evaluation
import asr.training.run
import asr.tuning.report

torch.set_num_threads(1)  # no thread may run while commands are forked
asr.load("english").transcribe(torch.zeros(16_000), 16_000)
