"""A checkpoint folder: written whole, verified when read."""
