"""The list of models on the module's page, under the Qt host."""

from __future__ import annotations

import json
import threading
import zipfile

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


@pytest.fixture
def bench(host):
    from SAM3DSegmentLib.Models.ModelManager import ModelManager
    from SAM3DSegmentLib.Models.ModelStore import ModelStore

    class Bench:
        gate, questions, errors = threading.Event(), [], []
        answer, file = True, ""

        def install(self, entry, *, progress):
            while not self.gate.wait(0.01):
                progress(1_000_000, None)
            catalogue.place_of(entry).parent.mkdir(parents=True, exist_ok=True)
            catalogue.place_of(entry).write_bytes(b"weights")

        def confirm(self, text):
            self.questions.append(text)
            return self.answer

        def row(self, key):
            row = [model.key for model in self.store.models()].index(key)
            table = self.manager.table
            return [table.item(row, column).text() for column in range(table.columnCount)]

    bench = Bench()
    bench.questions, bench.errors = [], []
    bench.store = ModelStore(install=bench.install)
    bench.manager = ModelManager(
        bench.store, askFile=lambda: bench.file, confirm=bench.confirm, showError=bench.errors.append
    )
    bench.manager.widget.show()
    yield bench
    bench.gate.set()
    bench.manager.close()


def buttons(manager) -> set[str]:
    names = ("use", "download", "offline", "remove", "add")
    return {name for name in names if getattr(manager, f"{name}Button").enabled}


def test_every_model_is_listed_with_state_size_and_licence(bench):
    assert bench.row("embedded")[:2] == ["✓ Embedded model", "installed"]
    assert bench.row(NAME) == [NAME, "not downloaded", "402 MB", "Apache-2.0"]
    assert bench.row("sam-med3d-turbo-cvpr")[2] == "size not stated"
    assert buttons(bench.manager) == {"add"}


def test_a_line_shows_licence_citation_and_source(bench):
    bench.manager.table.selectRow(1)
    text = bench.manager.detailsLabel.text
    for words in ("Apache-2.0", "arXiv 2310.15161", "href='https://huggingface.co", "organs and lesions"):
        assert words in text
    assert buttons(bench.manager) == {"download", "offline", "add"}


def test_downloading_using_and_removing(bench, host):
    bench.manager.choose(NAME)
    bench.manager.downloadButton.click()
    assert "402 MB" in bench.questions[0]
    assert bench.row(NAME)[1] == "on its way"
    host.wait(lambda: bench.manager.progressBar.format == "1 MB")
    assert bench.manager.progressBar.visible and bench.manager.cancelButton.visible
    bench.gate.set()
    host.wait(lambda: bench.row(NAME)[1] == "installed")
    assert not bench.manager.progressBar.visible
    assert buttons(bench.manager) == {"use", "remove", "add"}
    bench.manager.useButton.click()
    assert bench.store.selected == NAME
    assert bench.row(NAME)[0] == f"✓ {NAME}"
    bench.answer = False
    bench.manager.removeButton.click()
    assert bench.store.selected == NAME
    bench.answer = True
    bench.manager.removeButton.click()
    assert "from this computer" in bench.questions[-1]
    assert (bench.store.selected, bench.row(NAME)[1]) == ("embedded", "not downloaded")


def test_cancelling(bench, host):
    bench.manager.choose(NAME)
    bench.manager.downloadButton.click()
    bench.manager.cancelButton.click()
    host.wait(lambda: bench.row(NAME)[1] == "not downloaded")


def test_a_refused_download_does_not_start(bench):
    bench.answer = False
    bench.manager.choose(NAME)
    bench.manager.downloadButton.click()
    assert not bench.store.isTransferring


def test_a_file_fetched_elsewhere(bench, host, tmp_path):
    bench.manager.choose(NAME)
    bench.file = str(tmp_path / "page.html")
    (tmp_path / "page.html").write_text("<html>log in</html>")
    bench.manager.offlineButton.click()
    assert "no weights file" in bench.errors[0]
    bench.file = str(tmp_path / "turbo.pth")
    with zipfile.ZipFile(bench.file, "w") as archive:
        archive.writestr("data.pkl", b"x" * 1000)
    bench.manager.offlineButton.click()
    host.wait(lambda: bench.row(NAME)[1] == "installed")


def test_an_own_file_is_added_and_taken_off_the_list(bench, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file({"a": np.zeros(4, np.float32)}, path, {"architecture": "compact"})
    bench.file = str(path)
    bench.manager.addButton.click()
    assert bench.manager.current.key == str(path)
    assert bench.row(str(path))[0] == "mine.safetensors"
    assert "your own checkpoint: the embedded model" in bench.manager.detailsLabel.text
    assert str(path) in bench.manager.detailsLabel.text
    bench.manager.removeButton.click()
    assert "off the list" in bench.questions[-1]
    assert path.exists()
    assert bench.manager.current.key == "embedded"


def test_a_model_that_proposes_is_listed_and_cannot_be_used_for_clicks(bench, tmp_path):
    path = tmp_path / "organs.safetensors"
    save_file({"a": np.zeros(4, np.float32)}, path, {"architecture": "sam_3d"})
    bench.file = str(path)
    bench.manager.addButton.click()
    assert "proposes whole segments" in bench.manager.detailsLabel.text
    assert buttons(bench.manager) == {"remove", "add"}


def test_an_adapter_says_what_it_is(bench, tmp_path):
    path = tmp_path / "mine.safetensors"
    card = {"licence": "CC-BY-4.0", "data": [{"name": "40 livers"}], "metrics": {"Dice after 1 click": 0.8612}}
    metadata = {"base": NAME, "provenance": json.dumps(card)}
    save_file({"x.lora_A.weight": np.zeros((2, 4), np.float32)}, path, metadata)
    bench.file = str(path)
    bench.manager.addButton.click()
    text = bench.manager.detailsLabel.text
    for words in (
        f"your own adapter of {NAME}",
        "CC-BY-4.0",
        "40 livers",
        "Dice after 1 click 0.861",
        "download it first",
    ):
        assert words in text
    catalogue.place_of(catalogue.entry_of(NAME)).parent.mkdir(parents=True)
    catalogue.place_of(catalogue.entry_of(NAME)).touch()
    bench.manager.refresh()
    assert "download it first" not in bench.manager.detailsLabel.text
    bench.manager.useButton.click()
    assert bench.store.selected == str(path)


def test_the_token_itself_is_never_shown(host, monkeypatch):
    from SAM3DSegmentLib.Models.ModelManager import ModelManager
    from SAM3DSegmentLib.Models.ModelStore import ModelStore

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    manager = ModelManager(ModelStore())
    texts = [label.text for label in manager.widget.findChildren(host.qt.QLabel)]
    assert any("HF_TOKEN (is set)" in text for text in texts)
    assert not any("hf_secret" in text for text in texts)
    manager.close()
