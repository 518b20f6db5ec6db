"""Installing PyTorch: what is asked, in which order, and what is kept for after the restart."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from slicer_host.qt_host import QtHost


@pytest.fixture
def host():
    host = QtHost()
    yield host
    host.close()


class Settings(dict):
    """As QSettings."""

    def value(self, key, default=None):
        return self.get(key, default)

    def setValue(self, key, value):
        self[key] = value

    def remove(self, key):
        self.pop(key, None)


class Slicer:
    """An application that writes down what is asked of it. answers: what the user says, in order; default yes."""

    def __init__(self, *packages: str, answers=(), extensions=("PyTorch",)) -> None:
        self.packages = {*packages}
        self.answers, self.log, self.settings = list(answers), [], Settings()
        self.available, self.installed = extensions, []
        self.error: Exception | None = None
        self.model = SimpleNamespace(
            interactive=True,
            isExtensionInstalled=lambda name: name in self.installed,
            updateExtensionsMetadataFromServer=lambda force, wait: True,
            downloadAndInstallExtensionByName=self._installExtension,
        )
        self.app = SimpleNamespace(userSettings=lambda: self.settings, extensionsManagerModel=lambda: self.model)
        self.util = SimpleNamespace(
            confirmOkCancelDisplay=self._ask,
            confirmYesNoDisplay=self._ask,
            errorDisplay=lambda text: self.log.append(("error", text)),
            restart=lambda: self.log.append("restart"),
            pip_install=lambda words: self._pip(words),
        )

    def find(self, name):
        return name if name in self.packages else None

    def importModule(self, name):
        if name == "packaging.requirements":
            import packaging.requirements

            return packaging.requirements
        return {
            "PyTorchUtils": SimpleNamespace(PyTorchUtilsLogic=lambda: self),
            "slicer.packaging": SimpleNamespace(pip_ensure=self._pipEnsure),
        }[name]

    def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None):
        assert askConfirmation
        if self.error:
            raise self.error
        self.log.append(f"torch{torchVersionRequirement}")
        if not self._ask("ltt"):
            return None
        self.packages.add("torch")
        return SimpleNamespace(__version__="2.9")

    def _ask(self, text, *title):
        self.log.append("asked")
        return self.answers.pop(0) if self.answers else True

    def _installExtension(self, name, dependencies, wait):
        assert self.model.interactive is False
        self.log.append(f"extension {name}")
        if name not in self.available:
            return False
        self.installed.append(name)
        return True

    def _pip(self, words):
        if self.error:
            raise self.error
        self.log.append(f"pip {words}")
        self.packages.add("safetensors")

    def _pipEnsure(self, requirements, requester):
        self.log.append(f"ensure {requirements[0]} for {requester}")
        if not self._ask("pip_ensure"):
            raise RuntimeError("User declined package installation")
        self.packages.add("safetensors")


@pytest.fixture
def make(host):
    from SAM3DSegmentLib.Setup.TorchSetup import TorchSetup

    def make(*packages: str, **options):
        slicer = Slicer(*packages, **options)
        return slicer, TorchSetup(slicer, find=slicer.find, importModule=slicer.importModule)

    return make


def test_nothing_is_asked_when_all_is_there(make):
    slicer, setup = make("torch", "safetensors")
    assert setup.missing == ()
    assert setup.offer()
    assert slicer.log == []
    assert setup.explanation() == "PyTorch is installed."


def test_looking_does_not_load_pytorch(host):
    """Whether it is there is asked whenever the page or the effect is shown."""
    code = """
import sys
from slicer_host.qt_host import QtHost
host = QtHost()
from SAM3DSegmentLib.Setup.TorchSetup import TorchSetup
TorchSetup().explanation()
assert TorchSetup().missing == ()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def test_pytorch_and_safetensors_in_one_step(make):
    slicer, setup = make("PyTorchUtils", "slicer.packaging")
    assert "0.2 to 3 GB" in setup.explanation()
    assert setup.offer()
    assert slicer.log == ["torch>=2.4", "asked", "ensure safetensors>=0.4.3 for SAM 3D Segment", "asked"]
    assert slicer.settings == {}


