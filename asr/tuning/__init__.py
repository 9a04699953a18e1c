"""How to decode with a checkpoint, found on a dev set."""
