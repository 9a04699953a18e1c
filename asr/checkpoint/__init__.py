"""Checkpoint folders: written atomically, verified when read, found by name.

In: a trained model's settings and weights (`checkpoint.save_checkpoint`), or a path or the name of
a shipped checkpoint (`registry.find_checkpoint`). Out: a verified `checkpoint.Checkpoint`, its own
language model (`language_model.own_language_model`), its model card and its description.
"""
