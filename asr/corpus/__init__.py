"""Corpora: from manifests and other tools' formats to batches for training.

In: manifests (JSON lines), as files or URLs, their recordings as files or in tar shards, and
corpora in the layouts of Kaldi, Lhotse, LibriSpeech or CSV tables (`importers`, `table`, `lhotse`).
Out: utterances (`manifest`), their waveforms (`recordings`), checks that they can be trained on
(`check`), and padded batches of features and targets (`dataset`, `sampler`, `loader`).
"""
