"""One command of `sam3dseg-train`, as fields to fill in and as the command line that they stand for. No Qt."""

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
# Kinds of values; those of the first line are asked for by dialogs.
FOLDER, NEW_FOLDER, FOLDERS, NEW_FILE, MODEL = "folder", "new folder", "folders", "new file", "model"
NUMBER, TEXT, LIST, CHOICE = "number", "text", "list", "choice"


@dataclass(frozen=True)
class Field:
    """One setting to fill in. template holds the words that it becomes, "{}" being the value; help is one line."""

    name: str
    kind: str
    template: tuple[str, ...]
    default: str = ""
    isRequired: bool = False
    choices: tuple[str, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class Command:
    """One command of `sam3dseg-train`. isRead: its fields are those that the program states."""

    name: str
    help: str = ""
    fields: tuple[Field, ...] = ()
    isRead: bool = False

    def arguments(self, values: Mapping[str, str], extra: str = "") -> list[str]:
        """The words after `sam3dseg-train`. values: by field name; extra: further words, quoted as in a shell.

        Raises FieldError naming what is missing or no number, ValueError for further words that cannot be read.
        """
        words = [self.name]
        for field in self.fields:
            value = str(values.get(field.name, "")).strip()
            if not value and field.isRequired:
                raise FieldError(field.name, "missing", value)
            if value and field.kind == NUMBER:
                _checkNumber(field.name, value)
            if value:
                words += _wordsOf(field, value)
        try:
            return words + shlex.split(extra, posix=sys.platform != "win32")
        except ValueError as error:
            raise ValueError(f"the further arguments cannot be read ({error}): close every quote") from error


class FieldError(ValueError):
    """A field that is "missing" or "no number"."""

    def __init__(self, field: str, problem: str, value: str) -> None:
        super().__init__(f"{field} is {problem}: {value!r}")
        self.field, self.problem, self.value = field, problem, value


def commandLine(arguments: Sequence[str]) -> str:
    """What to type in a terminal for the same."""
    words = [PROGRAM, *arguments]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def runFolderOf(arguments: Sequence[str]) -> Path | None:
    """The folder that a command writes to, as `--out FOLDER` or `out=FOLDER` say it."""
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


def _wordsOf(field: Field, value: str) -> list[str]:
    parts = [value]
    if field.kind == FOLDERS:
        parts = value.split("\n")
        if len(parts) > 1 and field.template != ("{}",):
            parts = [f"[{','.join(map(_quoted, parts))}]"]
    elif field.kind == LIST and not value.startswith("["):
        parts = [f"[{value}]"]
    return [word.format(part) for part in parts for word in field.template]


def _quoted(text: str) -> str:
    """An item of a list, quoted where the list could not be read otherwise."""
    return "'" + text.replace("'", "\\'") + "'" if re.search(r"[\[\],'\"]", text) else text


def _outOf(arguments: Sequence[str]) -> Path | None:
    path = optionOf(arguments, "out", "o")
    return Path(path) if path else None


def _checkNumber(name: str, value: str) -> None:
    try:
        float(value)
    except ValueError:
        raise FieldError(name, "no number", value) from None
