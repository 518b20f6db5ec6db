"""The fields of one training command, made from its description."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from . import TrainingTexts as texts
from .TrainingCommands import CHOICE, FOLDERS, LIST, MODEL, NEW_FILE, NUMBER, TEXT, Command, Field, FieldError

SETTINGS = "SAM3DSegment/Training"


class TrainingForm:
    """`widget` is what to put into a layout. ask(kind) gives a path or ""; what is filled in is remembered."""

    def __init__(self, *, ask: Callable[[str], str] | None, onChanged: Callable[[], None]) -> None:
        self._ask, self._onChanged = ask or self._dialog, onChanged
        self._command = Command("")
        self.edits: dict[str, qt.QLineEdit | qt.QComboBox] = {}
        self.widget = qt.QWidget()
        self._outer = qt.QVBoxLayout(self.widget)
        self._outer.setContentsMargins(0, 0, 0, 0)
        self._rows: qt.QWidget | None = None
        self.extraEdit = self._edit("extra", "", _("further settings, as in a terminal"))
        self.extraEdit.setToolTip(_("Added to the command as they are; Explain lists what there is"))
        self._outer.addWidget(self.extraEdit)

    def setCommand(self, command: Command) -> None:
        """Show the fields of `command`, with what was filled in last time."""
        self._command = command
        if self._rows is not None:
            self._outer.removeWidget(self._rows)
            self._rows.setVisible(False)
            self._rows.deleteLater()
        self._rows = qt.QWidget()
        layout = qt.QFormLayout(self._rows)
        layout.setContentsMargins(0, 0, 0, 0)
        self.edits = {}
        for field in command.fields:
            self.edits[field.name] = edit = self._editOf(field)
            edit.setToolTip(field.help)
            layout.addRow(texts.label(command.name, field.name) + ":", self._row(field, edit))
        self._outer.insertWidget(0, self._rows)
        self.extraEdit.setText(self._kept("extra", ""))
        self._onChanged()

    def arguments(self) -> list[str]:
        """The words after `sam3dseg-train`; raises ValueError naming what is missing."""
        values = {name: self._valueOf(name) for name in self.edits}
        try:
            return self._command.arguments(values, str(self.extraEdit.text))
        except FieldError as error:
            raise ValueError(texts.problem(self._command.name, error)) from None

    def _valueOf(self, name: str) -> str:
        edit = self.edits[name]
        text = str(edit.currentText if isinstance(edit, qt.QComboBox) else edit.text)
        isList = next(field for field in self._command.fields if field.name == name).kind == FOLDERS
        return text.replace(";", "\n") if isList else text

    def _editOf(self, field: Field) -> qt.QLineEdit | qt.QComboBox:
        if field.kind != CHOICE:
            return self._edit(field.name, field.default, _("all, or names with commas") if field.kind == LIST else "")
        box = qt.QComboBox()
        box.addItems(list(field.choices))
        box.setCurrentIndex(max(0, box.findText(self._kept(field.name, field.default))))
        box.connect("currentIndexChanged(int)", lambda index: self._onText(field.name, field.choices[index]))
        return box

    def _row(self, field: Field, edit: qt.QWidget) -> qt.QWidget:
        if field.kind in (NUMBER, TEXT, LIST, CHOICE):
            return edit
        row = qt.QWidget()
        layout = qt.QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        button = qt.QToolButton()
        button.setText("…")
        button.setToolTip(_("Choose"))
        button.connect("clicked()", lambda: self._fill(field, edit))
        layout.addWidget(edit)
        layout.addWidget(button)
        return row

    def _fill(self, field: Field, edit: qt.QLineEdit) -> None:
        path = self._ask(field.kind)
        if path and field.kind == FOLDERS and edit.text:
            path = f"{edit.text};{path}"
        if path:
            edit.setText(path)

    def _edit(self, name: str, default: str, placeholder: str) -> qt.QLineEdit:
        edit = qt.QLineEdit()
        edit.setPlaceholderText(placeholder)
        edit.setText(self._kept(name, default))
        edit.connect("textChanged(QString)", lambda text: self._onText(name, text))
        return edit

    def _onText(self, name: str, text: str) -> None:
        slicer.app.userSettings().setValue(self._key(name), text)
        self._onChanged()

    def _kept(self, name: str, default: str) -> str:
        return str(slicer.app.userSettings().value(self._key(name), default) or default)

    def _key(self, name: str) -> str:
        return f"{SETTINGS}/{self._command.name}/{name}"

    def _dialog(self, kind: str) -> str:
        window, title = slicer.util.mainWindow(), _("Choose")
        weights = _("Weights") + " (*.safetensors)"
        if kind == NEW_FILE:
            pictures = _("Picture") + " (*.png)"
            return qt.QFileDialog.getSaveFileName(
                window, title, "", pictures if self._command.name == "fewshot" else weights
            )
        if kind == MODEL:
            return qt.QFileDialog.getOpenFileName(window, title, "", weights)
        return qt.QFileDialog.getExistingDirectory(window, title)
