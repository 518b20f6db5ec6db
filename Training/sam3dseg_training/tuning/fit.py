"""`sam3dseg-train fit`: from prepared cases and a model to a run folder that `export` makes a model of."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from sam3dseg.atomic import replacing
from sam3dseg.checkpoint import Checkpoint, build_network
from sam3dseg.families import CLICKS_2D, CLICKS_3D, FAMILIES, PROPOSALS
from sam3dseg.segmenter import load_weights

from ..configs.fit import FitConfig
from ..configs.options import refuse_changed
from ..configs.resolve import changed_settings, save
from ..data.cache import Cache, open_cache
from ..devices import launch
from ..loop import LoopConfig, Trainer
from ..memory import explained
from .export import DATA_FILE
from .new_models import NEW
from .regimen import Regimen
from .runs import starting_checkpoint

logger = logging.getLogger(__name__)

REGIMENS = {CLICKS_3D: "clicks_3d", CLICKS_2D: "slices", PROPOSALS: "proposals"}  # family -> module beside this one


def fit(config: FitConfig) -> Trainer:
    """Run or resume a fine-tuning; returns the trainer when it is over.

    Raises ValueError for settings, data or a run folder that do not fit each other, before anything is written there.
    """
    _check(config)
    fabric = launch(config.compute)
    cache = open_cache(config.data.path)
    checkpoint = starting_checkpoint(config)
    _check_family(config, checkpoint)
    regimen = _regimen(config, checkpoint, cache, fabric)
    loop = LoopConfig(
        config.minutes, config.steps, config.seed, config.optim, config.compute, config.validate, config.record
    )
    folder = Path(config.out)
    with explained(config, FAMILIES[checkpoint.architecture]):
        trainer = Trainer(regimen.objective, regimen.groups, loop, folder, fabric=fabric, balance=regimen.balance)
        if trainer.resume():
            logger.info("going on at step %d, %.1f minutes", trainer.step, trainer.seconds / 60)
        if fabric.is_global_zero:
            _describe(config, regimen.about)
        regimen.begin()
        trainer.run(regimen.batches, regimen.validation)
    logger.info(
        "the run is complete: sam3dseg-train export %s out=%s",
        shlex.quote(config.out), shlex.quote(f"{folder.resolve().name}.safetensors"),
    )  # fmt: skip
    return trainer


def _check(config: FitConfig) -> None:
    """Refuse settings that would be without effect."""
    if config.embeddings.windows and config.tune != "decoder":
        raise ValueError(f"embeddings.windows needs tune=decoder: tune={config.tune} changes the encodings")
    if config.optim.encoder_first and config.tune not in ("full", "lora"):
        raise ValueError(f"optim.encoder_first needs tune=full or tune=lora, not tune={config.tune}")
    unread = {"sgd": "optim.beta", "adamw": "optim.momentum"}[config.optim.kind]
    refuse_changed(config, (unread,), f"has no effect with optim.kind={config.optim.kind}: leave it out")


def _check_family(config: FitConfig, checkpoint: Checkpoint) -> None:
    """Refuse a run to start from whose model is of another kind than the model that is named with it."""
    if not config.init or config.model == FitConfig().model:
        return
    model = config.model
    named = model.removeprefix(NEW) if model.startswith(NEW) else load_weights(model).architecture
    expected, found = (FAMILIES.get(name, name) for name in (named, checkpoint.architecture))
    if expected != found:
        raise ValueError(
            f"init={config.init} is a model for {found} ({checkpoint.architecture}): expected one for {expected}, as "
            f"model={model} is; leave model= out, or start from another run"
        )


def _regimen(config: FitConfig, checkpoint: Checkpoint, cache: Cache, fabric: Fabric) -> Regimen:
    """The training that the family of the model has."""
    module = import_module(f".{REGIMENS[FAMILIES[checkpoint.architecture]]}", __package__)
    regimen: Regimen = module.build(config, checkpoint, build_network(checkpoint), cache, fabric)
    return regimen


def _describe(config: FitConfig, about: Mapping[str, Any]) -> None:
    """Write config.yaml and data.json beside the run, and say which settings have changed since it began."""
    folder = Path(config.out)
    changed = changed_settings(config, folder)
    if changed:
        logger.warning("going on with other settings than before: %s", ", ".join(changed))
    save(config, folder)
    with replacing(folder / DATA_FILE) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    logger.info("training on %d cases, validating on %d", len(about["training"]), len(about["validation"]))