def test_slicer_5_10_has_no_packaging_module(make):
    slicer, setup = make("torch")
    assert "safetensors" in setup.explanation()
    assert setup.offer()
    assert slicer.log == ["asked", "pip safetensors>=0.4.3"]


@pytest.mark.parametrize("packages", [("PyTorchUtils",), ("torch",), ("torch", "slicer.packaging")])
def test_a_refusal_changes_nothing(make, packages):
    slicer, setup = make(*packages, answers=[False])
    assert not setup.offer()
    assert not [line for line in slicer.log if "error" in line or "pip" in line]
    assert setup.missing


def test_a_failed_installation_is_one_readable_line(make):
    slicer, setup = make("PyTorchUtils")
    slicer.error = subprocess.CalledProcessError(1, "pip")
    assert not setup.offer()
    ((kind, text),) = slicer.log
    assert kind == "error"
    assert "PyTorch could not be installed: Command 'pip' returned" in text


def test_a_failed_small_package_is_one_readable_line(make):
    slicer, setup = make("torch")
    slicer.error = subprocess.CalledProcessError(1, "pip")
    assert not setup.offer()
    assert "'safetensors' could not be installed" in slicer.log[-1][1]


def test_without_the_extension_it_is_installed_and_a_restart_offered(make):
    from SAM3DSegmentLib.Setup.TorchSetup import EFFECT, Resume

    slicer, setup = make()
    assert "three steps" in setup.explanation()
    point = Resume(EFFECT, ("/data/ct.nrrd",))
    assert not setup.offer(point)
    assert slicer.log == ["asked", "extension PyTorch", "asked", "restart"]
    assert slicer.model.interactive is True
    assert setup.takeResume() == point
    assert setup.takeResume() is None


def test_the_restart_can_be_done_later(make):
    slicer, setup = make(answers=[True, False])
    assert not setup.offer()
    assert "restart" not in slicer.log
    assert not setup.offer()  # now it is installed, and only the restart is asked for
    assert slicer.log[-2:] == ["asked", "restart"]
    assert slicer.log.count("extension PyTorch") == 1
    assert setup.takeResume() is not None


def test_refusing_the_extension_keeps_nothing(make):
    slicer, setup = make(answers=[False])
    assert not setup.offer()
    assert slicer.log == ["asked"]
    assert slicer.settings == {}


def test_no_network_and_no_extensions_manager_are_said(make):
    slicer, setup = make(extensions=())
    assert not setup.offer()
    assert "check the network" in slicer.log[-1][1]
    assert slicer.settings == {}
    assert slicer.model.interactive is True
    slicer.app.extensionsManagerModel = lambda: None
    assert not setup.offer()
    assert "by hand" in slicer.log[-1][1]


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_damaged_note_is_dropped(make, text):
    slicer, setup = make()
    slicer.settings["SAM3DSegment/resume"] = text
    assert setup.takeResume() is None
    assert slicer.settings == {}


def test_what_to_resume_holds_the_volumes_file(host, tmp_path):
    from SAM3DSegmentLib.Setup.TorchSetup import EFFECT, Resume, resumeFor

    path = tmp_path / "ct.nrrd"
    path.touch()
    volume = SimpleNamespace(GetStorageNode=lambda: SimpleNamespace(GetFileName=lambda: str(path)))
    assert resumeFor(EFFECT, volume) == Resume(EFFECT, (str(path),))
    path.unlink()
    assert resumeFor(EFFECT, volume) == resumeFor(EFFECT) == Resume(EFFECT)
    assert resumeFor(EFFECT, SimpleNamespace(GetStorageNode=lambda: None)) == Resume(EFFECT)


def _environment() -> dict[str, str]:
    import os
    from pathlib import Path

    here = Path(__file__).resolve().parent
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1] / "SAM3DSegment")])}
