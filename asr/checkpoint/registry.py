"""Checkpoints by name: those that come with this package, found wherever it is installed.

In an installed wheel they lie in `asr/shipped/`; in a checkout (also one that is installed with
`pip install --editable`) in the folder `checkpoints/` beside the package.
"""

from pathlib import Path

from asr.checkpoint.run_folder import run_in_place_of_checkpoint
from asr.errors import CheckpointError

_PACKAGE = Path(__file__).resolve().parent.parent
_MARKER = "config.json"
_MAX_SHOWN = 120


def shipped_checkpoints() -> dict[str, Path]:
    """The folders of the checkpoints that come with this package, by their names, sorted."""
    folder = _PACKAGE / "shipped"
    if not folder.is_dir():
        checkout = _PACKAGE.parent
        # Beside an installed package lie other packages, one of which may be called `checkpoints`.
        folder = checkout / "checkpoints" if (checkout / "setup.cfg").is_file() else folder
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{_MARKER}"))}


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The folder that a user means: a path that exists, or else the name of a shipped checkpoint.

    What the folder holds is not looked at here. Raises CheckpointError, with the shipped names,
    where it is neither; below the folder of a training run, with the state of that.
    """
    path, failure = Path(name_or_path), ""
    try:
        if str(name_or_path) and path.exists():
            return path
    except (OSError, ValueError) as error:  # a name that is too long, or that holds a NUL
        failure = f" ({getattr(error, 'strerror', None) or error})"
    shipped = shipped_checkpoints()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    if not failure and (instead := run_in_place_of_checkpoint(path)):
        raise CheckpointError(f"{_printable(name_or_path)}: no checkpoint: {instead}")
    raise CheckpointError(
        f"{_printable(name_or_path)}: expected a checkpoint folder or the name of a shipped "
        f"checkpoint ({', '.join(shipped) or 'none is installed'}), found nothing{failure}"
    )


def writable_checkpoint(name_or_path: str | Path) -> Path:
    """The checkpoint folder that a user wants to change; as `find_checkpoint`, but only by path.

    Raises CheckpointError also on the bare name of a shipped checkpoint: a change of it would
    reach every user of this installation.
    """
    folder = find_checkpoint(name_or_path)
    if folder == Path(name_or_path):
        return folder
    raise CheckpointError(
        f"{name_or_path}: a shipped checkpoint, which is not changed by its name; copy it first "
        f"(cp -r {folder} my-{name_or_path}) and give the path of the copy (./my-{name_or_path})"
    )


def _printable(name: str | Path) -> str:
    """A name as it can be shown: short, and without control characters."""
    text = str(name)
    if text and len(text) <= _MAX_SHOWN and text.isprintable():
        return text
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")
