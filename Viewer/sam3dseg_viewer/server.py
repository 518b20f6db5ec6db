"""The server of the page: puts its parts together, listens, and cleans up."""

from __future__ import annotations

import asyncio
import logging
import os
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trame_rca.module
import vtk
from trame.app import get_server
from trame_slicer.core import SlicerApp

from sam3dseg.catalogue import ENTRIES, is_installed
from sam3dseg.imageio import read_image

from .access import ANY_ADDRESS, Gate, is_loopback, new_token
from .ahead import Ahead
from .commands import Commands
from .files import Files
from .folders import Folders
from .page import Page
from .polling import Polling
from .saving import FORMATS
from .uploads import GIB, Uploads
from .views import Views
from .web import Web
from .workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `sam3dseg view` was asked for. folders: those of the page; without any, the image's own or the present."""

    image: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    model: str = "embedded"
    device: str = "auto"
    folders: tuple[Path, ...] = ()
    max_upload: int = 2 * GIB
    opens_browser: bool = True


def serve(options: Options, report: Callable[[str], None] = print) -> None:
    """Show the page until it is interrupted. Raises ValueError or OSError for what cannot be used."""
    gate = Gate(options.host, None if is_loopback(options.host) else new_token())
    folders = Folders(options.folders or (_home(options.image),))
    image = None if options.image is None else read_image(options.image)
    secret = new_token()
    _configure(secret)
    app = SlicerApp()
    _quiet()
    server = get_server(client_type="vue3")
    server.enable_module(trame_rca.module)
    workspace = Workspace(app.scene, app.app_logic, model=options.model, device=options.device)
    uploads = Uploads(options.max_upload)
    try:
        views = Views(app, server)
        ahead = Ahead(workspace.prepare)
        page = Page(server, workspace, views, folders=folders, models=_models(options.model))
        files = Files(server, workspace, views, page, folders=folders, ahead=ahead)
        polling = Polling(server.state, workspace, views, page, ahead)
        Commands(server, workspace, views, page, ahead=ahead)
        if image is not None and options.image is not None:
            files.show_image(image, options.image)
            page.refresh()
        web = Web(gate, uploads, on_upload=files.open_upload, save=workspace.save, formats=list(FORMATS), secret=secret)
        server.controller.on_server_bind.add(lambda site: web.join(site.app))
        server.controller.on_server_ready.add(lambda **_: _announce(server, gate, options, report))
        server.controller.on_server_ready.add(lambda **_: polling.start())
        server.controller.on_server_ready.add(lambda **_: asyncio.get_running_loop().set_exception_handler(_on_stray))
        server.controller.on_exception.add(_on_error)
        _listen(server, options)
    finally:
        workspace.close()
        uploads.close()


def _listen(server: Any, options: Options) -> None:
    """Until the server ends."""
    quiet = {"open_browser": False, "show_connection_info": False, "disable_logging": True}
    try:
        server.start(host=options.host, port=options.port, timeout=0, **quiet)
    except OSError as error:
        known = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        reason = (known or str(error)).lower()
        where = f"{options.host}, port {options.port}"
        raise OSError(f"cannot listen on {where}: {reason}; choose others with --host and --port") from error


def _on_stray(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A page that went away while something was sent to it is no error."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


def _on_error(error: Exception) -> None:
    if not isinstance(error, ConnectionError):
        log.error("a command of the page failed", exc_info=error)


def _announce(server: Any, gate: Gate, options: Options, report: Callable[[str], None]) -> None:
    name = "localhost" if gate.host in ANY_ADDRESS else gate.host
    name = f"[{name}]" if ":" in name else name
    url = f"http://{name}:{server.port}/" + (f"?token={gate.token}" if gate.token else "")
    report(f"open {url} (stop with Ctrl+C)")
    if options.opens_browser and not gate.token:  # a command line with the token would be seen by others
        webbrowser.open(url)


def _models(chosen: str) -> list[str]:
    names = ["embedded", *(entry.name for entry in ENTRIES if is_installed(entry))]
    return names if chosen in names else [chosen, *names]


def _home(image: Path | None) -> Path:
    if image is None:
        return Path.cwd()
    return image.resolve().parent


def _configure(secret: str) -> None:
    """trame reads the command line and tells when it starts: both are this program's own. Before trame starts."""
    os.environ["TRAME_ARGS"] = f"--authKey={secret}"
    os.environ["WSLINK_READY_MSG"] = ""
    os.environ["WSLINK_WS_COMPRESS"] = "0"  # what is sent is JPEG
    logging.getLogger("wslink").setLevel(
        logging.CRITICAL
    )  # it logs every page that goes away; `_on_error` has the rest


def _quiet() -> None:
    """VTK's warnings are nothing to the user; its errors are logged once. After Slicer's libraries have set theirs."""
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)
    vtk.vtkOutputWindow.GetInstance().SetDisplayModeToNever()
