"""`sam3dseg-train export`: a run as a file that the effect loads."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """Write the averaged weights of the last of `runs` with a model card in the file's header."""

    runs: list[str] = option([], "run folders, in the order they were trained", required=True)
    out: str = option("", "the .safetensors file to write", required=True)
    form: str = option("auto", "adapter: only what was trained, for use with the base model; merged: a model of "
                       "its own, in half precision; auto: adapter for runs with tune=lora",
                       choices=("auto", "adapter", "merged"))  # fmt: skip
    which: str = option("best", "best: the best validation, else the last; last", choices=("best", "last"))
    recipe: str = option("", "the commands that trained it, kept in the file")
    licence: str = option("", "licence of the weights, kept in the file")
    synthetic_only: bool = option(False, "no real label maps were used (runs of `synthetic`)")
