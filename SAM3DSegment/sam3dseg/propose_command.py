"""The command `sam3dseg propose`. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import add_command, add_device_options, parse_name

NOTES = """\
example:
  sam3dseg propose case.nii.gz --model hippocampus.safetensors -o case.seg.nrrd --surface case.stl
  sam3dseg segment case.nii.gz --init-mask case.seg.nrrd --init-label Anterior --click 20,31,12 -o better.seg.nrrd

exit code: 0 done, 1 the work failed, 2 bad input, 130 interrupted
"""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    text = "segment all structures that a trained SAM-3D model knows, without a click"
    propose = add_command(commands, "propose", help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=NOTES)
    propose.add_argument("image", metavar="IMAGE", type=Path, help="NIfTI, NRRD or MetaImage file, or DICOM folder")
    propose.add_argument("--model", required=True, metavar="FILE",
                        help="weights of a SAM-3D model, as `sam3dseg-train export` writes them")  # fmt: skip
    propose.add_argument("-o", "--output", type=Path, action="append", default=[], metavar="OUT",
                        help="label map: .nii.gz .nii .nrrd .mha, or .seg.nrrd with a named, coloured segment per "
                        "structure; repeat")  # fmt: skip
    propose.add_argument("--surface", type=Path, action="append", default=[], metavar="FILE",
                        help="surface of each structure, -NAME before the ending: .stl .obj .ply; repeat")  # fmt: skip
    propose.add_argument("--preview", type=Path, metavar="PNG", help="picture: three planes and the surfaces")
    propose.add_argument("--only", type=parse_name, action="append", default=[], metavar="NAME",
                        help="keep this structure and no other; repeat")  # fmt: skip
    propose.add_argument("--mirror", action="store_true",
                        help="average over the image and its mirror images, for a model that was trained for it: "
                        "slower, often better")  # fmt: skip
    add_device_options(propose)
    propose.set_defaults(run=_propose)


def _propose(args: argparse.Namespace, _load_segmenter: Any) -> None:
    import numpy as np

    from .console import working
    from .imageio import read_image
    from .info import volume_text
    from .outputs import LabelOutputs
    from .request import Progress

    if not (args.output or args.surface or args.preview):
        raise ValueError("expected an output, received none; add -o OUT, --surface FILE or --preview PNG")
    previews = (args.preview,) if args.preview else ()
    outputs = LabelOutputs(tuple(args.output), tuple(args.surface), previews, only=tuple(args.only))
    outputs.check(inputs=[args.image])
    with working() as show:
        show(Progress(0, None, "reading the image"))
        image = read_image(args.image)
        show(Progress(0, None, "loading the model"))
        from .proposals.proposer import load_proposer

        proposer = load_proposer(args.model, device=args.device, precision=args.precision)
        kept = outputs.kept(proposer.classes)
        labels = proposer.propose(
            image.array_ijk,
            spacing_mm=image.spacing_mm,
            direction=image.direction_ras,
            mirror=args.mirror,
            on_progress=show,
        )
        show(Progress(0, None, "writing"))
        written = outputs.write(image, labels, proposer.classes)
    counts = np.bincount(labels.ravel(), minlength=len(proposer.classes) + 1)
    for number, structure in kept.items():
        print(f"{structure.name}: {counts[number]:,} voxels, {volume_text(int(counts[number]), image)}")
    print(f"by {proposer.name} on {proposer.device_line}")
    for path in written:
        print(f"wrote {path}")
