"""The command line: `sam3dseg segment | propose | view | info | models | check | demo`. Heavy imports wait."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import __version__, check_command, propose_command, segment_command, view_command
from .arguments import add_command, add_model_options, parse_click, to_click, with_negative_values

if TYPE_CHECKING:
    from .protocol import Segmenter, SliceSegmenter

BAD_INPUT, FAILED, INTERRUPTED, NOT_READ = 2, 1, 130, 141
PACKAGES = {"skimage": "scikit-image"}  # modules whose package has another name
Loader = Callable[..., "Segmenter | SliceSegmenter"]


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None, *, load_segmenter: Loader | None = None) -> int:
    """Run one command; gives the exit code.

    0, 2 for bad input, 1 when the work failed, 130 when interrupted, 141 when nobody reads what is printed.
    """
    try:
        args = _parser().parse_args(with_negative_values(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:
        return int(stop.code or 0)
    logging.basicConfig(format="sam3dseg: %(levelname)s: %(message)s", level="INFO" if args.verbose else "WARNING")
    try:
        args.run(args, load_segmenter or _load_segmenter)
        sys.stdout.flush()
    except BrokenPipeError:  # `sam3dseg models | head -1`: no mistake, and nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        return NOT_READ
    except (ValueError, OSError, ModuleNotFoundError) as error:
        return _report(error, BAD_INPUT)
    except (RuntimeError, MemoryError) as error:
        return _report(error, FAILED)
    except KeyboardInterrupt:
        return _report("interrupted; nothing half-written", INTERRUPTED)
    return 0


def _report(error: object, code: int) -> int:
    line = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = PACKAGES.get(error.name, error.name)
        line = f"the package {package} is not installed; install it with: pip install {package}"
    elif isinstance(error, OSError) and error.filename and error.strerror:
        line = f"cannot use {error.filename}: {error.strerror.lower()}"
    print(f"sam3dseg: error: {line}", file=sys.stderr)
    return code


def _load_segmenter(name: str, **options: str) -> Segmenter | SliceSegmenter:
    from .segmenter import load_segmenter

    return load_segmenter(name, **options)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sam3dseg", description="Click a structure in a 3D image, get its mask.")
    parser.add_argument("--version", action="version", version=f"sam3dseg {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more about the work")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    segment_command.add_to(commands)
    propose_command.add_to(commands)
    view_command.add_to(commands)
    info = add_command(commands, "info", help="size, spacing, orientation and intensities of an image")
    info.add_argument("image", metavar="IMAGE", type=Path, help="image file or DICOM folder")
    info.set_defaults(run=_info)
    models = add_command(commands, "models", help="list, download, verify or remove models")
    models.set_defaults(run=_list_models)
    actions = models.add_subparsers(title="actions", metavar="ACTION")
    actions.add_parser("list", help="list all models, as without an action")
    for action, (run, text) in _MODEL_ACTIONS.items():
        sub = actions.add_parser(action, help=text)
        sub.add_argument("name", metavar="NAME", help="name in the list of `sam3dseg models`"
                         + (", embedded, or a weights file" if action == "show" else ""))  # fmt: skip
        sub.set_defaults(run=run)
    check_command.add_to(commands)
    demo = add_command(commands, "demo", help="segment a brain template, or your own image, and show what comes out")
    demo.add_argument("image", metavar="IMAGE", nargs="?", type=Path, help="image file or DICOM folder of your own")
    demo.add_argument("--click", type=parse_click, metavar="I,J,K", help="first click in IMAGE (default: its middle)")
    demo.add_argument("--ras", action="store_true", help="the click is in RAS millimetres")
    demo.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=Path("demo-output"),
                      help="folder for the results, made when missing (default: %(default)s)")  # fmt: skip
    add_model_options(demo)
    demo.set_defaults(run=_demo)
    return parser


def _info(args: argparse.Namespace, load_segmenter: Loader) -> None:
    from .imageio import read_image
    from .info import describe

    print(describe(read_image(args.image)))


def _list_models(args: argparse.Namespace, load_segmenter: Loader) -> None:
    from . import catalogue

    print("embedded: part of the software, small and quick; needs no download")
    for entry in catalogue.ENTRIES:
        size = f"about {entry.size_mb} MB" if entry.size_mb else "size not stated"
        state = "installed" if catalogue.is_installed(entry) else "not installed"
        print(f"{entry.name}: {state}, {size}, {entry.licence}")
        print(f"    {entry.purpose}\n    {entry.url}\n    cite: {entry.citation}")
    print(f"folder: {catalogue.models_folder()} (choose another with the variable {catalogue.FOLDER_VARIABLE})")
    print("next: sam3dseg models download NAME | verify NAME | remove NAME")


def _download_model(args: argparse.Namespace, load_segmenter: Loader) -> None:
    from . import catalogue, download
    from .console import transfer

    entry = catalogue.entry_of(args.name)
    with transfer(args.name) as progress:
        path = download.install(entry, progress=progress)
    print(f"{path}\nSHA-256 {catalogue.recorded(entry).get('sha256', 'unknown (placed by hand)')}")
    if entry.sha256 is None:
        print("its publisher states no checksum: this one is kept, and later copies are compared with it")


def _verify_model(args: argparse.Namespace, load_segmenter: Loader) -> None:
    from . import catalogue, download

    print(f"{args.name} is intact: SHA-256 {download.verify(catalogue.entry_of(args.name))}")


def _remove_model(args: argparse.Namespace, load_segmenter: Loader) -> None:
    from . import catalogue

    for path in catalogue.remove(args.name):
        print(f"removed {path}")


def _show_model(args: argparse.Namespace, load_segmenter: Loader) -> None:
    from .checkpoint import load_checkpoint
    from .model_card import card_text
    from .segmenter import weights_path

    print(card_text(load_checkpoint(weights_path(args.name)), name=args.name))


_MODEL_ACTIONS = {
    "show": (_show_model, "what a model is for, the structures it knows, and where it comes from"),
    "download": (_download_model, "download a model, or go on with an unfinished download"),
    "verify": (_verify_model, "compare an installed model with its checksum"),
    "remove": (_remove_model, "delete an installed model"),
}


def _demo(args: argparse.Namespace, load_segmenter: Loader) -> None:
    from .demo import run_demo
    from .imageio import read_image

    if args.click and not args.image:
        raise ValueError("expected an image with --click, received none; give IMAGE, or leave --click out")
    image = read_image(args.image) if args.image else None
    click = None
    if image is not None and args.click:
        values, sign = args.click
        click = to_click(values, sign, image, at_ras=args.ras)
    run_demo(
        args.output,
        lambda: load_segmenter(args.model, device=args.device, precision=args.precision),
        image=image,
        click=click,
        report=lambda line: print(line, flush=True),
    )


if __name__ == "__main__":
    sys.exit(main())
