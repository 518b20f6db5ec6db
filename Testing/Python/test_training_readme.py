"""Every command of Training/README.md is one that `sam3dseg-train` takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("hydra")

from sam3dseg_training.cli import COMMANDS
from sam3dseg_training.configs.resolve import assignments, resolve

FOLDER = Path(__file__).resolve().parents[2] / "Training"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The command lines of code blocks, and those in tables."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    lines = [
        line.strip() for line in blocks.splitlines() if "sam3dseg-train" in line or "sam3dseg_training.cli" in line
    ]
    listed = [f"sam3dseg-train {words}" for words in re.findall(r"`(fit [^`…]+)`", README)]
    lines = [line.replace("$n", "10") for line in lines + listed]
    return [re.sub(r"^.*?(sam3dseg-train|sam3dseg_training\.cli) ", "", line) for line in lines]


@pytest.mark.parametrize("line", commands())
def test_a_command_is_understood(line, tmp_path):
    name, *words = shlex.split(line, comments=True)
    if name == "--help" or words == ["--help"]:
        return
    command = COMMANDS[name]
    taken = [word for word in words if not word.startswith("config=")]
    if len(taken) < len(words):
        taken.append("data=cache")
    resolve(command.config, assignments(taken, positional=command.positional, flags=command.flags))


def test_all_commands_are_shown():
    assert {line.split()[0] for line in commands()} >= set(COMMANDS)


def test_named_settings_and_files_exist():
    from sam3dseg_training.configs.options import keys_of

    known = {key for command in COMMANDS.values() for key, _, _ in keys_of(command.config)}
    for key in re.findall(r"`(\w+(?:\.\w+)?)=[^`]*`", README):
        assert key in known | {"key", "data"}, key
    table = README.split("## Which file to change")[1]
    for name in re.findall(r"`([\w./]+(?:\.py|/))`", table):
        assert (FOLDER / "sam3dseg_training" / name).exists(), name
