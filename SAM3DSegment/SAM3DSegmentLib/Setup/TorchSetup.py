"""PyTorch and safetensors in Slicer's Python: one explained step, when the user asks for it, and never at start-up."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

log = logging.getLogger(__name__)

EXTENSION = "PyTorch"
TORCH_VERSION = ">=2.4"
SAFETENSORS = "safetensors>=0.4.3"
RESUME_KEY = "SAM3DSegment/resume"
PAGE, EFFECT, SAMPLE = "page", "effect", "sample"


class TorchSetupError(RuntimeError):
    """What could not be installed, and the way out, in words for the user."""


@dataclass(frozen=True)
class Resume:
    """Where to go on after a restart: a place, and volume files to load for it."""

    place: str = PAGE
    files: tuple[str, ...] = ()


class TorchSetup:
    """Finds what is missing and installs it through the PyTorch extension and Slicer's own package installer.

    slicer: the application's namespace. find: tells whether a Python package is there, without importing it.
    """

    def __init__(
        self,
        slicer: Any = None,
        *,
        find: Callable[[str], Any] = find_spec,
        importModule: Callable[[str], Any] = importlib.import_module,
    ) -> None:
        self._slicer = slicer or importModule("slicer")
        self._find, self._import = find, importModule

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that the network needs and Slicer's Python lacks."""
        importlib.invalidate_caches()
        return tuple(name for name in ("torch", "safetensors") if not self._find(name))

    def explanation(self) -> str:
        """What the install button will do, or that nothing is missing."""
        missing = self.missing
        if not missing:
            return _("PyTorch is installed.")
        if "torch" not in missing:
            return _("The small Python package 'safetensors' is missing; it reads the model's weights.")
        if self._torchUtils() is None:
            return _(
                "The masks are computed with PyTorch, which comes in three steps that are started by one button: the "
                "extension 'PyTorch' (small), a restart of Slicer, and PyTorch itself (0.2 to 3 GB, by your graphics "
                "card). You are asked before each, and after the restart it goes on by itself."
            )
        return _(
            "The masks are computed with PyTorch, which is not installed yet. The button downloads the version that "
            "fits this computer (0.2 to 3 GB, by your graphics card); you are asked before."
        )

    def offer(self, resume: Resume = Resume()) -> bool:  # noqa: B008 - a frozen value
        """Install what is missing, asking first; True when the network can be used now. Errors are shown."""
        try:
            return self.install(resume)
        except TorchSetupError as error:
            log.error("%s", error)
            self._slicer.util.errorDisplay(str(error))
            return False

    def install(self, resume: Resume = Resume()) -> bool:  # noqa: B008
        """Install what is missing, asking first.

        Gives False when the user refuses, and when a restart is needed first; `resume` is then kept for it. Raises
        TorchSetupError when something fails.
        """
        missing = self.missing
        if "torch" in missing:
            utils = self._torchUtils()
            if utils is None:
                self._installExtension(resume)
                return False
            if not self._installTorch(utils):
                return False
        if "safetensors" in missing and not self._installSafetensors():
            return False
        return not self.missing

    def takeResume(self) -> Resume | None:
        """What was kept for after the restart, once."""
        settings = self._slicer.app.userSettings()
        text = str(settings.value(RESUME_KEY, "") or "")
        settings.remove(RESUME_KEY)
        try:
            content = json.loads(text) if text else None
        except json.JSONDecodeError:
            return None
        if not isinstance(content, dict):
            return None
        return Resume(str(content.get("place", PAGE)), tuple(map(str, content.get("files", ()))))

    # ---- the steps ---------------------------------------------------------------------------------------------

    def _torchUtils(self) -> Any | None:
        """The logic of the PyTorch extension, or None where the extension is not loaded."""
        if not self._find("PyTorchUtils"):
            return None
        return self._import("PyTorchUtils").PyTorchUtilsLogic()

    def _installTorch(self, utils: Any) -> bool:
        try:
            return utils.installTorch(askConfirmation=True, torchVersionRequirement=TORCH_VERSION) is not None
        except Exception as error:  # another extension's code, pip, the network: anything can come
            raise TorchSetupError(
                _(
                    "PyTorch could not be installed: {error}. Try it in the module 'PyTorch Utils', or restart Slicer."
                ).format(error=_line(error))
            ) from error

    def _installExtension(self, resume: Resume) -> None:
        """Install the PyTorch extension where needed, and offer the restart that makes it usable."""
        util = self._slicer.util
        model = getattr(self._slicer.app, "extensionsManagerModel", lambda: None)()
        if model is None:
            raise TorchSetupError(
                _("This Slicer has no extensions manager: install the extension 'PyTorch' by hand and restart.")
            )
        if not model.isExtensionInstalled(EXTENSION):
            if not util.confirmOkCancelDisplay(
                _("The extension 'PyTorch' will be downloaded and installed. Slicer must be restarted after it."),
                _("Install PyTorch"),
            ):
                return
            self._download(model)
        self._slicer.app.userSettings().setValue(RESUME_KEY, json.dumps(asdict(resume)))
        if util.confirmYesNoDisplay(
            _(
                "The extension 'PyTorch' is installed. Slicer must be restarted now, and will then go on here.\n\n"
                "What is not saved is lost: save the scene first if you need it.\n\nRestart now?"
            ),
            _("Install PyTorch"),
        ):
            util.restart()

    def _download(self, model: Any) -> None:
        interactive = model.interactive
        model.interactive = False  # it has been asked for already
        try:
            found = model.updateExtensionsMetadataFromServer(True, True)
            done = found and model.downloadAndInstallExtensionByName(EXTENSION, True, True)
        finally:
            model.interactive = interactive
        if not done:
            raise TorchSetupError(
                _(
                    "The extension 'PyTorch' could not be downloaded: check the network, or install it from a file in "
                    "the Extensions Manager."
                )
            )

    def _installSafetensors(self) -> bool:
        slicer = self._slicer
        try:
            if self._find("slicer.packaging"):
                requirement = self._import("packaging.requirements").Requirement(SAFETENSORS)
                self._import("slicer.packaging").pip_ensure([requirement], requester="SAM 3D Segment")
                return True
            if not slicer.util.confirmOkCancelDisplay(
                _("The Python package 'safetensors' (less than 1 MB) will be installed; it reads the model's weights."),
                _("Install Python package"),
            ):
                return False
            slicer.util.pip_install(SAFETENSORS)
        except subprocess.CalledProcessError as error:
            raise TorchSetupError(
                _("The Python package 'safetensors' could not be installed: {error}").format(error=_line(error))
            ) from error
        except RuntimeError:  # pip_ensure's way to say that the user declined
            return False
        return True


def resumeFor(place: str, volumeNode: Any = None) -> Resume:
    """What to go on with after a restart: with a volume, its file, where it has one."""
    storage = volumeNode.GetStorageNode() if volumeNode is not None else None
    name = storage.GetFileName() if storage is not None else None
    return Resume(place, (name,) if name and Path(name).is_file() else ())


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
