"""The command line: `sam3dseg segment | info | models | demo`. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__
from .arguments import parse_box, parse_click, parse_color, parse_name, to_box, to_click, with_negative_values
from .prompts import Box, Click, Request

if TYPE_CHECKING:
    from .protocol import Segmenter
    from .session import Session

BAD_INPUT, FAILED, INTERRUPTED, NOT_READ = 2, 1, 130, 141
PACKAGES = {"skimage": "scikit-image"}  # modules whose package has another name
SEGMENT_NOTES = """\
example:
  sam3dseg segment ct.nii.gz --click 120,88,40 --click 131,90,40- -o liver.seg.nrrd

our own JSON for --clicks (space: ras in mm, or ijk; boxes may be left out):
  {"space": "ras", "clicks": [{"position": [-81.9, 227.3, 130.3], "foreground": true}],
   "boxes": [{"lower": [-90, 210, 100], "upper": [-70, 240, 140]}]}
prompts with the same number, such as "request": 0, are given together, lower numbers first

exit code: 0 done, 1 the work failed, 2 bad input, 130 interrupted
"""
Loader = Callable[..., "Segmenter"]
log = logging.getLogger(__name__)


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


def _load_segmenter(name: str, **options: str) -> Segmenter:
    from .segmenter import load_segmenter

    return load_segmenter(name, **options)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sam3dseg", description="Click a structure in a 3D image, get its mask.")
    parser.add_argument("--version", action="version", version=f"sam3dseg {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more about the work")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_segment(commands)
    info = _add_command(commands, "info", help="size, spacing, orientation and intensities of an image")
    info.add_argument("image", metavar="IMAGE", type=Path, help="image file or DICOM folder")
    info.set_defaults(run=_info)
    models = _add_command(commands, "models", help="list, download, verify or remove models")
    models.set_defaults(run=_list_models)
    actions = models.add_subparsers(title="actions", metavar="ACTION")
    actions.add_parser("list", help="list all models, as without an action")
    for action, (run, text) in _MODEL_ACTIONS.items():
        sub = actions.add_parser(action, help=text)
        sub.add_argument("name", metavar="NAME", help="name in the list of `sam3dseg models`")
        sub.set_defaults(run=run)
    demo = _add_command(commands, "demo", help="segment a brain template, or your own image, and show what comes out")
    demo.add_argument("image", metavar="IMAGE", nargs="?", type=Path, help="image file or DICOM folder of your own")
    demo.add_argument("--click", type=parse_click, metavar="I,J,K", help="first click in IMAGE (default: its middle)")
    demo.add_argument("--ras", action="store_true", help="the click is in RAS millimetres")
    demo.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=Path("demo-output"),
                      help="folder for the results, made when missing (default: %(default)s)")  # fmt: skip
    _add_model_options(demo)
    demo.set_defaults(run=_demo)
    return parser


def _add_command(commands: argparse._SubParsersAction, name: str, **texts: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts)
    command.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="say more")
    return command


def _add_segment(commands: argparse._SubParsersAction) -> None:
    segment = _add_command(
        commands,
        "segment",
        help="segment a structure from clicks and boxes",
        description="Segment a structure from clicks and boxes. Indices count from 0 along the image's own axes.",
        epilog=SEGMENT_NOTES,
    )
    segment.add_argument("image", metavar="IMAGE", type=Path, help="NIfTI, NRRD or MetaImage file, or DICOM folder")
    segment.add_argument("--click", type=parse_click, action="append", default=[], metavar="I,J,K[+|-]",
                         help="a voxel inside the structure, or with a trailing - outside of it; repeat")  # fmt: skip
    segment.add_argument("--box", type=parse_box, action="append", default=[], metavar="I0,J0,K0,I1,J1,K1",
                         help="two opposite corners of a box around the structure, both included; repeat")  # fmt: skip
    segment.add_argument("--ras", action="store_true", help="--click and --box are in RAS millimetres")
    segment.add_argument("--clicks", type=Path, metavar="FILE",
                         help="clicks from Slicer (.mrk.json; a label ending in - is outside), from our .json, or "
                         "from a .seg.nrrd that this command wrote")  # fmt: skip
    segment.add_argument("--init-mask", type=Path, metavar="FILE", help="start from this mask on the same grid")
    segment.add_argument("-o", "--output", type=Path, action="append", default=[], metavar="OUT",
                         help="mask: .nii.gz .nii .nrrd .mha, or .seg.nrrd that keeps name, colour and clicks; "
                         "repeat")  # fmt: skip
    segment.add_argument("--surface", type=Path, action="append", default=[], metavar="FILE",
                         help="surface: .stl .obj .ply, in LPS mm as Slicer expects; repeat")  # fmt: skip
    segment.add_argument("--preview", type=Path, metavar="PNG", help="picture: three planes and the surface")
    segment.add_argument(
        "--name", type=parse_name, default="Segment", help="name of the segment (default: %(default)s)"
    )
    segment.add_argument("--color", type=parse_color, metavar="RRGGBB", help="colour of the segment, hexadecimal")
    _add_model_options(segment)
    segment.set_defaults(run=_segment)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="embedded", metavar="NAME|PATH",
                        help="embedded (default), a name of `sam3dseg models`, or a weights file")  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", default="auto", help="auto (default), float32, bfloat16 or float16")


def _segment(args: argparse.Namespace, load_segmenter: Loader) -> None:
    from . import imageio
    from .console import steps
    from .info import volume_text
    from .outputs import Outputs
    from .prompt_set import checked_prompt
    from .promptfiles import Recording, read_recording
    from .session import Session
    from .volumes import checked_volume

    if not (args.output or args.surface or args.preview):
        raise ValueError("expected an output, received none; add -o OUT, --surface FILE or --preview PNG")
    if not (args.click or args.box or args.clicks):
        raise ValueError("expected a click or a box, received none; add --click I,J,K, --box or --clicks FILE")
    color = {"color": args.color} if args.color else {}
    previews = (args.preview,) if args.preview else ()
    outputs = Outputs(tuple(args.output), tuple(args.surface), previews, name=args.name, **color)
    outputs.check(inputs=[path for path in (args.image, args.init_mask, args.clicks) if path])

    with steps(4 + len(args.click) + len(args.box)) as begin:
        begin("reading the image")
        image = imageio.read_image(args.image)
        recording = read_recording(args.clicks, image) if args.clicks else Recording(())
        given: list[Click | Box] = [to_box(values, image, at_ras=args.ras) for values in args.box]
        given += [to_click(values, sign, image, at_ras=args.ras) for values, sign in args.click]
        initial, initial_name = recording.initial, recording.initial_name or None
        if args.init_mask:
            initial, initial_name = imageio.read_mask(args.init_mask, image), args.init_mask.name
        elif initial is None and initial_name:
            log.warning("these clicks once started from the mask %s: give it with --init-mask", initial_name)
        requests = _with_a_mark_first(
            [*recording.requests, *(Request((prompt,)) for prompt in given)], started=initial is not None
        )
        prompts = [prompt for request in requests for prompt in request.prompts]
        for prompt in prompts:
            checked_prompt(prompt, image.shape)
        image = replace(image, array_ijk=checked_volume(image.array_ijk))
        if image.array_ijk.min() == image.array_ijk.max():
            log.warning("every voxel of %s has the same intensity: there is nothing to see in it", image.name)
        begin("loading the model")
        session = Session(load_segmenter(args.model, device=args.device, precision=args.precision))
        session.set_image(image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras)
        if initial is not None:
            session.set_mask(initial)
        for request in requests:
            begin(f"{len(session.clicks) + len(session.boxes) + 1}. prompt of {len(prompts)}")
            session.add_many(request.prompts)
            if request.chosen:
                session.choose(request.chosen)
            log.info("%s", _timing_line(session))
        begin("writing")
        mask = session.mask
        written = outputs.write(image, mask, requests=requests, initial=initial, initial_name=initial_name)
    voxels = int(mask.sum())
    print(f"{args.name}: {voxels:,} voxels, {volume_text(voxels, image)} ({session.last_timing.device})")
    for path in written:
        print(f"wrote {path}")


def _with_a_mark_first(requests: Sequence[Request], *, started: bool) -> list[Request]:
    """Background clicks that come before any mark of the structure join the first mark."""
    marked = next((n for n, request in enumerate(requests) if started or request.marks_structure), len(requests) - 1)
    together = tuple(prompt for request in requests[: marked + 1] for prompt in request.prompts)
    return [Request(together, requests[marked].chosen), *requests[marked + 1 :]]


def _timing_line(session: Session) -> str:
    t = session.last_timing
    return f"encode {t.encode_s:.2f} s, decode {t.decode_s:.2f} s, paste {t.paste_s:.2f} s on {t.device}"


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


_MODEL_ACTIONS = {
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
