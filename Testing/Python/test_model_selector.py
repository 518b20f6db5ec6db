"""Choosing a model in the effect's options, under the Qt host."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from safetensors.numpy import save_file
from slicer_host.qt_host import QtHost

from sam3dseg import catalogue

NAME = "sam-med3d-turbo"


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    host = QtHost()
    yield host
    host.close()


class Hub:
    """Stands in for the download: writes the file when `gate` is open."""

    def __init__(self) -> None:
        self.gate, self.asked, self.error = threading.Event(), [], None

    def install(self, entry, *, progress):
        self.asked.append(entry.name)
        while not self.gate.wait(0.01):
            progress(50_000_000, 402_000_000)
        if self.error:
            raise self.error
        place = catalogue.place_of(entry)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"weights")
        return place


class Bench:
    """A selector, its store, and what it told."""

    def __init__(self, settings=None) -> None:
        from SAM3DSegmentLib.Models.ModelSelector import ModelSelector
        from SAM3DSegmentLib.Models.ModelStore import ModelStore

        self.hub, self.changes, self.questions, self.errors = Hub(), [], [], []
        self.answer, self.file = True, ""
        self.store = ModelStore(settings, install=self.hub.install)
        self.selector = ModelSelector(
            self.store,
            onChanged=lambda key, device: self.changes.append((key, device)),
            askFile=lambda: self.file,
            confirm=self._confirm,
            showError=self.errors.append,
        )

    def _confirm(self, text: str) -> bool:
        self.questions.append(text)
        return self.answer

    def choose(self, key: str) -> None:
        """As the user does it with the mouse."""
        box = self.selector.modelBox
        box.setCurrentIndex(box.findData(key))
        box.activated.emit(box.currentIndex)

    @property
    def shown(self) -> str:
        box = self.selector.modelBox
        return box.itemData(box.currentIndex)


@pytest.fixture
def bench(host):
    bench = Bench()
    bench.selector.widget.show()
    yield bench
    bench.hub.gate.set()
    bench.selector.close()


def test_the_embedded_model_on_the_best_device_is_shown_first(bench):
    assert (bench.shown, bench.selector.key, bench.selector.device) == ("embedded", "embedded", "auto")
    assert bench.selector.modelBox.itemText(0) == "Embedded model"
    assert bench.selector.modelBox.itemText(1) == "sam-med3d-turbo (download, 402 MB)"
    assert not bench.selector.progressBar.visible
    assert bench.changes == []


def test_a_download_is_asked_for_with_size_licence_and_source(bench, host):
    bench.answer = False
    bench.choose(NAME)
    (question,) = bench.questions
    for words in ("402 MB", "Apache-2.0", "huggingface.co", "Wang et al."):
        assert words in question
    assert bench.hub.asked == []
    assert bench.shown == "embedded"


def test_a_chosen_model_is_fetched_with_progress_and_then_used(bench, host):
    bench.choose(NAME)
    host.wait(lambda: bench.selector.progressBar.value > 0)
    assert bench.selector.progressBar.visible
    assert bench.selector.progressBar.format == "50 of 402 MB"
    assert bench.shown == "embedded"  # as long as the other is not there
    bench.hub.gate.set()
    host.wait(lambda: bench.changes)
    assert bench.changes == [(NAME, "auto")]
    assert (bench.shown, bench.selector.key) == (NAME, NAME)
    assert not bench.selector.progressBar.visible


def test_a_download_can_be_cancelled(bench, host):
    bench.choose(NAME)
    bench.selector.cancelButton.click()
    host.wait(lambda: not bench.store.isTransferring)
    host.wait(lambda: not bench.selector.progressBar.visible)
    assert (bench.changes, bench.shown, bench.selector.noteLabel.text) == ([], "embedded", "")


def test_a_failed_download_says_why(bench, host):
    bench.hub.error = OSError("no connection to huggingface.co")
    bench.hub.gate.set()
    bench.choose(NAME)
    host.wait(lambda: bench.selector.noteLabel.text)
    assert bench.selector.noteLabel.text == "no connection to huggingface.co"
    assert bench.selector.noteLabel.visible
    assert (bench.changes, bench.shown) == ([], "embedded")
    bench.choose("embedded")
    assert not bench.selector.noteLabel.visible


def test_an_own_file_is_listed_and_chosen(bench, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file({"encoder.lora_A.weight": np.zeros(4, np.float32)}, path)
    bench.file = str(path)
    bench.selector.fileButton.click()
    assert bench.changes == [(str(path), "auto")]
    assert bench.shown == str(path)
    box = bench.selector.modelBox
    assert box.itemText(box.currentIndex) == "mine.safetensors"


def test_an_own_file_that_proposes_is_kept_for_the_row_propose_and_said_so(bench, tmp_path):
    path = tmp_path / "organs.safetensors"
    save_file({"a": np.zeros(4, np.float32)}, path, {"architecture": "sam_3d"})
    bench.file = str(path)
    bench.selector.fileButton.click()
    assert "organs.safetensors proposes" in bench.selector.noteLabel.text and bench.selector.noteLabel.visible
    assert "row Propose" in bench.selector.noteLabel.text and bench.errors == []
    assert bench.changes == [] and bench.shown == "embedded" and bench.selector.modelBox.findData(str(path)) < 0
    assert [model.key for model in bench.store.proposers()] == [str(path)]
    bench.choose("embedded")
    assert not bench.selector.noteLabel.visible


def test_the_family_of_the_chosen_model_is_known(bench, tmp_path):
    assert bench.selector.family == "clicks in 3D"
    path = tmp_path / "mine.safetensors"
    save_file({"a": np.zeros(4, np.float32)}, path, {"architecture": "sam"})
    bench.file = str(path)
    bench.selector.fileButton.click()
    assert bench.selector.family == "clicks in slices"


def test_a_wrong_own_file_is_refused_in_one_line(bench, tmp_path):
    bench.selector.fileButton.click()  # the dialog was closed without a choice
    page = tmp_path / "page.pth"
    page.write_text("<html>log in</html>")
    bench.file = str(page)
    bench.selector.fileButton.click()
    (error,) = bench.errors
    assert "no weights file" in error
    assert (bench.changes, bench.shown) == ([], "embedded")


def test_the_device_is_chosen_and_kept(bench):
    box = bench.selector.deviceBox
    assert [box.itemText(row) for row in range(box.count)] == ["Automatic", "CUDA", "Apple GPU", "CPU"]
    box.setCurrentIndex(3)
    box.activated.emit(3)
    assert bench.changes == [("embedded", "cpu")]
    assert bench.store.device == "cpu"


def test_two_selectors_show_the_same_choice(bench):
    from SAM3DSegmentLib.Models.ModelSelector import ModelSelector

    told = []
    other = ModelSelector(bench.store, onChanged=lambda *choice: told.append(choice))
    bench.store.setDevice("cpu")
    assert bench.changes == told == [("embedded", "cpu")]
    assert other.deviceBox.itemData(other.deviceBox.currentIndex) == "cpu"
    other.close()
    bench.store.setDevice("auto")
    assert len(told) == 1


def test_the_choice_is_kept_in_the_applications_settings(host):
    from SAM3DSegmentLib.Models.ModelSelector import ModelSelector
    from SAM3DSegmentLib.Models.ModelStore import ModelStore

    first = ModelSelector()  # the shared store, over the settings of slicer.app
    first.store.setDevice("cpu")
    assert ModelStore(host.app.userSettings()).device == "cpu"
    first.close()
