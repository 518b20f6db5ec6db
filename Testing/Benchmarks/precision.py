"""What fewer bits cost in agreement and save in time, on real volumes: the same clicks to every precision of a model.

    python Testing/Benchmarks/precision.py --data ../shared/data [--models embedded sam_med3d] [--json OUT]

Clicks are the simulated user's, corrections included; Dice compares masks in the image's own grid with those of
float32. Without a weights file, models have random weights: their times are right, their masks are not those of a
trained model. Times of all precisions are taken in turn, in one process.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from provenance import in_words, provenance, write
from sam3dseg.agreement import Case, Structure, measured_by_clicks
from sam3dseg.check_command import table
from sam3dseg.checkpoint import Checkpoint
from sam3dseg.imageio import read_image, read_mask
from sam3dseg.models import build
from sam3dseg.placement import ON
from sam3dseg.precision_checks import check_of
from sam3dseg.segmenter import load_weights, segmenter_of
from sam3dseg.simulated_user import next_click

ARCHITECTURES = {"sam_med3d": "sam_med3d_vit_b_ori", "sam_vit_b": "sam"}
VOLUMES = {
    "hippocampus": ("hippocampus/imagesTr/{name}", "hippocampus/labelsTr/{name}"),
    "total_ct": ("total_ct/image.nii.gz", "total_ct/labels.nii.gz"),
    "flair_lesion": ("flair_lesion/image.nii.gz", "flair_lesion/labels.nii.gz"),
}
SMALLEST = 200  # voxels of a structure


def case(folder: Path, image_name: str, labels_name: str, count: int) -> Case:
    """A volume and its largest structures."""
    image = read_image(folder / image_name)
    labels = read_image(folder / labels_name).array_ijk
    sizes = {int(value): int((labels == value).sum()) for value in np.unique(labels) if value}
    chosen = [value for value in sorted(sizes, key=lambda v: -sizes[v]) if sizes[value] >= SMALLEST][:count]
    structures = []
    for value in chosen:
        truth = read_mask(folder / labels_name, image, label=str(value))
        structures.append(Structure(next_click(truth), truth))
    return Case(image, tuple(structures))


def cases(folder: Path, count: int) -> dict[str, Case]:
    """One volume of each data set."""
    found = {}
    for name, (image_name, labels_name) in VOLUMES.items():
        first = sorted(p.name for p in (folder / "hippocampus" / "labelsTr").glob("[!.]*.nii.gz"))[0]
        found[name] = case(folder, image_name.format(name=first), labels_name.format(name=first), count)
    return found


def weights_of(model: str) -> tuple[Checkpoint, str]:
    """The weights, and where they come from."""
    if model not in ARCHITECTURES:
        return load_weights(model), model
    torch.manual_seed(0)
    architecture = ARCHITECTURES[model]
    return Checkpoint(architecture, build(architecture).state_dict()), "random weights"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--models", nargs="+", default=["embedded", "sam_med3d"], help="embedded, names or files")
    parser.add_argument("--structures", type=int, default=4, help="of each volume (default: %(default)s)")
    parser.add_argument("--clicks", type=int, default=3, help="on each structure (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    head = provenance("precision")
    print(in_words(head))
    volumes, rows = cases(args.data, args.structures), []
    for model in args.models:
        checkpoint, origin = weights_of(model)
        segmenters = {}
        for precision in ("float32", *ON["cpu"]):
            try:
                segmenters[precision] = segmenter_of(checkpoint, name=model, device="cpu", precision=precision)
            except ValueError as error:
                print(f"{model}: {error}")
        for name, volume in volumes.items():
            measured = measured_by_clicks(segmenters, [volume], clicks=args.clicks)
            print(f"\n{model} ({origin}) on {name}: {len(volume.structures)} structures, {measured[0].masks} masks")
            print("\n".join(table(check_of(checkpoint, "cpu", measured))), flush=True)
            rows += [{"model": model, "weights": origin, "volume": name, **asdict(entry)} for entry in measured]
    if args.json:
        write(args.json, {**head, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
