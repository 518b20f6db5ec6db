"""The Qt half of a headless Slicer: PySide6 off screen under the names and rules of PythonQt.

Faithful: MRML, masking and undo (all real), parameter names, event ids, the order of calls, PythonQt's strictness. Not
faithful: ctk and qMRML widgets, object lifetimes, styles and sizes.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer
import vtk
from PySide6 import QtCore

from . import effect_host, scripted_module
from .app_widgets import SegmentEditorWidget, SliceWidget
from .ctk_widgets import CtkModule
from .editor_widget import EditorWidget
from .python_qt import QtModule, application
from .scene import Scene

MODULE = Path(__file__).resolve().parents[3] / "SAM3DSegment"
OWN = ("SAM3DSegment", "SAM3DSegmentLib")


class Signals:
    """An object with signals by signature."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callable[..., Any]]] = defaultdict(list)

    def connect(self, signature: str, callback: Callable[..., Any]) -> bool:
        self._callbacks[signature].append(callback)
        return True

    def disconnect(self, signature: str, callback: Callable[..., Any]) -> bool:
        self._callbacks[signature].remove(callback)
        return True

    def emit(self, signature: str, *arguments: Any) -> None:
        for callback in list(self._callbacks[signature]):
            callback(*arguments)


class Application(Signals):
    """`slicer.app`. mainWindow is None where Slicer runs without one; restarts counts what asked for a restart."""

    applicationName = "Slicer"
    revision = "0"
    majorVersion, minorVersion = 5, 12

    def __init__(self, scene: Scene, mainWindow: Any | None) -> None:
        super().__init__()
        self.temporaryPath = scene.folder.name
        self.slicerHome = scene.folder.name
        self.mainWindow = mainWindow
        self.restarts = 0
        self._scene, self._modules = scene, Signals()

    def applicationLogic(self) -> Any:
        return self._scene.applicationLogic

    def mrmlScene(self) -> Any:
        return self._scene.mrml

    def moduleManager(self) -> Signals:
        return self._modules

    def layoutManager(self) -> None:
        return None

    def topLevelWidgets(self) -> list[Any]:
        return [self.mainWindow] if self.mainWindow else []

    def testingEnabled(self) -> bool:
        return True

    def commandOptions(self) -> SimpleNamespace:
        return SimpleNamespace(noMainWindow=self.mainWindow is None)

    def userSettings(self) -> QtCore.QSettings:
        return QtModule("qt").QSettings()

    settings = revisionUserSettings = userSettings

    def processEvents(self) -> None:
        application().processEvents()

    def restart(self) -> None:
        self.restarts += 1


class QtHost:
    """A scene with the Qt half of Slicer around it, until `close`. One at a time; fresh per test.

    Importing SAM3DSegment or SAM3DSegmentLib under it gives fresh copies of both.
    """

    def __init__(self, *, mainWindow: bool = True, scene: Scene | None = None) -> None:
        self.application = application()
        self.scene = scene or Scene()
        self._ownsScene = scene is None
        self._settings = tempfile.TemporaryDirectory(prefix="slicer_host_settings")
        self._useSettings()
        self.qt = QtModule("qt")
        self.editors: list[EditorWidget] = []
        self.mainWindow = self.qt.QMainWindow() if mainWindow else None
        if self.mainWindow:
            self.mainWindow.objectName = "qSlicerMainWindow"
            self.mainWindow.show()
        self._savedModules = {name: sys.modules.get(name) for name in self._modules()}
        self._savedOwn = {name: module for name, module in sys.modules.items() if name.split(".")[0] in OWN}
        for name in self._savedOwn:
            del sys.modules[name]
        sys.modules.update(self._modules())
        self._savedPath = list(sys.path)
        if str(MODULE) not in sys.path:
            sys.path.append(str(MODULE))
        names = self._slicerNames()
        self._saved = {name: getattr(slicer, name, None) for name in names}
        for name, value in names.items():
            setattr(slicer, name, value)

    def addEditor(
        self,
        segmentation: Any,
        volume: Any,
        segmentId: str = "Segment_1",
        *,
        views: Sequence[Any] = (),
        parameters: Any = None,
    ) -> EditorWidget:
        """A Segment Editor widget with a parameter node of its own, or that of an opened scene; views of views.py."""
        logic = self.scene.addEditor(segmentation, volume, segmentId, parameters=parameters)
        editor = EditorWidget(logic, views=views)
        self.editors.append(editor)
        return editor

    def registerEffect(self) -> Any:
        """Register this extension's effect as SAM3DSegment.py does; returns the Python object."""
        importlib.import_module("SAM3DSegmentLib")
        effects = sys.modules["qSlicerSegmentationsEditorEffectsPythonQt"]
        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        effect.setPythonSource(str(MODULE / "SAM3DSegmentLib" / "SegmentEditorEffect.py"))
        effect.self().register()
        return effect.self()

    def wait(self, until: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
        """Run the event loop until something holds; TimeoutError otherwise."""
        end = time.monotonic() + timeout_s
        while not until():
            if time.monotonic() > end:
                raise TimeoutError(f"still not so after {timeout_s} s")
            self.application.processEvents(QtCore.QEventLoop.AllEvents, 10)
            time.sleep(0.001)

    def run(self, seconds: float) -> None:
        """Run the event loop for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.application.processEvents(QtCore.QEventLoop.AllEvents, 5)
            time.sleep(0.001)

    def close(self) -> None:
        """Destroy the editors and take everything back."""
        for editor in self.editors:
            editor.close()
        if self.mainWindow:
            self.mainWindow.close()
        library = sys.modules.get("SAM3DSegmentLib.Editor.EditorLogic")
        if getattr(library, "_shared", None) is not None:
            library._shared.close()
        self.application.processEvents()
        for name, value in self._saved.items():
            setattr(slicer, name, value)
        for name in [name for name in sys.modules if name.split(".")[0] in OWN]:
            del sys.modules[name]
        sys.modules.update(self._savedOwn)
        for name, module in self._savedModules.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
        sys.path[:] = self._savedPath
        if self._ownsScene:
            self.scene.close()
        self._settings.cleanup()

    def _useSettings(self) -> None:
        QtCore.QCoreApplication.setOrganizationName("SlicerHost")
        QtCore.QCoreApplication.setApplicationName("SlicerHost")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, self._settings.name)

    def _modules(self) -> dict[str, ModuleType]:
        i18n = ModuleType("slicer.i18n")
        i18n.tr = lambda text: text
        i18n.translate = lambda context, text: text
        qt = getattr(self, "qt", None) or QtModule("qt")
        named = {"qt": qt, "ctk": CtkModule("ctk"), "slicer.i18n": i18n}
        named["slicer.ScriptedLoadableModule"] = scripted_module
        return named | effect_host.effectModules()

    def _slicerNames(self) -> dict[str, Any]:
        self.app = Application(self.scene, self.mainWindow)
        return {
            "app": self.app,
            "i18n": sys.modules["slicer.i18n"],
            "ScriptedLoadableModule": scripted_module,
            "qSlicerSegmentEditorEffectFactory": effect_host.EffectFactory(),
            "qSlicerSegmentEditorAbstractEffect": effect_host.qSlicerSegmentEditorAbstractEffect,
            "qMRMLSegmentEditorWidget": lambda: SegmentEditorWidget(self.scene),
            "qMRMLSliceWidget": lambda: SliceWidget(self.scene),
            "vtkMRMLScene": slicer.vtkMRMLScene,
            "vtk": vtk,
        }
