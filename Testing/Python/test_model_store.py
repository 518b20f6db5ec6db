"""The choice of models, and fetching them from a server on this computer."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sam3dseg import catalogue
from SAM3DSegmentLib.Models.ModelStore import MemorySettings, ModelStore, sharedStore

NAME = "sam-med3d-turbo"
MODULE = Path(__file__).resolve().parents[2] / "SAM3DSegment"


def weightsBytes() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data.pkl", bytes(range(256)) * 12000)  # 3 MB, three chunks
    return stream.getvalue()


CONTENT = weightsBytes()


class Server:
    """Serves CONTENT; each chunk waits for `gate` while it is closed."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.ranges: list[str | None] = []
        self.content = CONTENT
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
                body = outer.content[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", '"one"')
                self.end_headers()
                for begin in range(0, len(body), 1 << 20):
                    try:
                        self.wfile.write(body[begin : begin + (1 << 20)])
                    except OSError:
                        return
                    outer.gate.wait(20)

            def log_message(self, *args) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/model.pth"

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch, tmp_path) -> Iterator[Server]:
    running = Server()
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    entries = tuple(replace(e, url=running.url) if e.name == NAME else e for e in catalogue.ENTRIES)
    monkeypatch.setattr(catalogue, "ENTRIES", entries)
    yield running
    running.close()


@pytest.fixture
def store(monkeypatch, tmp_path) -> ModelStore:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    return ModelStore()


def ownFile(folder: Path, name: str = "mine.safetensors") -> Path:
    path = folder / name
    save_file({"a": np.zeros(4, np.float32)}, path, {"architecture": "compact"})
    return path


def test_the_embedded_model_is_first_ready_and_chosen(store):
    first = store.models()[0]
    assert (first.key, first.state, store.selected) == ("embedded", "ready", "embedded")
    assert first.sizeBytes > 1e6
    assert first.licence and first.citation


def test_the_catalogue_is_listed_with_what_a_user_wants_to_know(store):
    models = {model.key: model for model in store.models()}
    for entry in catalogue.ENTRIES:
        model = models[entry.name]
        assert model.state == "absent"
        assert (model.licence, model.citation, model.url) == (entry.licence, entry.citation, entry.url)
    assert models[NAME].sizeBytes == 402_000_000


def test_a_model_that_is_not_here_cannot_be_chosen(store):
    with pytest.raises(ValueError, match="download it or choose its file first"):
        store.select(NAME)
    with pytest.raises(ValueError, match="expected one of embedded, sam-med3d-turbo"):
        store.select("other")
    assert store.selected == "embedded"


def test_a_download_reports_progress_and_then_the_model_can_be_chosen(store, server):
    server.gate.clear()
    told: list[str] = []
    store.addListener(lambda: told.append(store.model(NAME).state))
    transfer = store.download(NAME)
    assert store.model(NAME).state == "transferring"
    assert store.isTransferring
    waitFor(lambda: transfer.received > 0)
    assert transfer.total == len(CONTENT)
    store.poll()
    told_while_running = len(told)
    store.poll()  # nothing new
    assert len(told) == told_while_running
    assert store.download(NAME) is transfer
    server.gate.set()
    assert transfer.wait(20)
    assert store.isTransferring  # until a poll has told that it is over
    store.poll()
    assert told[-1] == "ready"
    assert not store.isTransferring
    store.select(NAME)
    assert store.selected == NAME
    assert Path(catalogue.local_path(NAME)).read_bytes() == CONTENT


def test_cancelling_keeps_what_arrived_and_the_next_download_goes_on(store, server):
    server.gate.clear()
    transfer = store.download(NAME)
    waitFor(lambda: transfer.received > 0)
    store.cancel(NAME)
    assert transfer.isStopping
    server.gate.set()
    assert transfer.wait(20)
    store.poll()
    assert (transfer.state, transfer.error) == ("cancelled", "")
    assert store.model(NAME).state == "partial"
    assert store.download(NAME).wait(20)
    assert store.model(NAME).state == "ready"
    assert server.ranges[1] is not None
    assert catalogue.place_of(catalogue.entry_of(NAME)).read_bytes() == CONTENT


def test_a_failed_download_says_why_and_can_be_tried_again(store, server):
    server.close()
    transfer = store.download(NAME)
    assert transfer.wait(20)
    store.poll()
    assert transfer.state == "failed"
    assert store.lastError == transfer.error == store.model(NAME).note
    assert "without a network" in transfer.error
    assert store.download(NAME) is not transfer


def test_an_unexpected_error_in_the_thread_is_shown_too(store):
    def install(entry, progress):
        raise KeyError("odd")

    store = ModelStore(install=install)
    transfer = store.download(NAME)
    assert transfer.wait(20)
    assert (transfer.state, transfer.error) == ("failed", "KeyError: 'odd'")


