"""What `sam3dseg-train` can do, as forms to fill in and as the command line they stand for. No Qt.

The list of commands comes from `sam3dseg-train --help`; FORMS adds fields for those whose arguments are known here.
A command without a form is started with the arguments that the user types.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

PROGRAM = "sam3dseg-train"
MODULE = "sam3dseg_training.cli"
RUN_STATE = "last.pt"  # in the folder of a run that can be exported
FOLDER, NEW_FOLDER, FOLDERS, NEW_FILE, NUMBER = "folder", "new folder", "folders", "new file", "number"


@dataclass(frozen=True)
class Field:
    """One value to fill in. template holds the words it becomes, "{}" being the value."""

    name: str
    label: str
    kind: str
    template: tuple[str, ...]
    default: str = ""
    isRequired: bool = False


@dataclass(frozen=True)
class Command:
    """One command of `sam3dseg-train`."""

    name: str
    help: str = ""
    fields: tuple[Field, ...] = ()

    def arguments(self, values: Mapping[str, str], extra: str = "") -> list[str]:
        """The words after `sam3dseg-train`. values: by field name; extra: further words, quoted as in a shell.

        Raises ValueError naming what is missing or cannot be read.
        """
        words = [self.name]
        for field in self.fields:
            value = str(values.get(field.name, "")).strip()
            if not value and field.isRequired:
                raise ValueError(f"{field.label} is needed")
            if value and field.kind == NUMBER:
                _checkNumber(field.label, value)
            if value:
                parts = value.split("\n") if field.kind == FOLDERS else [value]
                words += [word.format(part) for part in parts for word in field.template]
        try:
            return words + shlex.split(extra, posix=sys.platform != "win32")
        except ValueError as error:
            raise ValueError(f"the further arguments cannot be read ({error}): close every quote") from error


FORMS: dict[str, tuple[Field, ...]] = {
    "synthetic": (
        Field("run", "Run folder", NEW_FOLDER, ("--out", "{}"), isRequired=True),
        Field("init", "Start from run", FOLDER, ("--init", "{}")),
        Field("data", "Label maps", FOLDER, ("--label-maps", "{}")),
        Field("minutes", "Minutes", NUMBER, ("--minutes", "{}"), "60"),
    ),
    "export": (
        Field("run", "Run folder", FOLDERS, ("{}",), isRequired=True),
        Field("result", "Model file", NEW_FILE, ("--out", "{}"), isRequired=True),
    ),
}
KNOWN = (
    Command("synthetic", "train the embedded model on made-up volumes", FORMS["synthetic"]),
    Command("export", "write a trained model as a file that the effect loads", FORMS["export"]),
)


def readCommands(help_: str) -> tuple[Command, ...]:
    """The commands listed in the text of `sam3dseg-train --help`; KNOWN when it lists none."""
    listed = re.search(r"\{([\w,-]+)\}", help_)
    if listed is None:
        return KNOWN
    names = listed.group(1).split(",")
    return tuple(Command(name, _helpOf(name, help_), FORMS.get(name, ())) for name in names)


def commandLine(arguments: Sequence[str]) -> str:
    """What to type in a terminal for the same."""
    words = [PROGRAM, *arguments]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def runFolderOf(arguments: Sequence[str]) -> Path | None:
    """The folder that a command writes its run to, as `--out FOLDER` or `out=FOLDER` say it."""
    path = _outOf(arguments)
    return path if path is not None and path.suffix != ".safetensors" else None


def resultOf(arguments: Sequence[str]) -> Path | None:
    """The model file that a command writes, if it writes one."""
    path = _outOf(arguments)
    return path if path is not None and path.suffix == ".safetensors" else None


def exportArguments(run: Path) -> list[str]:
    """The command that turns a run into a model file beside it."""
    return ["export", str(run), "--out", str(run / f"{run.name}.safetensors")]


def optionOf(arguments: Sequence[str], *names: str) -> str:
    """The value given as `--name value`, `--name=value`, `-n value` or `name=value` for one of `names`, else ""."""
    for word, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = word.lstrip("-").partition("=")
        if name in names and (equals or word.startswith("-")):
            return value if equals else following
    return ""


def _outOf(arguments: Sequence[str]) -> Path | None:
    path = optionOf(arguments, "out", "o")
    return Path(path) if path else None


def _helpOf(name: str, help_: str) -> str:
    line = re.search(rf"^ +{re.escape(name)} {{2,}}(\S.*)$", help_, re.MULTILINE)
    return line.group(1).strip() if line else ""


def _checkNumber(label: str, value: str) -> None:
    try:
        float(value)
    except ValueError:
        raise ValueError(f"{label} must be a number, not {value!r}") from None
