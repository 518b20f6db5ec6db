"""Requests beside the page: let in or refused, files received and given."""

from __future__ import annotations

import asyncio
import io
import zipfile

import pytest

pytest.importorskip("aiohttp", reason="aiohttp is not installed: it comes with the extra `viewer`")

from aiohttp import web  # noqa: E402
from aiohttp.test_utils import TestClient, TestServer  # noqa: E402

from sam3dseg_viewer.access import Gate, new_token  # noqa: E402
from sam3dseg_viewer.uploads import Uploads  # noqa: E402
from sam3dseg_viewer.web import HEADERS, Web  # noqa: E402

TOKEN = new_token()
FORMATS = (".nii.gz", ".stl")


class Bench:
    """A site with one page; `opened` are the contents of what was uploaded, `wrong` what is said of them."""

    def __init__(self, folder, monkeypatch, gate=None):
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        self.uploads = Uploads(max_bytes=1000)
        self.opened, self.wrong, self.surfaces, self.problem = [], "", 1, None
        self.web = Web(
            gate or Gate("127.0.0.1"), self.uploads, on_upload=self._open, save=self._save, formats=FORMATS, secret="s"
        )

    def run(self, scenario):
        """Run scenario(client) against the site."""

        async def served():
            app = web.Application()
            self.web.join(app)
            app.router.add_get("/index.html", self._page)
            async with TestClient(TestServer(app)) as client:
                self.origin = f"http://127.0.0.1:{client.port}"
                await scenario(client)

        asyncio.run(served())

    async def _page(self, request):
        return web.Response(text="the page")

    async def _open(self, path):
        self.opened.append((path.name, path.read_bytes()))
        return self.wrong

    def _save(self, path):
        if self.problem:
            raise self.problem
        paths = [path.with_name(f"{n}-{path.name}") for n in range(self.surfaces)]
        for path in paths:
            path.write_bytes(b"content")
        return paths


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


@pytest.fixture
def open_bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch, Gate("0.0.0.0", TOKEN))


def test_the_page_comes_with_headers_that_keep_others_out(bench):
    async def scenario(client):
        answer = await client.get("/")
        assert (answer.status, await answer.text()) == (200, "the page")
        assert answer.url.query["reconnect"] == "auto"
        assert all(answer.headers[name] == value for name, value in HEADERS.items())

    bench.run(scenario)


def test_requests_of_other_sites_reach_nothing(bench):
    async def scenario(client):
        for path in ("/", "/index.html", "/download?format=.stl", "/none"):
            for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
                assert (await client.get(path, headers=headers)).status == 403, (path, headers)
        for path in ("/upload?name=a.nii", "/paraview/"):
            answer = await client.post(path, data=b"1", headers={"Origin": "http://evil.example"})
            assert answer.status == 403
        assert bench.opened == []

    bench.run(scenario)


def test_the_token_opens_once_and_leaves_the_address(open_bench):
    async def scenario(client):
        for path in ("/", "/index.html", "/none", "/?token=wrong", "/?token="):
            assert (await client.get(path)).status == 403, path
        assert (await client.post("/paraview/")).status == 403
        answer = await client.get(f"/?token={TOKEN}", allow_redirects=False)
        assert answer.status == 303 and "token" not in answer.headers["Location"]
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        name, _, value = cookie.partition(";")[0].partition("=")
        answer = await client.get("/", headers={"Cookie": f"{name}={value}"})
        assert (answer.status, await answer.text()) == (200, "the page")
        assert TOKEN not in str(answer.url)

    open_bench.run(scenario)


def test_an_upload_is_opened_and_removed(bench):
    async def scenario(client):
        answer = await client.post("/upload?name=../a.nii", data=b"123", headers={"Origin": bench.origin})
        assert (answer.status, await answer.text()) == (200, "")
        assert bench.opened == [("a.nii", b"123")]
        assert list(bench.uploads.folder.iterdir()) == []
        bench.wrong = "expected an image"
        answer = await client.post("/upload?name=a.nii", data=b"123", headers={"Origin": bench.origin})
        assert (answer.status, await answer.text()) == (400, "expected an image")
        assert list(bench.uploads.folder.iterdir()) == []

    bench.run(scenario)


def test_an_upload_that_is_too_large_or_of_nobody_is_refused(bench):
    async def parts():
        for _ in range(11):
            yield b"1" * 100

    async def scenario(client):
        for data in (b"1" * 1001, parts()):
            answer = await client.post("/upload?name=a.nii", data=data, headers={"Origin": bench.origin})
            assert answer.status == 413 and "expected a file of at most" in await answer.text()
        assert (await client.post("/upload?name=a.nii", data=b"1")).status == 403
        assert bench.opened == [] and list(bench.uploads.folder.iterdir()) == []

    bench.run(scenario)


def test_a_download_is_the_file_or_an_archive_of_several(bench):
    async def scenario(client):
        answer = await client.get("/download", params={"format": ".nii.gz"})
        assert await answer.read() == b"content" and ".nii.gz" in answer.headers["Content-Disposition"]
        bench.surfaces = 3
        answer = await client.get("/download", params={"format": ".stl"})
        with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
            assert len(archive.namelist()) == 3 and archive.testzip() is None
        assert list(bench.uploads.folder.iterdir()) == []

    bench.run(scenario)


def test_a_download_that_cannot_be_made_says_why(bench):
    async def scenario(client):
        for wanted in ("", ".exe", "../x", "/etc/passwd"):
            answer = await client.get("/download", params={"format": wanted})
            assert answer.status == 400 and "expected one of .nii.gz, .stl" in await answer.text()
        bench.problem = ValueError("expected a segment with voxels to save, received none")
        answer = await client.get("/download", params={"format": ".stl"})
        assert (answer.status, await answer.text()) == (400, str(bench.problem))
        assert list(bench.uploads.folder.iterdir()) == []

    bench.run(scenario)
