"""A run folder as weights: where a run started from, and what it made of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sam3dseg.adapters import applied
from sam3dseg.checkpoint import Checkpoint, build_network

from ..configs.fit import FitConfig
from ..configs.resolve import FILE_NAME, resolve
from ..configs.synthetic import ALL, SyntheticConfig
from ..run_state import BEST, LAST, frozen_checksum, read_state
from .lora import ADAPTER, add_adapters, plain_tensors
from .new_models import base_checkpoint, is_new_proposals, new_options
from .proposal_models import new_checkpoint, read_settings, with_settings

SYNTHETIC_ARCHITECTURE = "compact"
ADAPTED = f".lora_A.{ADAPTER}.weight"


@dataclass(frozen=True)
class Run:
    """A run folder: its settings, None where it is older than they are, and its state, the best or the last one."""

    folder: Path
    config: FitConfig | SyntheticConfig | None
    state: dict[str, Any]
    is_best: bool


def read_run(folder: str | Path, which: str = "best") -> Run:
    """which: "best" (the last where no best was kept) or "last".

    Raises ValueError where there is no readable state.
    """
    folder = Path(folder)
    is_best = which == "best" and (folder / BEST).is_file()
    state = read_state(folder / (BEST if is_best else LAST))
    return Run(folder, _read_config(folder), state, is_best)


def starting_checkpoint(config: FitConfig) -> Checkpoint:
    """What a `fit` starts from: the weights of the run `init` where one is named, else those of its model."""
    if config.init:
        return trained_checkpoint(read_run(config.init))
    if is_new_proposals(config):
        return new_checkpoint(config)
    return base_checkpoint(config.model, config.seed, new_options(config))


def _start_of(run: Run, config: FitConfig) -> Checkpoint:
    """What a run started from; a new SAM-3D with the settings of then, whatever has become of its cases."""
    settings = read_settings(run.folder)
    return with_settings(config, settings) if is_new_proposals(config) and settings else starting_checkpoint(config)


def trained_checkpoint(run: Run) -> Checkpoint:
    """The averaged weights of a run as a whole model, adapters merged, with windows of the size that it was tuned in.

    Raises ValueError when the model that the run started from is no longer there, or no longer what it was.
    """
    if not isinstance(run.config, FitConfig):
        return Checkpoint(SYNTHETIC_ARCHITECTURE, synthetic_weights(run))
    start = _start_of(run, run.config)
    _check_start(run, run.config, start)
    lora = run.config.lora
    weights = applied(
        start.weights, plain_tensors(run.state["average"]), scale=lora.alpha / lora.rank, name=str(run.folder)
    )
    crop = run.config.data.crop
    return Checkpoint(start.architecture, weights, {**start.config, "window": crop} if crop else start.config)


def synthetic_weights(run: Run) -> dict[str, Tensor]:
    """The averaged weights of a `synthetic` run, with what it left as it found it from the run that it started from."""
    config, trained = run.config, run.state["average"]
    if not isinstance(config, SyntheticConfig) or config.part == ALL:
        return trained
    return {**synthetic_weights(read_run(config.init, "last")), **trained}


def _check_start(run: Run, config: FitConfig, start: Checkpoint) -> None:
    """Raise ValueError when what was frozen in the run is not what the start has now."""
    last = run.folder / LAST
    frozen = read_state(last).get("frozen") if last.is_file() else None
    if frozen is None:
        return
    network, trained = build_network(start), run.state["average"]
    adapted = [name.removesuffix(ADAPTED) for name in trained if name.endswith(ADAPTED)]
    if adapted:  # those that were, whatever would be chosen today
        add_adapters(network, replace(config.lora, targets=adapted))
    for name, value in network.named_parameters():
        value.requires_grad_(name in trained)
    if frozen_checksum(nn.ModuleDict({"network": network})) != frozen:
        source = f"init={config.init}" if config.init else f"model={config.model}"
        raise ValueError(f"{run.folder} was trained on other weights than {source} has now: put back what it was")


def _read_config(folder: Path) -> FitConfig | SyntheticConfig | None:
    """The settings saved beside a run; raises ValueError when they cannot be read."""
    if not (folder / FILE_NAME).is_file():
        return None
    from omegaconf import OmegaConf

    kind = FitConfig if "tune" in OmegaConf.load(folder / FILE_NAME) else SyntheticConfig
    return resolve(kind, [f"config={folder}"])
