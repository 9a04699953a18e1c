"""The order of the rooms, and what no file of the project may do."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOMS = """
version errors printing files config compiled signal text corpus model language decode scoring
checkpoint training inference tuning export serve __init__ cli __main__
""".split()
"""From the ground up: a file imports from its own room and from those named before it. The face
of the package, `asr/__init__.py`, stands where the rooms that it opens are all known."""

PACKAGE = sorted((REPOSITORY / "asr").rglob("*.py"))
PRODUCT = [*PACKAGE, *sorted((REPOSITORY / "recipes").rglob("*.py"))]


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room_of(path: Path) -> str:
    first = path.relative_to(REPOSITORY / "asr").parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, wherever in it, and their lines."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}, line {node.lineno}: a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            (name,) = node.args
            assert isinstance(name, ast.Constant), f"{relative(path)}: imports a computed name"
            yield str(name.value), node.lineno


def _called(call: ast.Call) -> str:
    """The last part of a called name: `load` of `torch.load(...)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def room_imported(name: str) -> str | None:
    """The room of a dotted name; None for another package."""
    package, _, rest = name.partition(".")
    if package != "asr":
        return None
    room = rest.partition(".")[0]
    is_room = any((REPOSITORY / "asr" / f"{room}{suffix}").exists() for suffix in ("", ".py"))
    return room if room and is_room else "__init__"


def test_every_file_stands_in_a_known_room() -> None:
    assert len(PACKAGE) > 20
    assert {room_of(path) for path in PACKAGE} <= set(ROOMS)


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_file_imports_from_its_own_room_or_rooms_before_it(path: Path) -> None:
    here = ROOMS.index(room_of(path))
    for name, line in imported(path):
        room = room_imported(name)
        assert room is None or ROOMS.index(room) <= here, (
            f"{relative(path)}, line {line}: {name} is of a later room than {room_of(path)}"
        )


def test_one_file_imports_torchaudio() -> None:
    importers = {
        relative(path)
        for path in PRODUCT
        for name, _ in imported(path)
        if name.partition(".")[0] == "torchaudio"
    }

    assert importers == {"asr/signal/dsp.py"}


def test_package_knows_nothing_of_recipes_and_tests() -> None:
    for path in PACKAGE:
        for name, line in imported(path):
            assert name.partition(".")[0] not in ("recipes", "tests"), f"{relative(path)}, {line}"


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Ways to run what stands in a file of data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            for alias in node.names:
                name = module or alias.name
                if name.partition(".")[0] in FORBIDDEN_MODULES:
                    yield f"line {node.lineno}: imports {name}"
        elif isinstance(node, ast.Call):
            yield from _unsafe_call(node)


def _unsafe_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    constants = {
        keyword.arg: keyword.value.value
        for keyword in call.keywords
        if isinstance(keyword.value, ast.Constant)
    }
    given = {keyword.arg for keyword in call.keywords}
    if name in FORBIDDEN_CALLS or name in ("os.system", "os.popen"):
        yield f"line {call.lineno}: calls {name}"
    if name == "torch.load" and constants.get("weights_only") is not True:
        yield f"line {call.lineno}: torch.load without weights_only=True"
    if constants.get("allow_pickle", False) or constants.get("shell", False):
        yield f"line {call.lineno}: {name} with allow_pickle or shell"
    if name.startswith("yaml.") and name != "yaml.safe_load":
        yield f"line {call.lineno}: {name}"
    if _called(call) in ("extract", "extractall") and "filter" not in given:
        yield f"line {call.lineno}: {name} without a filter"


@pytest.mark.parametrize("path", PRODUCT, ids=relative)
def test_no_file_runs_what_it_reads(path: Path) -> None:
    assert list(unsafe(tree_of(path))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import os.path, joblib",
        "eval(text)",
        "def f():\n    exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "numpy.load(path, allow_pickle=True)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
        "yaml.load(text)",
        "archive.extractall(folder)",
    ],
)
def test_unsafe_code_would_be_found(code: str) -> None:
    assert len(list(unsafe(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code",
    ["model.eval()", "torch.load(path, weights_only=True)", "re.compile(pattern)"],
)
def test_safe_code_is_let_be(code: str) -> None:
    assert list(unsafe(ast.parse(code))) == []


_SCORE_HELP = """
import runpy
sys.argv = ["asr", "score", "--help"]
try:
    runpy.run_module("asr", run_name="__main__")
except SystemExit as end:
    assert end.code == 0, end.code
"""


@pytest.mark.parametrize(
    "code", ["import asr", "import asr.cli.main", _SCORE_HELP], ids=["asr", "cli", "score --help"]
)
def test_torch_is_not_imported_before_it_is_needed(code: str) -> None:
    check = "heavy = {'torch', 'torchaudio', 'soundfile', 'matplotlib'} & sys.modules.keys()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{check}\nassert not heavy, heavy"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
