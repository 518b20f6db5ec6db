"""The demonstration: one click and two corrections on a brain template, or one click on an image of one's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .console import steps
from .imageio import Image
from .outputs import Outputs
from .prompt_set import checked_prompt
from .prompts import Click, Request
from .protocol import Segmenter, SliceSegmenter
from .session import Session
from .simulated_user import next_click

STRUCTURE = "right lateral ventricle"
CLICKS = 3  # one click and two corrections
IN_VENTRICLE_RAS = (8.0, 2.0, 16.0)  # a point in the ventricle's body, template mm


@dataclass(frozen=True)
class Step:
    """One click of the demonstration: voxels in the mask, Dice against the reference if there is one, seconds spent."""

    click: Click
    voxels: int
    dice: float | None
    seconds: float


def run_demo(
    folder: Path,
    load: Callable[[], Segmenter | SliceSegmenter],
    *,
    image: Image | None = None,
    click: Click | None = None,
    report: Callable[[str], None],
) -> list[Step]:
    """Segment, report each click in a line, and write mask, surface and picture to `folder`.

    Without `image` the ICBM 152 T1 template of the nilearn package is segmented and corrected by the simulated user;
    with it, `click` (or its middle voxel) is the one click. Raises ValueError and OSError as the engine does; before
    the work when the folder cannot be written.
    """
    reference = None
    if image is None:
        image, reference = template(STRUCTURE)
    first = click or (next_click(reference) if reference is not None else None) or Click(_middle(image))
    checked_prompt(first, image.shape)
    if not first.is_foreground:
        raise ValueError(
            f"expected a click inside the structure, received the background click {first.ijk}; drop its -"
        )
    name = STRUCTURE.capitalize() if reference is not None else "Segment"
    outputs = _outputs(_made(folder), name)
    outputs.check()
    report(f"image: {image.name}, {' x '.join(map(str, image.shape))} voxels of {_spacing(image)} mm")
    started = time.perf_counter()
    segmenter = load()
    session = Session(segmenter)
    session.set_image(image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras)
    report(f"model: {segmenter.name} on {segmenter.device_line}, loaded in {time.perf_counter() - started:.1f} s")
    done = _click_along(session, first, reference, report)
    with steps(1) as begin:
        begin("writing the mask, the surface and the picture")
        written = outputs.write(image, session.mask, requests=[Request(prompts) for prompts in session.requests])
    for path in written:
        report(f"wrote {path}")
    return done


def template(structure: str) -> tuple[Image, NDArray[np.bool_]]:
    """The ICBM 152 2009a T1 template at 1 mm, (197, 233, 189), and a structure from its own tissue masks.

    Both come with the nilearn package, without a network. Fonov et al., NeuroImage 54 (2011), 313-327.
    """
    from nilearn import datasets  # slow to load, and only needed here

    picture = datasets.load_mni152_template(resolution=1)
    array = np.asarray(picture.dataobj, dtype=np.float32)
    spacing = np.linalg.norm(picture.affine[:3, :3], axis=0)
    image = Image(
        array, tuple(spacing.tolist()), picture.affine[:3, :3] / spacing, picture.affine[:3, 3], "ICBM 152 T1"
    )
    brain = np.asarray(datasets.load_mni152_brain_mask(resolution=1).dataobj) > 0
    white = np.asarray(datasets.load_mni152_wm_mask(resolution=1, threshold=0.5).dataobj) > 0
    if structure != "right lateral ventricle":
        return image, {"brain": brain, "white matter": white}[structure]
    tissue = [load(resolution=1).dataobj for load in (datasets.load_mni152_gm_mask, datasets.load_mni152_wm_mask)]
    fluid, _ = ndimage.label(brain & ~(np.asarray(tissue[0]) > 0) & ~(np.asarray(tissue[1]) > 0))
    seed = np.round(image.ijk_of(IN_VENTRICLE_RAS)).astype(int)
    return image, fluid == fluid[tuple(seed)]


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Overlap 2|A and B| / (|A| + |B|), 1 for two empty masks."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def _click_along(
    session: Session, click: Click | None, reference: NDArray[np.bool_] | None, report: Callable[[str], None]
) -> list[Step]:
    done: list[Step] = []
    with steps(CLICKS) as begin:
        while click is not None and len(done) < CLICKS:
            begin(f"click {len(done) + 1}")
            started = time.perf_counter()
            mask = session.add(click)
            seconds = time.perf_counter() - started
            score = dice(mask, reference) if reference is not None else None
            done.append(Step(click, int(mask.sum()), score, seconds))
            report(_line(len(done), done[-1], session))
            click = next_click(reference, mask) if reference is not None else None
    return done


def _line(number: int, step: Step, session: Session) -> str:
    timing, sign = session.last_timing, "+" if step.click.is_foreground else "-"
    score = f"Dice {step.dice:.3f}, " if step.dice is not None else ""
    return (
        f"click {number} {sign} at {step.click.ijk}: {score}{step.voxels:,} voxels, {step.seconds:.2f} s "
        f"(encode {timing.encode_s:.2f}, decode {timing.decode_s:.2f}, paste {timing.paste_s:.2f})"
    )


def _outputs(folder: Path, name: str) -> Outputs:
    return Outputs(
        masks=(folder / "mask.nii.gz", folder / "mask.seg.nrrd"),
        surfaces=(folder / "surface.stl",),
        previews=(folder / "preview.png",),
        name=name,
    )


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file has that name" if isinstance(error, FileExistsError) else str(error.strerror).lower()
        raise type(error)(f"cannot make the folder {folder}: {reason}; choose another one with -o") from error
    return folder


def _middle(image: Image) -> tuple[int, int, int]:
    i, j, k = (n // 2 for n in image.shape)
    return i, j, k


def _spacing(image: Image) -> str:
    return " x ".join(f"{s:.3g}" for s in image.spacing_mm)
