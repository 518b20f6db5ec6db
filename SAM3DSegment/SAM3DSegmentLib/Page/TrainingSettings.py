"""What `sam3dseg-train` can do, read from its `--help`. No Qt.

PICKED says which settings are worth a field, and how each is filled in; all others are typed as `key=value`.
"""

from __future__ import annotations

import ast
import re

from .TrainingCommands import CHOICE, FOLDER, FOLDERS, LIST, MODEL, NEW_FILE, NEW_FOLDER, NUMBER, TEXT, Command, Field

PICKED: dict[str, dict[str, str]] = {
    "prepare": {"data": FOLDERS, "out": NEW_FOLDER, "labels": LIST},
    "fit": {
        "data.path": FOLDER,
        "data.labels": LIST,
        "model": MODEL,
        "tune": CHOICE,
        "minutes": NUMBER,
        "out": NEW_FOLDER,
    },
    "evaluate": {
        "data": FOLDER,
        "labels": LIST,
        "model": MODEL,
        "baseline": MODEL,
        "clicks": NUMBER,
        "out": NEW_FOLDER,
    },
    "visualize": {
        "data": FOLDER,
        "labels": LIST,
        "model": MODEL,
        "baseline": MODEL,
        "clicks": NUMBER,
        "out": NEW_FOLDER,
    },
    "export": {"runs": FOLDERS, "out": NEW_FILE, "form": CHOICE, "licence": TEXT},
    "synthetic": {"out": NEW_FOLDER, "init": FOLDER, "label_maps": FOLDER, "minutes": NUMBER},
    "fewshot": {"reports": FOLDERS, "out": NEW_FILE},
}
FREE = {("export", "runs")}  # given without their key
KNOWN = tuple(Command(name) for name in PICKED)  # as long as the program has not answered


def readCommands(help_: str) -> tuple[Command, ...]:
    """The commands listed in the text of `sam3dseg-train --help`; KNOWN when it lists none."""
    listed = re.search(r"\{([\w,-]+)\}", help_)
    if listed is None:
        return KNOWN
    return tuple(Command(name, _helpOf(name, help_)) for name in listed.group(1).split(","))


def withFields(command: Command, help_: str) -> Command:
    """The command with fields for what its `--help` states: the settings in PICKED, and all that are needed."""
    settings = {field.name: field for field in _settings(help_)}
    picked = PICKED.get(command.name, {})
    names = [name for name in picked if name in settings]
    names += [name for name, field in settings.items() if field.isRequired and name not in picked]
    fields = tuple(_shaped(settings[name], command.name, picked.get(name, "")) for name in names)
    return Command(command.name, command.help, fields, isRead=bool(settings))


# One setting in the help: its key, and below it what it is (what it may hold; "needed" or its default).
SETTING = re.compile(r"^ {2}(\S+)\n {6}(.*) \(([^();]+); (?:(needed)|default (.*))\)$", re.MULTILINE)


def _settings(help_: str) -> list[Field]:
    """What the part "settings:" of a help text lists."""
    _before, _title, listed = help_.partition("\nsettings:\n")
    return [
        Field(
            name,
            _kindOf(allowed),
            (f"{name}={{}}",),
            default=_plain(default),
            isRequired=bool(needed),
            choices=tuple(allowed.split(" | ")) if " | " in allowed else (),
            help=purpose,
        )
        for name, purpose, allowed, needed, default in SETTING.findall(listed)
    ]


def _kindOf(allowed: str) -> str:
    if " | " in allowed:
        return CHOICE
    if allowed.startswith("a list"):
        return LIST
    return NUMBER if allowed in ("a number", "a whole number") else TEXT


def _shaped(field: Field, command: str, kind: str) -> Field:
    """The field, filled in as PICKED has it where that agrees with the program."""
    kind = field.kind if CHOICE in (kind, field.kind) else kind or field.kind
    template = ("{}",) if (command, field.name) in FREE else field.template
    return Field(field.name, kind, template, field.default, field.isRequired, field.choices, field.help)


def _plain(default: str) -> str:
    """A default as the help shows it, as one would type it."""
    try:
        value = ast.literal_eval(default)
    except (SyntaxError, ValueError):
        return default
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]" if value else ""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _helpOf(name: str, help_: str) -> str:
    line = re.search(rf"^ +{re.escape(name)} {{2,}}(\S.*)$", help_, re.MULTILINE)
    return line.group(1).strip() if line else ""
