"""The command reference says what the commands say."""

import re
from typing import Any

import pytest

from docs.commands import OUTPUT, anchor, context_of, render, verbs

VERBS = list(verbs())


def test_reference_is_what_the_commands_say() -> None:
    assert OUTPUT.read_text(encoding="utf-8") == render(), (
        f"{OUTPUT} is out of date; run: python -m docs.commands"
    )


@pytest.mark.parametrize(("path", "command"), VERBS, ids=lambda value: str(value))
def test_every_command_and_option_is_in_the_reference(path: tuple[str, ...], command: Any) -> None:
    text = OUTPUT.read_text(encoding="utf-8")
    section = text.partition(f"## asr {' '.join(path)}\n")[2].partition("\n## ")[0]
    rows = section.replace("-", "_")

    assert f"](#{anchor(path)})" in text
    for parameter in command.get_params(context_of(path)):
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            assert any(option.replace("-", "_") in rows for option in parameter.opts), parameter


def test_a_twin_that_differs_in_hyphens_is_named_once() -> None:
    section = render().partition("## asr train\n")[2].partition("\n## ")[0]

    assert re.findall("--find.batch", section) == ["--find_batch"]
