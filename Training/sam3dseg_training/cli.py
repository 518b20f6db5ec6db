"""`sam3dseg-train`: training without a screen."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LABEL_MAP_SOURCES = [
    {"name": "SynthSeg training label maps (brain)", "licence": "Apache-2.0", "used": "label maps only, no images"},
    {"name": "NiiVue demo label map (torso)", "licence": "BSD-2-Clause", "used": "label map only, no image"},
]


def parser() -> argparse.ArgumentParser:
    """The command line, without importing torch."""
    root = argparse.ArgumentParser(
        prog="sam3dseg-train", description="Train click segmentation models without a screen."
    )
    commands = root.add_subparsers(dest="command", required=True)

    synthetic = commands.add_parser(
        "synthetic",
        help="train the embedded model on made-up volumes",
        description="Train the embedded model on made-up volumes alone. Started again with the same --out, it goes on.",
    )
    synthetic.add_argument("--out", type=Path, required=True, help="folder of the run")
    synthetic.add_argument("--init", type=Path, help="folder of a run whose weights to start from")
    synthetic.add_argument("--minutes", type=float, default=60.0, help="length of the schedule in minutes of training")
    synthetic.add_argument("--steps", type=int, default=0, help="length of the schedule in steps, instead of minutes")
    synthetic.add_argument("--window", type=int, default=64, help="window size in voxels, a multiple of 16")
    synthetic.add_argument("--batch", type=int, default=4, help="windows per step")
    synthetic.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    synthetic.add_argument(
        "--label-maps", help="folder of real label maps (NIfTI) to mix in; their images are not needed"
    )
    synthetic.add_argument("--seed", type=int, default=0)
    synthetic.add_argument("--workers", type=int, default=1, help="processes that make volumes")
    synthetic.add_argument("--threads", type=int, default=0, help="threads of the training process (0: torch's choice)")

    export = commands.add_parser(
        "export",
        help="write a trained model as a file that the effect loads",
        description="Write the averaged weights of the last of RUNS in half precision.",
    )
    export.add_argument("runs", nargs="+", type=Path, help="run folders, in the order they were trained")
    export.add_argument("-o", "--out", type=Path, required=True, help="the .safetensors file to write")
    export.add_argument("--recipe", default="", help="the commands that trained it, kept in the file")
    export.add_argument("--synthetic-only", action="store_true", help="no real label maps were used")
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it went well, 2 with one readable line when the input was bad."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        return {"synthetic": _synthetic, "export": _export}[arguments.command](arguments)
    except (ValueError, OSError) as error:
        print(f"sam3dseg-train: {error}", file=sys.stderr)
        return 2


def _synthetic(arguments: argparse.Namespace) -> int:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the makers of volumes would fight the network for cores
    from .loop import LoopConfig
    from .pretrain import PretrainConfig, pretrain
    from .synthesis.dataset import SynthesisConfig

    if arguments.window < 32 or arguments.window % 16:
        raise ValueError(f"--window must be a multiple of 16 and at least 32, not {arguments.window}")
    if arguments.label_maps and not Path(arguments.label_maps).is_dir():
        raise ValueError(f"--label-maps must be a folder of NIfTI label maps; there is none at {arguments.label_maps}")
    pretrain(
        PretrainConfig(
            out=arguments.out,
            init=arguments.init,
            batch=arguments.batch,
            workers=arguments.workers,
            threads=arguments.threads,
            synthesis=SynthesisConfig(window=arguments.window, label_maps=arguments.label_maps, seed=arguments.seed),
            loop=LoopConfig(minutes=arguments.minutes, steps=arguments.steps, learning_rate=arguments.rate),
        )
    )
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from .pretrain import export

    described = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    data = [{"name": "volumes synthesised by sam3dseg_training.synthesis", "licence": "Apache-2.0"}]
    export(
        arguments.runs,
        arguments.out,
        data=data if arguments.synthetic_only else data + LABEL_MAP_SOURCES,
        command=arguments.recipe or "sam3dseg-train export " + " ".join(map(str, arguments.runs)),
        commit=described.stdout.strip() or "unknown",
    )
    print(f"wrote {arguments.out} ({arguments.out.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
