from __future__ import annotations

import hashlib
import json
import logging
import threading
import urllib.request
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sam3dseg import catalogue, download
from sam3dseg.download import fetch, install, verify

CONTENT = bytes(range(256)) * 9000  # 2.3 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """A local stand-in for a hub: what it serves and how it misbehaves."""

    content: bytes = CONTENT
    tag: str = '"one"'
    cut_after: int | None = None  # bytes sent before the connection breaks
    status: int | None = None
    ranges: bool = True
    redirect_to: str | None = None
    redirects: int = 99
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def make_server():
    running = []

    def make() -> Server:
        state = Server()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                state.requests.append(dict(self.headers))
                if state.status:
                    self.send_error(state.status)
                    return
                if state.redirect_to and len(state.requests) <= state.redirects:
                    self.send_response(302)
                    self.send_header("Location", state.redirect_to)
                    self.end_headers()
                    return
                start, asked = 0, self.headers.get("Range")
                if asked and state.ranges and self.headers.get("If-Range") == state.tag:
                    start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(state.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(state.content)}")
                    self.end_headers()
                    return
                body = state.content[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", state.tag)
                self.end_headers()
                self.wfile.write(body[: state.cut_after])

            def log_message(self, *args) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        running.append(server)
        state.url = f"http://127.0.0.1:{server.server_port}/model.pth"
        return state

    yield make
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(make_server) -> Server:
    return make_server()


@pytest.fixture
def entry(server, tmp_path, monkeypatch) -> catalogue.Entry:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    monkeypatch.delenv(download.TOKEN_VARIABLE, raising=False)
    entry = catalogue.Entry("toy", "tests", server.url, 2, "CC0", "nobody")
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    return entry


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_whole_and_reports_progress(server, tmp_path):
    seen = []
    assert fetch(server.url, tmp_path / "a.pth", progress=lambda done, total: seen.append((done, total))) == DIGEST
    assert (tmp_path / "a.pth").read_bytes() == CONTENT and names(tmp_path) == ["a.pth"]
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen) and len(seen) > 1


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    server.cut_after = 1_000_000
    assert fetch(server.url, tmp_path / "a.pth", sha256=DIGEST) == DIGEST
    assert [r.get("Range") for r in server.requests] == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_later_call_resumes_too(server, tmp_path):
    server.cut_after = 100_000
    with pytest.raises(OSError, match="was cut off .400000 of 2304000 bytes arrived.; run it again to go on"):
        fetch(server.url, tmp_path / "a.pth")
    assert names(tmp_path) == ["a.pth.part", "a.pth.part.json"]
    server.cut_after, before = None, len(server.requests)
    assert fetch(server.url, tmp_path / "a.pth") == DIGEST
    assert [r["Range"] for r in server.requests[before:]] == ["bytes=400000-"]


@pytest.mark.parametrize("change", ["tag", "no ranges", "another address"])
def test_a_part_that_no_longer_fits_is_fetched_anew(server, tmp_path, change):
    server.cut_after = 100_000
    with pytest.raises(OSError, match="cut off"):
        fetch(server.url, tmp_path / "a.pth")
    server.cut_after, url = None, server.url
    if change == "tag":
        server.tag, server.content = '"two"', CONTENT[::-1]
    elif change == "no ranges":
        server.ranges = False
    else:
        url += "?other"
    fetch(url, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").read_bytes() == server.content


def test_a_part_that_is_complete_already_is_taken(server, tmp_path):
    (tmp_path / "a.pth.part").write_bytes(CONTENT)
    (tmp_path / "a.pth.part.json").write_text(json.dumps({"url": server.url, "tag": server.tag}))
    assert fetch(server.url, tmp_path / "a.pth", sha256=DIGEST) == DIGEST
    (tmp_path / "b.pth.part").write_bytes(CONTENT + b"more")
    (tmp_path / "b.pth.part.json").write_text(json.dumps({"url": server.url, "tag": server.tag}))
    assert fetch(server.url, tmp_path / "b.pth", sha256=DIGEST) == DIGEST


def test_a_wrong_checksum_discards_the_file(server, tmp_path):
    with pytest.raises(ValueError, match=f"a.pth is damaged.*expected SHA-256 {'0' * 64}, received {DIGEST}"):
        fetch(server.url, tmp_path / "a.pth", sha256="0" * 64)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "accept its terms.*set HF_TOKEN"), (403, "set HF_TOKEN"), (404, "no such file"), (500, "try again")],
)  # fmt: skip
def test_refusals_say_what_to_do(server, tmp_path, status, words):
    server.status = status
    with pytest.raises(OSError, match=words) as caught:
        fetch(server.url, tmp_path / "a.pth", token="hf_secret")
    assert f"HTTP {status}" in str(caught.value)
    assert str(tmp_path / "a.pth") in str(caught.value) and "secret" not in str(caught.value)
    assert names(tmp_path) == []