def test_an_offline_file_takes_the_place_of_a_download(store, tmp_path):
    source = tmp_path / "brought.pth"
    source.write_bytes(CONTENT)
    transfer = store.useOfflineFile(NAME, source)
    assert transfer.wait(20)
    store.poll()
    assert store.model(NAME).state == "ready"
    assert transfer.received == transfer.total == len(CONTENT)
    assert catalogue.recorded(catalogue.entry_of(NAME))["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert source.exists()


def test_a_wrong_offline_file_is_refused(store, tmp_path, monkeypatch):
    page = tmp_path / "page.pth"
    page.write_text("<html>please log in</html>")
    with pytest.raises(ValueError, match="no weights file"):
        store.useOfflineFile(NAME, page)
    entries = tuple(replace(entry, sha256="0" * 64) for entry in catalogue.ENTRIES)
    monkeypatch.setattr(catalogue, "ENTRIES", entries)
    other = tmp_path / "other.pth"
    other.write_bytes(CONTENT)
    transfer = store.useOfflineFile(NAME, other)
    assert transfer.wait(20)
    store.poll()
    assert "expected SHA-256 0000" in store.lastError
    assert not catalogue.place_of(catalogue.entry_of(NAME)).exists()


def test_removing_frees_the_disk_and_the_choice_falls_back(store, server):
    assert store.download(NAME).wait(20)
    store.poll()
    store.select(NAME)
    store.remove(NAME)
    assert store.model(NAME).state == "absent"
    assert store.selected == "embedded"
    assert os.listdir(catalogue.models_folder()) == []
    with pytest.raises(ValueError, match="part of the extension"):
        store.remove("embedded")


def test_a_model_on_its_way_is_not_removed(store, server):
    server.gate.clear()
    transfer = store.download(NAME)
    with pytest.raises(ValueError, match="cancel that first"):
        store.remove(NAME)
    server.gate.set()
    assert transfer.wait(20)


def test_a_truncated_model_is_damaged(store, server):
    assert store.download(NAME).wait(20)
    place = catalogue.place_of(catalogue.entry_of(NAME))
    place.write_bytes(CONTENT[:100])
    model = store.model(NAME)
    assert (model.state, model.isUsable) == ("damaged", False)
    assert f"expected {len(CONTENT)} bytes, found 100" in model.note


def test_own_files_are_remembered_over_restarts(tmp_path):
    settings = MemorySettings()
    store = ModelStore(settings)
    path = ownFile(tmp_path)
    model = store.addOwn(path)
    store.addOwn(path)
    store.select(model.key)
    store.setDevice("cpu")
    again = ModelStore(settings)
    assert [m.key for m in again.models() if m.kind == "own"] == [str(path.resolve())]
    assert (again.selected, again.device) == (str(path.resolve()), "cpu")
    found = again.model(model.key)
    assert (found.title, found.weights.architecture) == ("mine.safetensors", "compact")


def test_a_model_that_proposes_is_none_for_clicks(tmp_path):
    settings = MemorySettings()
    store = ModelStore(settings)
    path = tmp_path / "organs.safetensors"
    save_file({"a": np.zeros(4, np.float32)}, path, {"architecture": "sam_3d"})
    key = store.addOwn(path).key
    assert [model.key for model in store.proposers()] == [key]
    assert key not in [model.key for model in store.clickModels()]
    with pytest.raises(ValueError, match="organs.safetensors proposes whole segments and takes no clicks"):
        store.select(key)
    settings.setValue("SAM3DSegment/model", key)  # as an earlier file of that name had been chosen
    assert store.selected == "embedded"
    path.unlink()
    assert store.proposers() == ()


def test_an_own_file_that_is_gone_stays_listed_and_is_not_used(tmp_path):
    store = ModelStore()
    key = store.addOwn(ownFile(tmp_path)).key
    store.select(key)
    Path(key).unlink()
    assert store.model(key).state == "missing"
    assert store.selected == "embedded"
    Path(key).write_bytes(b"something else")
    assert store.model(key).state == "damaged"
    store.remove(key)
    assert Path(key).exists()
    assert [m for m in store.models() if m.kind == "own"] == []


def test_bad_settings_do_no_harm():
    settings = MemorySettings()
    settings.setValue("SAM3DSegment/ownModels", "{broken")
    settings.setValue("SAM3DSegment/device", "toaster")
    settings.setValue("SAM3DSegment/model", "gone")
    store = ModelStore(settings)
    assert (store.selected, store.device) == ("embedded", "auto")
    with pytest.raises(ValueError, match="expected one of auto, cuda, mps, cpu"):
        store.setDevice("toaster")


def test_the_store_is_one_per_process():
    assert sharedStore() is sharedStore()


def test_the_models_need_neither_qt_nor_pytorch():
    code = f"""
import sys
sys.path.append({str(MODULE)!r})
from SAM3DSegmentLib.Models.ModelStore import ModelStore
assert ModelStore().selected == "embedded"
assert not {{"torch", "qt", "PySide6", "slicer"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def waitFor(condition, timeout_s: float = 20.0) -> None:
    pause = threading.Event()
    for _ in range(int(timeout_s * 100)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("still not so")
