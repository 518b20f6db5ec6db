"""The command `sam3dseg segment`. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_command, add_model_options, parse_box, parse_click, parse_color, parse_name, to_box, to_click
from .prompts import Box, Click, Request
from .slices.options import CHOICES, SliceOptions

if TYPE_CHECKING:
    from .protocol import Segmenter, SliceSegmenter
    from .session import Session

SEGMENT_NOTES = """\
example:
  sam3dseg segment ct.nii.gz --click 120,88,40 --click 131,90,40- -o liver.seg.nrrd

our own JSON for --clicks (space: ras in mm, or ijk; boxes may be left out):
  {"space": "ras", "clicks": [{"position": [-81.9, 227.3, 130.3], "foreground": true}],
   "boxes": [{"lower": [-90, 210, 100], "upper": [-70, 240, 140]}]}
prompts with the same number, such as "request": 0, are given together, lower numbers first

exit code: 0 done, 1 the work failed, 2 bad input, 130 interrupted
"""
SLICE_OPTIONS = {  # each by the option's name
    "orientation": "--orientation",
    "direction": "--direction",
    "roi": "--roi",
    "modality": "--modality",
    "smallest_part": "--smallest-part",
    "fill_holes": "--fill-holes",
    "smooth_mm": "--smooth",
}
log = logging.getLogger(__name__)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    segment = add_command(
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
    segment.add_argument("--init-label", metavar="NAME|NUMBER",
                         help="of --init-mask: only this segment of a .seg.nrrd, or this number of a label map, such "
                         "as `sam3dseg propose` writes")  # fmt: skip
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
    add_model_options(segment)
    _add_slice_options(segment)
    segment.set_defaults(run=_segment)


def _add_slice_options(parser: argparse.ArgumentParser) -> None:
    slices = parser.add_argument_group("for models that segment slices, such as SAM and MedSAM")
    texts = {
        "orientation": "of the slices (default: across the axis of the coarsest spacing, else axial)",
        "direction": "to carry the mask to: both (default), forward (right, anterior or superior), backward or none",
        "roi": "in a box over several slices, follow the mask (default), or prompt every slice with the box: fixed",
        "modality": "whose intensity window is taken: auto (default), ct or other",
    }
    for name, text in texts.items():
        slices.add_argument(SLICE_OPTIONS[name], choices=CHOICES[name], help=text)
    slices.add_argument("--smallest-part", type=float, metavar="SHARE",
                        help="remove parts smaller than this share of the largest, 0 to 1")  # fmt: skip
    slices.add_argument("--fill-holes", action="store_true", default=None, help="fill what contours enclose")
    slices.add_argument("--smooth", type=float, dest="smooth_mm", metavar="MM",
                        help="smooth contours: detail below this length goes")  # fmt: skip


def _slice_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options for slices that were given. Raises ValueError for a value that cannot be."""
    given = {name: getattr(args, name) for name in SLICE_OPTIONS if getattr(args, name) is not None}
    SliceOptions(**given)
    return given


def _session(segmenter: Segmenter | SliceSegmenter, given: dict[str, Any]) -> Session:
    """A session of the model. Raises ValueError for options that it has no use for."""
    from .families import CLICKS_2D, FAMILIES
    from .session import Session

    if FAMILIES.get(segmenter.architecture) == CLICKS_2D:
        return Session(segmenter, slices=SliceOptions(**given))
    if given:
        words = ", ".join(SLICE_OPTIONS[name] for name in given)
        raise ValueError(
            f"{words}: expected a model that segments slices, received {segmenter.name}, which segments in 3D; "
            "leave the option out, or choose another --model"
        )
    return Session(segmenter)


def _segment(args: argparse.Namespace, load_segmenter: Callable[..., Segmenter | SliceSegmenter]) -> None:
    from . import imageio
    from .console import steps
    from .info import volume_text
    from .outputs import Outputs
    from .prompt_set import checked_prompt
    from .promptfiles import Recording, read_recording
    from .volumes import checked_volume

    if not (args.output or args.surface or args.preview):
        raise ValueError("expected an output, received none; add -o OUT, --surface FILE or --preview PNG")
    if not (args.click or args.box or args.clicks):
        raise ValueError("expected a click or a box, received none; add --click I,J,K, --box or --clicks FILE")
    if args.init_label and not args.init_mask:
        raise ValueError("expected a file for --init-label, received none; add --init-mask FILE")
    slices = _slice_options(args)
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
            initial = imageio.read_mask(args.init_mask, image, label=args.init_label)
            initial_name = args.init_mask.name + (f" ({args.init_label})" if args.init_label else "")
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
        session = _session(load_segmenter(args.model, device=args.device, precision=args.precision), slices)
        session.on_progress = lambda progress: begin.detail(progress.text)
        session.set_image(image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras)
        if initial is not None:
            session.set_mask(initial)
        for request in requests:
            begin(f"{len(session.clicks) + len(session.boxes) + 1}. prompt of {len(prompts)}")
            session.add_many(request.prompts)
            if request.chosen:
                session.choose(request.chosen)
            log.info("%s", _timing_line(session))
        for notice in session.notices:
            log.warning("%s", notice)
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
