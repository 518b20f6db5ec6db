"""The command `sam3dseg view`: the page is a package of its own, and loaded when it runs."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .arguments import add_command

VIEWER = "sam3dseg_viewer"
NEEDS = ("trame_slicer", "slicer", VIEWER)
GIB = 2**30
NOTES = """\
example:
  sam3dseg view ct.nii.gz
  sam3dseg view ct.nii.gz --folder /data --folder /results --port 8080 --no-browser

The page can be opened on this computer only. With --host 0.0.0.0 others reach it as well: they need the address that is
printed, with its token, and see and change everything in it; the transfer is not encrypted.

exit code: 0 done, 1 the work failed, 2 bad input, 130 interrupted
"""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    text = "click in an image in the browser, in Slicer's own views"
    view = add_command(commands, "view", help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=NOTES)
    view.add_argument("image", metavar="IMAGE", nargs="?", type=Path, help="image file or DICOM folder")
    view.add_argument("--model", default="embedded", metavar="NAME|PATH",
                      help="embedded (default), a name of `sam3dseg models`, or a weights file")  # fmt: skip
    view.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    view.add_argument("--folder", type=Path, action="append", default=[], metavar="FOLDER",
                      help="what the page may open and save in (default: the image's folder, else the present one); "
                      "repeat")  # fmt: skip
    view.add_argument("--port", type=_port, default=0, help="default: any free one")
    view.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this computer)")
    view.add_argument("--max-upload", type=_size, default=2 * GIB, metavar="GIB",
                      help="largest file that the browser may send (default: 2)")  # fmt: skip
    view.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    view.set_defaults(run=_view)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) < 2**16:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to {2**16 - 1}, received {text}")
    return int(text)


def _size(text: str) -> int:
    """Bytes of a number of GiB."""
    try:
        size = float(text) * GIB
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of GiB above 0, received {text}")
    return int(size)


def _view(args: argparse.Namespace, load_segmenter: Any) -> None:
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"expected the viewer's packages, {missing[0]} is not installed: see `make demo`, or install in a virtual "
            'environment of its own with: pip install "sam3dseg[viewer]"'
        )
    server = import_module(f"{VIEWER}.server")
    server.serve(
        server.Options(
            image=args.image,
            host=args.host,
            port=args.port,
            model=args.model,
            device=args.device,
            folders=tuple(args.folder),
            max_upload=args.max_upload,
            opens_browser=not args.no_browser,
        ),
        report=lambda line: print(line, flush=True),
    )
