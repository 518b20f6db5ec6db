"""A `qt` module over PySide6 that behaves like Slicer's PythonQt, so that what would fail in Slicer fails here.

* Qt properties are attributes: `slider.value` is a number and cannot be called.
* An attribute that a C++ object does not have cannot be set on it.
* Signals are connected by their C++ signature: `button.connect("clicked()", callback)`.
* numpy scalars are not Python numbers: `numpy.bool_` is refused where a bool is set or returned.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402  (the platform is chosen first)

SOURCES = (QtCore, QtGui, QtWidgets)
ABSENT = {"Signal", "Slot", "Property", "ClassInfo", "QEnum", "SIGNAL", "SLOT"}  # PySide6's own, not in PythonQt
VIRTUAL = {"sizeHint", "minimumSizeHint"}  # methods that C++ looks up on Python classes
UNCHANGED = {"QCoreApplication", "QGuiApplication", "QApplication", "QMetaObject"}


def refuseNumpy(value: Any, place: str) -> Any:
    """The value; TypeError for a numpy scalar, which PythonQt does not convert."""
    if isinstance(value, np.generic):
        raise TypeError(f"{place}: expected a Python value, received {type(value).__name__}; convert it first")
    return value


class PythonQtObject:
    """What PythonQt changes about every QObject; mixed in before the PySide6 class."""

    def __getattribute__(self, name: str) -> Any:
        plain = super().__getattribute__
        if name.startswith("_"):
            return plain(name)
        if name in ("connect", "disconnect"):
            return _Connector(self, plain(name), wanted=name == "connect")
        if name not in VIRTUAL and plain("metaObject")().indexOfProperty(name) >= 0:
            return plain("property")(name)
        value = plain(name)
        return _checkedSetter(value, name) if name.startswith("set") and callable(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        if self.metaObject().indexOfProperty(name) >= 0:
            if not self.setProperty(name, refuseNumpy(value, name)):  # PySide6 takes enumerations in setters only
                super().__getattribute__(f"set{name[0].upper()}{name[1:]}")(value)
        elif "_pythonQt" in type(self).__dict__ and not name.startswith("__"):
            raise AttributeError(
                f"Attribute '{name}' does not exist and creation of new attributes on C++ objects is not allowed"
            )
        else:
            super().__setattr__(name, value)


class _Connector:
    """`connect` or `disconnect` of one object, by signature as in PythonQt; other forms are PySide6's own."""

    def __init__(self, sender: Any, plain: Any, *, wanted: bool) -> None:
        self._sender, self._plain, self._wanted = sender, plain, wanted

    def __call__(self, *arguments: Any) -> Any:
        if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[0][0].isdigit():
            return self._plain(*arguments)
        signature, callback = arguments
        signal = QtCore.SIGNAL(signature)
        normalized = QtCore.QMetaObject.normalizedSignature(signature).data().decode()
        if self._sender.metaObject().indexOfSignal(normalized) < 0:
            raise ValueError(f"{type(self._sender).__name__} has no signal {signature}")
        if self._wanted:
            return QtCore.QObject.connect(self._sender, signal, callback)
        return QtCore.QObject.disconnect(self._sender, signal, callback)


def _checkedSetter(setter: Any, name: str) -> Any:
    def checked(*arguments: Any) -> Any:
        return setter(*(refuseNumpy(argument, name) for argument in arguments))

    return checked


class QtModule(ModuleType):
    """`import qt`: the classes of QtCore, QtGui and QtWidgets, QObjects with PythonQt's behaviour."""

    def __getattr__(self, name: str) -> Any:
        source = next((module for module in SOURCES if hasattr(module, name)), None)
        if source is None or name in ABSENT or name.startswith("__"):
            raise AttributeError(f"module 'qt' has no attribute '{name}'")
        value = getattr(source, name)
        if isinstance(value, type) and issubclass(value, QtCore.QObject) and name not in UNCHANGED:
            value = pythonQtClass(value)
        setattr(self, name, value)
        return value


def pythonQtClass(base: type, **members: Any) -> type:
    """A PySide6 QObject class as PythonQt shows it."""
    return type(base.__name__, (PythonQtObject, base), {"_pythonQt": True, **members})


def application() -> Any:
    """The process's QApplication, made when there is none."""
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["SlicerHost"])