def test_without_a_network_the_error_says_how_to_place_the_file(tmp_path):
    url = "http://127.0.0.1:9/model.pth"
    with pytest.raises(OSError) as caught:
        fetch(url, tmp_path / "a.pth")
    assert f"download {url} elsewhere and save it as {tmp_path / 'a.pth'}" in str(caught.value)


def test_too_little_space_is_noticed_before_the_download(server, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"not enough space .* 2 MB needed, 0 MB free"):
        fetch(server.url, tmp_path / "a.pth")
    assert names(tmp_path) == []


def test_the_token_stays_on_its_host(make_server, tmp_path):
    hub, storage = make_server(), make_server()
    hub.redirect_to = storage.url
    fetch(hub.url, tmp_path / "a.pth", token="hf_secret")
    assert hub.requests[0]["Authorization"] == "Bearer hf_secret"
    assert "Authorization" not in storage.requests[0]


def test_the_token_follows_a_redirect_within_its_host(server, tmp_path):
    server.redirect_to, server.redirects = server.url.replace("model.pth", "moved.pth"), 1
    fetch(server.url, tmp_path / "a.pth", token="hf_secret")
    assert [r.get("Authorization") for r in server.requests] == ["Bearer hf_secret"] * 2


def test_install_records_the_first_checksum_and_compares_later_ones(server, entry, caplog):
    with caplog.at_level(logging.DEBUG):
        path = install(entry)
    assert path == catalogue.local_path("toy")
    assert catalogue.recorded(entry) == {"url": entry.url, "sha256": DIGEST, "bytes": len(CONTENT)}
    assert verify(entry) == DIGEST
    assert install(entry) == path and len(server.requests) == 1  # it is there: no second download
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(ValueError, match="is damaged or not the expected file"):
        install(entry)


def test_verify_finds_a_changed_byte_and_a_file_of_unknown_origin(entry):
    path = install(entry)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ValueError, match="toy|model.pth is damaged"):
        verify(entry)
    catalogue.note_of(entry).unlink()
    with pytest.raises(ValueError, match="no checksum is known .* placed by hand; its SHA-256 is"):
        verify(entry)


def test_the_catalogue_checksum_counts(entry):
    with pytest.raises(ValueError, match="is damaged"):
        install(replace(entry, sha256="0" * 64))
    assert names(catalogue.models_folder()) == []


def test_the_token_is_read_for_its_hub_only_and_never_logged(server, entry, monkeypatch, caplog):
    monkeypatch.setenv(download.TOKEN_VARIABLE, "hf_secret")
    with caplog.at_level(logging.DEBUG):
        install(entry)
    assert "Authorization" not in server.requests[0]
    catalogue.remove("toy")
    monkeypatch.setattr(download, "TOKEN_HOST", "127.0.0.1")
    with caplog.at_level(logging.DEBUG):
        install(entry)
    assert server.requests[1]["Authorization"] == "Bearer hf_secret"
    assert "secret" not in caplog.text
    assert all("secret" not in p.read_text(encoding="utf-8") for p in catalogue.models_folder().glob("*.json"))


def test_a_server_that_falls_silent_is_asked_again(server, tmp_path, monkeypatch):
    real, calls = urllib.request.OpenerDirector.open, []

    def slow(self, request, **options):
        calls.append(request)
        if len(calls) == 1:
            raise TimeoutError("timed out")
        return real(self, request, **options)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", slow)
    assert fetch(server.url, tmp_path / "a.pth", sha256=DIGEST) == DIGEST
    assert len(calls) == 2


def test_a_disk_that_fills_up_says_how_to_go_on(server, tmp_path, monkeypatch):
    real = Path.open

    def full(self, mode="r", **options):
        if self.name == "a.pth.part" and mode in ("ab", "wb"):
            raise OSError(28, "No space left on device")
        return real(self, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(
        OSError, match=r"cannot write .*a.pth.part: no space left on device; free some space or .*goes on"
    ):
        fetch(server.url, tmp_path / "a.pth")
    monkeypatch.setattr(Path, "open", real)
    assert fetch(server.url, tmp_path / "a.pth") == DIGEST


def test_a_models_folder_that_cannot_be_made_is_named(server, entry, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "file" / "models"))
    with pytest.raises(
        OSError, match="cannot make the models folder .*: not a directory; choose another one with SAM3"
    ):
        install(entry)
    assert not server.requests
