"""`sam3dseg-train`: training without a screen.  `sam3dseg-train COMMAND key=value …`"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from importlib import import_module

from .configs.evaluate import EvaluateConfig, FewShotConfig, VisualizeConfig
from .configs.export import ExportConfig
from .configs.fit import FitConfig
from .configs.options import keys_of, words_for
from .configs.prepare import PrepareConfig
from .configs.resolve import assignments, resolve
from .configs.synthetic import SyntheticConfig

MISSING_PACKAGE = "install what training needs: pip install 'sam3dseg[training]'"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it does in one line, its settings, and the function that does it, as "module:name"."""

    help: str
    config: type
    run: str
    examples: tuple[str, ...]
    positional: str = ""
    flags: tuple[str, ...] = ()


COMMANDS = {
    "prepare": Command(
        "check a folder of cases and keep what training needs",
        PrepareConfig,
        "data.prepare:prepare",
        ("prepare data=Task04_Hippocampus out=cache", "prepare data=[setA,setB] out=cache scheduler=tcp://host:8786"),
    ),
    "fit": Command(
        "fine-tune a model on prepared cases",
        FitConfig,
        "tuning.fit:fit",
        (
            "fit data=cache out=runs/mine minutes=20",
            "fit model=sam-med3d-turbo data=cache out=runs/big tune=lora lora.rank=16 loss.sdf=0.5",
            "fit data=cache out=runs/small tune=decoder embeddings.windows=4",
            "fit data=union out=runs/general tune=full; sam3dseg-train fit data=cache out=runs/mine init=runs/general",
            "fit data=cache out=runs/a tune=encoder; sam3dseg-train fit data=cache out=runs/b tune=full init=runs/a",
            "fit model=medsam data=cache out=runs/slices tune=lora slices.boxes=1 clicks.rounds=1 loss.kind=dice_bce",
            "fit config=runs/mine/config.yaml out=runs/again",
        ),
    ),
    "evaluate": Command(
        "measure a model by simulated clicks or boxes",
        EvaluateConfig,
        "evaluation.evaluate:evaluate",
        (
            "evaluate model=mine.safetensors baseline=embedded data=cache out=report",
            "evaluate model=medsam data=cache out=report prompts=slice_boxes orientation=coronal",
        ),
    ),
    "visualize": Command(
        "pictures and meshes of references and results",
        VisualizeConfig,
        "evaluation.visualize:visualize",
        ("visualize model=mine.safetensors baseline=embedded data=cache out=pictures",),
    ),
    "export": Command(
        "write a trained model as a file that the effect loads",
        ExportConfig,
        "tuning.export:export",
        ("export runs/mine out=mine.safetensors", "export runs/mine out=mine.safetensors form=merged"),
        positional="runs",
        flags=("synthetic_only",),
    ),
    "fewshot": Command(
        "a picture of Dice over the number of training cases",
        FewShotConfig,
        "evaluation.fewshot:fewshot",
        ("fewshot reports/1 reports/5 reports/10 reports/50 out=few-shot.png",),
        positional="reports",
    ),
    "synthetic": Command(
        "train the embedded model on made-up volumes",
        SyntheticConfig,
        "pretrain:pretrain",
        (
            "synthetic out=runs/narrow minutes=34",
            "synthetic out=runs/wide init=runs/narrow window=80 batch=3 optim.rate=8e-4 minutes=15",
        ),
    ),
}


def overview() -> str:
    """What `sam3dseg-train --help` says."""
    lines = [
        f"usage: sam3dseg-train {{{','.join(COMMANDS)}}} key=value …",
        "",
        "Train click segmentation models without a screen.",
        "",
        "commands:",
        *(f"  {name:<11} {command.help}" for name, command in COMMANDS.items()),
        "",
        "`sam3dseg-train COMMAND --help` explains every setting; `--key value` is taken as well as key=value.",
    ]
    return "\n".join(lines)


def explanation(name: str) -> str:
    """What `sam3dseg-train COMMAND --help` says: purpose, examples, and every key with its kind and default."""
    command = COMMANDS[name]
    doc = " ".join((command.config.__doc__ or "").split())
    lines = [f"usage: sam3dseg-train {name} key=value …", "", doc, "", "examples:"]
    lines += [f"  sam3dseg-train {example}" for example in command.examples]
    lines += ["", "settings:"]
    for key, entry, kind in keys_of(command.config):
        facts = entry.metadata
        default = entry.default if entry.default is not MISSING else entry.default_factory()
        allowed = " | ".join(facts["choices"]) if facts["choices"] else words_for(kind)
        state = "needed" if facts["required"] else f"default {default!r}"
        lines += [f"  {key}", f"      {facts['help']} ({allowed}; {state})"]
    lines += ["", "  config=FILE", "      start from the config.yaml beside a run"]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it went well, 2 with one readable line when the input was bad."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0 if words else 2
    name, *rest = words
    if name in COMMANDS and any(word in ("-h", "--help") for word in rest):
        print(explanation(name))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        _run(name, rest)
    except (ValueError, OSError) as error:
        print(f"sam3dseg-train: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"sam3dseg-train: {error}; {MISSING_PACKAGE}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"sam3dseg-train: {str(error) or 'stopped; the same command goes on'}", file=sys.stderr)
        return 128 + getattr(error, "signal", signal.SIGINT)
    finally:
        _end_makers_of_samples()
    return 0


def _end_makers_of_samples() -> None:
    """They leave signals to this process, which waits for them at its end: for ever, when it has failed."""
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def _run(name: str, words: Sequence[str]) -> None:
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}: expected one of {', '.join(COMMANDS)}")
    command = COMMANDS[name]
    config = resolve(command.config, assignments(words, positional=command.positional, flags=command.flags))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the makers of samples would fight the network for cores
    module, function = command.run.split(":")
    getattr(import_module(f".{module}", __package__), function)(config)


if __name__ == "__main__":
    sys.exit(main())
