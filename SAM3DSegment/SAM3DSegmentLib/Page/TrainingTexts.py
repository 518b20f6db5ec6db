"""Names of what is filled in for a training, in the user's language."""

from __future__ import annotations

from slicer.i18n import tr as _

from .TrainingCommands import FieldError


def label(command: str, name: str) -> str:
    """Of a field; settings without a name of their own are shown by their key."""
    if name == "out":
        return _outLabel(command)
    words = {
        "data": _("Cases") if command == "prepare" else _("Prepared cases"),
        "data.path": _("Prepared cases"),
        "labels": _("Labels"),
        "data.labels": _("Labels"),
        "model": _("Start from") if command == "fit" else _("Model"),
        "baseline": _("Compare with"),
        "tune": _("What is trained"),
        "minutes": _("Minutes"),
        "clicks": _("Clicks"),
        "runs": _("Run folder"),
        "reports": _("Report folders"),
        "form": _("Kind of file"),
        "licence": _("Licence"),
        "init": _("Start from run"),
        "label_maps": _("Label maps"),
    }
    return words.get(name, name)


def problem(command: str, error: FieldError) -> str:
    if error.problem == "missing":
        return _("Fill in: {label}").format(label=label(command, error.field))
    return _("{label} must be a number, not {value}").format(label=label(command, error.field), value=error.value)


def _outLabel(command: str) -> str:
    words = {
        "prepare": _("Folder for them"),
        "evaluate": _("Report folder"),
        "visualize": _("Picture folder"),
        "export": _("Model file"),
        "fewshot": _("Picture file"),
    }
    return words.get(command, _("Run folder"))
