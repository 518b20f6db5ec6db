from __future__ import annotations

from pathlib import Path

import pytest

from sam3dseg_training import cli
from SAM3DSegmentLib.Page.TrainingCommands import (
    CHOICE,
    FOLDER,
    FOLDERS,
    LIST,
    NUMBER,
    TEXT,
    Command,
    FieldError,
    commandLine,
    exportArguments,
    optionOf,
    resultOf,
    runFolderOf,
)
from SAM3DSegmentLib.Page.TrainingSettings import KNOWN, readCommands, withFields

OVERVIEW = """usage: sam3dseg-train {prepare,fit,export} key=value …

commands:
  prepare     check a folder of cases and keep what training needs
  fit         fine-tune a model on prepared cases
  export      write a trained model as a file that the effect loads
"""
FIT = """usage: sam3dseg-train fit key=value …

Fine-tune a model by simulated clicks.

examples:
  sam3dseg-train fit data=cache out=runs/mine minutes=20

settings:
  out
      folder of the run (a text; needed)
  model
      embedded, a weights file, or a name of the catalogue (a text; default 'embedded')
  tune
      what is trained (lora | full | decoder | encoder; default 'lora')
  minutes
      length of the schedule in minutes of training (a number; default 20.0)
  data.path
      folder written by `sam3dseg-train prepare` (a text; needed)
  data.labels
      labels to train on, by name; empty: each label (a list like [a,b] of text values; default [])
  data.crop
      window size in voxels (0: the network's own) (a whole number; default 0)
  lora.norms
      train normalisation layers as they are (true or false; default True)
  secret
      of a kind that nobody knows here (a whole number; needed)

  config=FILE
      start from the config.yaml beside a run
"""
PREPARE = """
settings:
  data
      folders of cases; several are joined (a list like [a,b] of text values; needed)
  out
      folder of the cache (a text; needed)
"""
EXPORT = """
settings:
  runs
      run folders (a list like [a,b] of text values; needed)
  out
      the .safetensors file to write (a text; needed)
"""
SYNTHETIC = withFields(Command("synthetic"), cli.explanation("synthetic"))


def textOf(capsys, *words: str) -> str:
    """What the real program prints."""
    try:
        cli.main(words)
    except SystemExit as end:
        assert end.code == 0
    return capsys.readouterr().out


def test_the_commands_are_those_of_the_program(capsys):
    found = readCommands(textOf(capsys, "--help"))
    assert {"synthetic", "export"} <= {command.name for command in found} <= {command.name for command in KNOWN}
    assert all(command.help for command in found)


def test_every_command_of_the_program_has_fields(capsys, tmp_path):
    for command in readCommands(textOf(capsys, "--help")):
        read = withFields(command, textOf(capsys, command.name, "--help"))
        needed = {field.name for field in read.fields if field.isRequired}
        assert "out" in needed
        values = {field.name: field.default or (str(tmp_path) if field.isRequired else "") for field in read.fields}
        assert read.arguments(values)[0] == command.name


def test_a_text_without_commands_leaves_what_is_known():
    assert [command.name for command in readCommands(OVERVIEW)] == ["prepare", "fit", "export"]
    assert readCommands(OVERVIEW)[1].help == "fine-tune a model on prepared cases"
    assert readCommands("Traceback: broken") == KNOWN
    five = [command.name for command in KNOWN][:5]
    assert five == ["prepare", "fit", "evaluate", "visualize", "export"]


def test_fields_are_taken_from_the_program():
    fit = withFields(Command("fit", "train"), FIT)
    assert fit.isRead
    fields = {field.name: field for field in fit.fields}
    assert list(fields) == ["data.path", "data.labels", "model", "tune", "minutes", "out", "secret"]
    assert [fields[name].kind for name in ("data.path", "data.labels", "tune", "minutes", "secret")] == [
        FOLDER,
        LIST,
        CHOICE,
        NUMBER,
        NUMBER,
    ]
    assert fields["tune"].choices == ("lora", "full", "decoder", "encoder")
    assert (fields["tune"].default, fields["minutes"].default, fields["data.labels"].default) == ("lora", "20", "")
    assert [name for name, field in fields.items() if field.isRequired] == ["data.path", "out", "secret"]
    assert fields["model"].help == "embedded, a weights file, or a name of the catalogue"


def test_a_picked_field_that_the_program_does_not_have_is_left_out():
    fields = withFields(Command("fit"), FIT.replace("  minutes\n", "  hours\n")).fields
    assert "minutes" not in [field.name for field in fields]


def test_a_command_that_nobody_knows_has_the_fields_that_it_needs():
    (out, data) = sorted(withFields(Command("teach"), PREPARE).fields, key=lambda field: field.name, reverse=True)
    assert (out.name, out.kind) == ("out", TEXT)
    assert (data.name, data.kind) == ("data", LIST)
    assert withFields(Command("teach"), "usage: nothing more") == Command("teach")


def test_arguments_with_keys():
    fit = withFields(Command("fit"), FIT)
    values = {"data.path": "/my cache", "data.labels": "left,right", "out": "/run", "secret": "3", "minutes": "5"}
    assert fit.arguments(values, "lora.rank=16") == [
        "fit",
        "data.path=/my cache",
        "data.labels=[left,right]",
        "minutes=5",
        "out=/run",
        "secret=3",
        "lora.rank=16",
    ]


def test_several_folders():
    prepare = withFields(Command("prepare"), PREPARE)
    assert prepare.fields[0].kind == FOLDERS
    assert prepare.arguments({"data": "/a", "out": "/c"}) == ["prepare", "data=/a", "out=/c"]
    assert prepare.arguments({"data": "/a\n/b b", "out": "/c"})[1] == "data=[/a,/b b]"
    assert prepare.arguments({"data": "/a\n/it's, b", "out": "/c"})[1] == r"data=[/a,'/it\'s, b']"
    export = withFields(Command("export"), EXPORT)
    assert export.arguments({"runs": "/a\n/b", "out": "/m.safetensors"}) == ["export", "/a", "/b", "out=/m.safetensors"]


def test_a_program_that_does_not_list_its_settings():
    plain = withFields(Command("fit"), "usage: no settings")
    assert plain.fields == () and not plain.isRead
    assert plain.arguments({}, "data=cache out='a run'") == ["fit", "data=cache", "out=a run"]
    assert commandLine(["fit", "out=/r un"]) == "sam3dseg-train fit 'out=/r un'"


@pytest.mark.parametrize(
    ("values", "field", "problem"),
    [({}, "out", "missing"), ({"out": "r", "minutes": "soon"}, "minutes", "no number")],
)
def test_what_is_missing_or_wrong_is_named(values, field, problem):
    with pytest.raises(FieldError) as caught:
        SYNTHETIC.arguments(values)
    assert (caught.value.field, caught.value.problem) == (field, problem)


def test_an_open_quote_is_named():
    with pytest.raises(ValueError, match="close every quote"):
        SYNTHETIC.arguments({"out": "r"}, "'open")


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
