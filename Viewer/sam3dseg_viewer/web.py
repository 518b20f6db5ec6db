"""HTTP beside trame's own: who is let in, uploads, downloads. Runs on the server's event loop."""

from __future__ import annotations

import zipfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from .access import Gate, Request
from .messages import EXPECTED_ERRORS, one_line
from .uploads import Uploads

START = "/index.html?reconnect=auto"
CHUNK = 2**20  # bytes
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; "
    "worker-src 'self' blob:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Opened = Callable[[Path], Awaitable[str]]  # gives what is wrong, or ""
Saved = Callable[[Path], Sequence[Path]]


class Web:
    """Adds to an aiohttp application what the page needs of it.

    on_upload is called with a file that was received, and removed after; save writes the file of a path and gives all
    that it wrote.
    """

    def __init__(
        self, gate: Gate, uploads: Uploads, *, on_upload: Opened, save: Saved, formats: Sequence[str], secret: str
    ) -> None:
        self._gate, self._uploads = gate, uploads
        self._on_upload, self._save, self._formats = on_upload, save, tuple(formats)
        self._secret = secret

    def join(self, app: web.Application) -> None:
        app.middlewares.append(self._guard)
        app.router.add_get("/", self._start)
        app.router.add_post("/paraview/", self._session)
        app.router.add_post("/upload", self._upload)
        app.router.add_get("/download", self._download)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        asked = Request(
            host=request.headers.get("Host", ""),
            origin=request.headers.get("Origin"),
            token=request.query.get("token"),
            cookies=request.cookies,
        )
        refusal = self._gate.refusal(asked)
        if refusal is not None:
            return web.Response(status=403, text=refusal, headers=HEADERS)
        if "token" in request.query and self._gate.has_token(asked):  # out of the address, where others may see it
            response: web.StreamResponse = web.Response(status=303, headers={"Location": START, **HEADERS})
            response.set_cookie(
                self._gate.cookie_name(asked.host), self._gate.token or "", httponly=True, samesite="Strict"
            )
            return response
        try:
            response = await handler(request)
        except ConnectionError:  # the page went away, and there is nobody to answer
            return web.Response(status=499)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _start(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(START)

    async def _session(self, request: web.Request) -> web.StreamResponse:
        """Where trame's client asks for the WebSocket, and for the secret that it takes."""
        return web.json_response({"sessionURL": f"ws://{request.host}/ws", "secret": self._secret})

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Origin") is None:  # every browser names itself when it sends a file
            return web.Response(status=403, text="expected an upload of the page, received one without an origin")
        try:
            chunks = request.content.iter_chunked(CHUNK)
            path = await self._uploads.receive(request.query.get("name", ""), chunks, announced=request.content_length)
        except EXPECTED_ERRORS as error:
            return web.Response(status=413, text=one_line(error))
        try:
            error_text = await self._on_upload(path)
        finally:
            self._uploads.remove(path)
        return web.Response(status=400 if error_text else 200, text=error_text)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        suffix = request.query.get("format", "")
        if suffix not in self._formats:
            return web.Response(status=400, text=f"expected one of {', '.join(self._formats)}, received {suffix!r}")
        path = self._uploads.new_file(f"segmentation{suffix}")
        try:
            written = self._save(path)
            body = _one_file(written)
            data = body.read_bytes()
        except EXPECTED_ERRORS as error:
            return web.Response(status=400, text=one_line(error))
        finally:
            self._uploads.remove(path)
        return web.Response(
            body=data,
            content_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{body.name}"'},
        )


def _one_file(paths: Sequence[Path]) -> Path:
    """The file, or an archive of all of them."""
    if len(paths) == 1:
        return paths[0]
    archive = paths[0].with_name("surfaces.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in paths:
            packed.write(path, path.name)
    return archive
