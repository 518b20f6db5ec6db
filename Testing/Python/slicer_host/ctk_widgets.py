"""A `ctk` module with the few widgets that this extension uses, each no more than its properties and signals."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtWidgets

from .python_qt import PythonQtObject


class ctkCollapsibleButton(PythonQtObject, QtWidgets.QGroupBox):
    """A titled section that can be folded; `collapsed` hides its contents."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, text: str = "", parent: Any = None) -> None:
        super().__init__(parent) if not isinstance(text, QtWidgets.QWidget) else super().__init__(text)
        self._collapsed = False
        if isinstance(text, str):
            self.setTitle(text)

    def _setText(self, text: str) -> None:
        self.setTitle(text)

    def _setCollapsed(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not collapsed)
        self.contentsCollapsed.emit(collapsed)

    text = QtCore.Property(str, lambda self: self.title, _setText)
    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _setCollapsed)


class ctkPathLineEdit(PythonQtObject, QtWidgets.QLineEdit):
    """A path typed by the user."""

    currentPathChanged = QtCore.Signal(str)
    Dirs, Drives, Files, Readable, Writable, Executable = (1, 2, 4, 16, 32, 64)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._filters, self._nameFilters, self._settingKey = 0, [], ""
        self.textChanged.connect(self.currentPathChanged)

    def _set(name: str) -> Any:  # noqa: N805
        return lambda self, value: object.__setattr__(self, name, value)

    currentPath = QtCore.Property(str, lambda self: self.text, lambda self, path: self.setText(path))
    filters = QtCore.Property(int, lambda self: self._filters, _set("_filters"))
    nameFilters = QtCore.Property("QStringList", lambda self: self._nameFilters, _set("_nameFilters"))
    settingKey = QtCore.Property(str, lambda self: self._settingKey, _set("_settingKey"))


class CtkModule(ModuleType):
    """`import ctk`."""

    ctkCollapsibleButton = ctkCollapsibleButton
    ctkPathLineEdit = ctkPathLineEdit
