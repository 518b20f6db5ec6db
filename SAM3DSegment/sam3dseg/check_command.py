"""The command `sam3dseg check`. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_command

if TYPE_CHECKING:
    from .precision_checks import Check, Measured

NOTES = """\
example:
  sam3dseg check
  sam3dseg check --model sam-med3d-turbo --image ct.nii.gz --image mr.nii.gz

The fastest precision whose masks are those of float32 (Dice 0.99 or more for every mask, 0.995 for the embedded
model) is used from then on, wherever no --precision is given. It holds for these weights, this processor and this
PyTorch; after a change of any of them float32 is used until the next check.

exit code: 0 done, 1 the work failed, 2 bad input, 130 interrupted
"""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    text = "find the fastest precision in which a model gives the masks of float32 on this computer"
    check = add_command(commands, "check", help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=NOTES)
    check.add_argument("--model", default="embedded", metavar="NAME|PATH",
                       help="embedded (default), a name of `sam3dseg models`, or a weights file")  # fmt: skip
    check.add_argument("--image", type=Path, action="append", default=[], metavar="FILE",
                       help="image file or DICOM folder to check on (default: a made-up body, and the brain template "
                       "of `sam3dseg demo` where it is installed); repeat")  # fmt: skip
    check.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    check.add_argument("--forget", action="store_true", help="only forget an earlier check: float32 is used again")
    check.set_defaults(run=_check)


def _check(args: argparse.Namespace, _load_segmenter: Any) -> None:
    from .console import working
    from .imageio import read_image
    from .placement import placements_for
    from .precision_checks import forget, remember
    from .request import Progress

    device = placements_for(args.device, "float32")[0].device
    with working() as show:
        show(Progress(0, None, "reading the images"))
        images = [read_image(path) for path in args.image]
        show(Progress(0, None, "loading the model"))
        from .model_check import check_model
        from .segmenter import load_weights

        checkpoint = load_weights(args.model)
        if args.forget:
            known = forget(checkpoint, device)
            print(f"{args.model}: {'forgotten' if known else 'nothing was known'}; float32 is used until a check")
            return
        cases = _cases(images)
        check, refused = check_model(checkpoint, device, cases, on_progress=show)
    path = remember(checkpoint, check)
    print(_head(args.model, check, device))
    print(f"{check.measured[0].masks} masks in {', '.join(case.image.name for case in cases)}")
    for line in (*table(check), *(f"{precision:<10}left out: {reason}" for precision, reason in refused.items())):
        print(line)
    print(f"from now on: {check.best.precision} (kept in {path})")


def _cases(images: list[Any]) -> list[Any]:
    from .check_cases import case_of, phantom, template

    return [case_of(image) for image in images] or [case for case in (phantom(), template()) if case is not None]


def _head(name: str, check: Check, device: str) -> str:
    import torch

    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    return f"{name} on {check.processor}{threads}, PyTorch {check.torch}"


def table(check: Check) -> list[str]:
    """The measurements as lines: seconds, smallest and median Dice, and what follows from them."""
    lines = [f"{'precision':<10}{'encode s':>10}{'click s':>10}{'Dice':>8}{'median':>8}  verdict"]
    for entry in check.measured:
        dice = (
            f"{entry.dice_smallest:>8.4f}{entry.dice_median:>8.4f}"
            if entry.masks and entry is not check.measured[0]
            else " " * 16
        )
        lines.append(
            f"{entry.precision:<10}{entry.encode_s:>10.3f}{entry.click_s:>10.3f}{dice}  {verdict(check, entry)}"
        )
    return lines


def verdict(check: Check, entry: Measured) -> str:
    """Whether an entry is used, and if not, why."""
    reference = check.measured[0]
    if entry is reference:
        return "the reference" + (", used" if check.best is entry else "")
    pace = f"{reference.seconds / entry.seconds:.1f} times as fast" if entry.seconds else "no time measured"
    if not check.agrees(entry):
        return f"{pace}, but differs: Dice {check.bar} is asked of every mask"
    if not check.is_faster(entry):
        return f"agrees, but gains nothing: {pace}"
    return f"{pace}, agrees" + (", used" if check.best is entry else "")
