from __future__ import annotations

from pathlib import Path

import pytest

from sam3dseg_training.cli import COMMANDS, overview
from sam3dseg_training.configs.resolve import assignments, resolve
from SAM3DSegmentLib.Page.TrainingCommands import (
    KNOWN,
    Command,
    commandLine,
    exportArguments,
    optionOf,
    readCommands,
    resultOf,
    runFolderOf,
)

SYNTHETIC = {command.name: command for command in KNOWN}["synthetic"]


def resolved(words: list[str]):
    """What the program makes of a command line."""
    command = COMMANDS[words[0]]
    return resolve(command.config, assignments(words[1:], positional=command.positional, flags=command.flags))


def test_the_commands_are_those_of_the_program():
    found = {command.name: command for command in readCommands(overview())}
    assert list(found) == list(COMMANDS)
    assert all(command.help == COMMANDS[name].help for name, command in found.items())
    assert found["synthetic"].fields


def test_a_new_command_of_the_program_is_offered_without_a_form():
    help_ = "usage: x\n\ncommands:\n  {grind,polish}\n    grind   cases to a cache\n    polish       train\n"
    assert readCommands(help_) == (Command("grind", "cases to a cache"), Command("polish", "train"))
    assert readCommands("Traceback: broken") == KNOWN


def test_every_form_is_understood_by_the_program(tmp_path):
    for command in KNOWN:
        values = {field.name: field.default or str(tmp_path / field.name) for field in command.fields}
        assert resolved(command.arguments(values)).out == values.get("result", values["run"])


def test_arguments_of_a_form():
    words = SYNTHETIC.arguments({"run": "/r un", "minutes": "5"}, "--seed 3 --label-maps 'a b'")
    assert words == ["synthetic", "--out", "/r un", "--minutes", "5", "--seed", "3", "--label-maps", "a b"]
    assert commandLine(words[:3]) == "sam3dseg-train synthetic --out '/r un'"
    config = resolved(words)
    assert (config.minutes, config.seed, config.label_maps) == (5.0, 3, "a b")


@pytest.mark.parametrize(
    ("values", "extra", "message"),
    [
        ({}, "", "Run folder is needed"),
        ({"run": "r", "minutes": "soon"}, "", "Minutes must be a number, not 'soon'"),
        ({"run": "r"}, "'open", "close every quote"),
    ],
)
def test_what_is_missing_or_wrong_is_named(values, extra, message):
    with pytest.raises(ValueError, match=message):
        SYNTHETIC.arguments(values, extra)


def test_several_runs_are_exported_together():
    export = {command.name: command for command in KNOWN}["export"]
    words = export.arguments({"run": "a\nb", "result": "m.safetensors"})
    assert words == ["export", "a", "b", "--out", "m.safetensors"]


def test_where_a_command_writes():
    assert runFolderOf(["synthetic", "--out", "/run"]) == Path("/run")
    assert runFolderOf(["fit", "model=embedded", "out=/run"]) == Path("/run")
    assert resultOf(["synthetic", "--out", "/run"]) is None
    assert resultOf(["export", "/run", "-o", "/m.safetensors"]) == Path("/m.safetensors")
    assert resultOf(["--help"]) is runFolderOf(["--help"]) is None
    assert resultOf(exportArguments(Path("/runs/one"))) == Path("/runs/one/one.safetensors")


def test_options_in_every_spelling():
    assert optionOf(["fit", "--steps", "7"], "steps") == "7"
    assert optionOf(["fit", "--steps=7"], "steps") == optionOf(["fit", "steps=7"], "steps") == "7"
    assert optionOf(["fit", "steps", "7"], "steps") == optionOf(["fit", "--steps"], "steps") == ""
