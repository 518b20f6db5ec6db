"""Downloads that resume, are checked, and appear under their final name only when complete."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import __version__
from .atomic import replacing
from .catalogue import FOLDER_VARIABLE, Entry, local_path, note_of, place_of, recorded

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "HF_TOKEN"
TOKEN_HOST = "huggingface.co"  # the only host that the token is sent to
CHUNK = 1 << 20
TIMEOUT_S = 30.0
ATTEMPTS = 4  # each goes on where the one before was cut off

Progress = Callable[[int, "int | None"], None]  # bytes so far, bytes in all


class _Interrupted(Exception):
    """The connection broke before the end."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Keeps the token on its own host: urllib would send ordinary headers on to wherever a redirect leads."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if new is not None and token and _origin(newurl) == _origin(req.full_url):
            new.add_unredirected_header("Authorization", token)
        return new


def install(entry: Entry, *, progress: Progress | None = None) -> Path:
    """Download a model of the catalogue, unless it is there, and give its path.

    The checksum is compared with the catalogue's, or else with that of the first download, which is recorded beside
    the file. A token in the environment variable HF_TOKEN opens gated files. Raises ValueError for a wrong checksum,
    OSError when the network, the server or the disk fails; what has arrived is kept, the next call goes on from there.
    """
    path = place_of(entry)
    if path.is_file():
        return local_path(entry.name)
    _make_folder(path.parent)
    expected = entry.sha256 or recorded(entry).get("sha256")
    token = os.environ.get(TOKEN_VARIABLE) if urllib.parse.urlsplit(entry.url).hostname == TOKEN_HOST else None
    digest = fetch(entry.url, path, sha256=expected, token=token, progress=progress)
    note = {"url": entry.url, "sha256": digest, "bytes": path.stat().st_size}
    with replacing(note_of(entry)) as temporary:
        temporary.write_text(json.dumps(note, indent=1), encoding="utf-8")
    return path


def verify(entry: Entry) -> str:
    """Compare an installed file with its checksum; gives the checksum. ValueError when it differs or none is known."""
    path = local_path(entry.name)
    expected = entry.sha256 or recorded(entry).get("sha256")
    digest = _sha256(path)
    if expected is None:
        raise ValueError(f"no checksum is known for {path}, which was placed by hand; its SHA-256 is {digest}")
    _compare(digest, expected, path.name)
    return digest


def fetch(
    url: str, path: Path, *, sha256: str | None = None, token: str | None = None, progress: Progress | None = None
) -> str:
    """Download `url` to `path` by way of `path`.part; gives the file's SHA-256.

    Raises ValueError when the checksum differs (the file is discarded), OSError with the way out when the server or the
    disk fails.
    """
    part = path.with_name(path.name + ".part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue(url, part, token, progress)
            break
        except _Interrupted as error:
            log.info("download interrupted (%s), attempt %d of %d", error, attempt, ATTEMPTS)
            if attempt == ATTEMPTS:
                raise OSError(
                    f"the download of {path.name} was cut off ({error}); run it again to go on where it stopped, or "
                    f"save {url} as {path}"
                ) from error
        except urllib.error.HTTPError as error:
            raise OSError(_refusal(error, url, path)) from error
        except urllib.error.URLError as error:
            raise OSError(
                f"no connection to {urllib.parse.urlsplit(url).hostname} ({error.reason}); without a network, download "
                f"{url} elsewhere and save it as {path}"
            ) from error
    digest = _sha256(part)
    if sha256 is not None:
        try:
            _compare(digest, sha256, path.name)
        except ValueError:
            _discard(part)
            raise
    os.replace(part, path)
    _discard(part)
    return digest


def _continue(url: str, part: Path, token: str | None, progress: Progress | None) -> None:
    """Fetch what is missing of `part`; raises _Interrupted when the connection breaks before the end."""
    state = _state(part)
    have = part.stat().st_size if part.exists() and state.get("url") == url and state.get("tag") else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"sam3dseg/{__version__}"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", state["tag"])  # a changed file is sent whole
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return  # all had arrived before
        _discard(part)
        raise _Interrupted("the unfinished file does not fit the server's") from error
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        if total is not None:
            _check_space(part, total - have)
        _remember(part, url, response.headers)
        _copy(response, part, have, total, progress)


def _copy(
    response: http.client.HTTPResponse, part: Path, have: int, total: int | None, progress: Progress | None
) -> None:
    with _readable_errors(part), part.open("ab" if have else "wb") as stream:
        while chunk := _received(response):
            stream.write(chunk)
            have += len(chunk)
            if progress:
                progress(have, total)
        stream.flush()
        os.fsync(stream.fileno())
    if total is not None and have < total:
        raise _Interrupted(f"{have} of {total} bytes arrived")


def _received(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


@contextmanager
def _readable_errors(part: Path) -> Iterator[None]:
    """Say in one line that the unfinished file could not be written, and how to go on."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise type(error)(
            f"cannot write {part}: {reason}; free some space or choose another folder with {FOLDER_VARIABLE}, then run "
            "it again: it goes on where it stopped"
        ) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"cannot make the models folder {folder}: {(error.strerror or str(error)).lower()}; choose another one "
            f"with {FOLDER_VARIABLE}"
        ) from error


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise OSError(
            f"not enough space in {part.parent}: {needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free; "
            f"free some, or choose another folder with {FOLDER_VARIABLE}"
        )


def _refusal(error: urllib.error.HTTPError, url: str, path: Path) -> str:
    """One line on an HTTP error, with the way out. Never holds the token."""
    host = urllib.parse.urlsplit(url).hostname
    if error.code in (401, 403):
        return (
            f"{host} refuses {path.name} (HTTP {error.code}): accept its terms on the web page, then set "
            f"{TOKEN_VARIABLE} to an access token, or save {url} as {path}"
        )
    if error.code == 404:
        return f"{host} has no such file (HTTP 404): {url}; update the software, or place a weights file at {path}"
    return f"{host} cannot deliver {path.name} now (HTTP {error.code}); try again later, or save {url} as {path}"


def _state_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _state(part: Path) -> dict[str, Any]:
    try:
        content = json.loads(_state_path(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(part: Path, url: str, headers: Mapping[str, str]) -> None:
    """Keep what tells later whether the server's file is still the same; a weak tag does not."""
    tag = headers.get("ETag", "")
    tag = headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
    with replacing(_state_path(part)) as temporary:
        temporary.write_text(json.dumps({"url": url, "tag": tag}), encoding="utf-8")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_path(part).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _compare(digest: str, expected: str, name: str) -> None:
    if digest != expected:
        raise ValueError(
            f"{name} is damaged or not the expected file: expected SHA-256 {expected}, received {digest}; "
            "download it again; if its publisher has replaced it, run `sam3dseg models remove` first"
        )


def _origin(url: str) -> tuple[str, str]:
    split = urllib.parse.urlsplit(url)
    return split.scheme, split.netloc
