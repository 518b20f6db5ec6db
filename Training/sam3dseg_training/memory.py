"""What to change when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sam3dseg.families import CLICKS_2D, CLICKS_3D, PROPOSALS
from sam3dseg.placement import is_out_of_memory

from .configs.options import keys_of, value_of


@contextmanager
def explained(config: Any, family: str = CLICKS_3D) -> Iterator[None]:
    """Turn running out of memory into a ValueError that names the setting to change; family: of the model."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        remedy = advice(config, family)
        raise ValueError(f"out of memory: {remedy}; the same command goes on from the last save") from error


def advice(config: Any, family: str = CLICKS_3D) -> str:
    """The first setting that still can save memory, from the one that costs least to the one that costs most."""
    values = {key: value_of(config, key) for key, _, _ in keys_of(type(config))}
    if values["compute.precision"] == "float32":
        return "set compute.precision=bf16"
    if values["batch"] > 1:
        half = values["batch"] // 2
        turns = values["optim.accumulate"] * values["batch"] // half
        return f"set batch={half} optim.accumulate={turns}, which gives the same gradient"
    if family == PROPOSALS:
        return "set a smaller proposals.patch in another folder out=, or use a device with more memory"
    if values["clicks.rounds"] > 3:
        return f"set clicks.rounds={values['clicks.rounds'] // 2}: every click of a step is kept for its gradient"
    if values.get("data.targets", 1) > 1:
        return "set data.targets=1"
    if values["compute.devices"] * values["compute.nodes"] > 1 and values["compute.strategy"] != "fsdp":
        return "set compute.strategy=fsdp, which splits the network over the devices"
    if values.get("tune") in ("full", "encoder"):
        return "set tune=lora, or tune=decoder"
    if values.get("tune") == "lora":
        return "set tune=decoder"
    if family == CLICKS_2D:
        return "use a device with more memory"
    size = "window" if "window" in values else "data.crop"
    return f"set a smaller {size}, or use a device with more memory"
