"""`sam3dseg-train export`: a run as a model, or as an adapter of the model it started from, with a model card."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam3dseg.adapters import LOW_RANK_A, save_adapter, save_decoder
from sam3dseg.atomic import check_output
from sam3dseg.catalogue import ENTRIES
from sam3dseg.checkpoint import load_checkpoint, save_checkpoint

from ..configs.export import ExportConfig
from ..configs.fit import FitConfig
from ..configs.resolve import as_words
from ..configs.synthetic import SyntheticConfig
from ..curves import read_rows
from .lora import plain_tensors
from .new_models import NEW, base_checkpoint, is_new_proposals
from .runs import Run, read_run, trained_checkpoint

logger = logging.getLogger(__name__)

DATA_FILE = "data.json"  # beside a run: the cases it saw
SYNTHETIC_SOURCE = {"name": "volumes synthesised by sam3dseg_training.synthesis", "licence": "Apache-2.0"}
LABEL_MAP_SOURCES = (
    {"name": "SynthSeg training label maps (brain)", "licence": "Apache-2.0", "used": "label maps only, no images"},
    {"name": "NiiVue demo label map (torso)", "licence": "BSD-2-Clause", "used": "label map only, no image"},
)


def export(config: ExportConfig) -> Path:
    """Write the averaged weights of the last run -> the file: whole models in half precision, adapters in single.

    Raises ValueError when a run has no weights or no adapter can be made of it, OSError when writing fails.
    """
    out = Path(config.out)
    check_output(out, (".safetensors",))
    runs = [read_run(folder, config.which) for folder in config.runs]
    last, card = runs[-1], model_card(runs, config)
    obstacle = _obstacle_to_adapter(last)
    if config.form == "adapter" and obstacle:
        raise ValueError(f"{last.folder} cannot become an adapter: {obstacle}; export it with form=merged")
    if isinstance(last.config, FitConfig) and not obstacle and _wants_adapter(config.form, last.config):
        (_export_decoder if is_new_proposals(last.config) else _export_adapter)(last, last.config, out, card)
        kind = f"an adapter of {card['base']}"
    else:
        _export_model(last, out, card)
        kind = "a model of its own"
    logger.info("wrote %s (%.1f MB): %s", out, out.stat().st_size / 1e6, kind)
    return out


def model_card(runs: list[Run], config: ExportConfig) -> dict[str, Any]:
    """What is known of a model: data, labels, metrics, licence, commands, commit; unknown entries are left out."""
    last = runs[-1]
    card: dict[str, Any] = {
        "commit": _commit(),
        "command": config.recipe or " && ".join([*_commands(runs), as_words(config, "export")]),
        "steps": [run.state["step"] for run in runs],
        "minutes": [round(run.state["seconds"] / 60, 1) for run in runs],
        "data": _data(runs, config),
        "licence": config.licence,
        "metrics": _metrics(last),
    }
    if isinstance(last.config, FitConfig):
        new = is_new_proposals(last.config)
        base = last.config.proposals.backbone if new else last.config.model
        tune = "decoder" if new else last.config.tune
        card |= {"base": base, "tune": tune, "labels": _labels(last, last.config)}
    return {name: value for name, value in card.items() if value not in ("", [], {})}


def _obstacle_to_adapter(run: Run) -> str:
    """Why a run cannot be an adapter, or ""."""
    if not isinstance(run.config, FitConfig):
        return "it was trained from nothing"
    if run.config.init:
        return f"it started from the run {run.config.init}, not from a model that others have"
    base = run.config.proposals.backbone if is_new_proposals(run.config) else run.config.model
    if base.startswith(NEW):
        return "it started from random weights"
    if Path(base).is_file() and load_checkpoint(base).adapter:
        return f"its base model {base} is an adapter itself"
    return ""


def _wants_adapter(form: str, settings: FitConfig) -> bool:
    if form != "auto":
        return form == "adapter"
    if is_new_proposals(settings):  # what everybody can download is not copied
        return settings.proposals.backbone in [entry.name for entry in ENTRIES]
    return settings.tune == "lora"


def _export_adapter(run: Run, settings: FitConfig, out: Path, card: dict[str, Any]) -> None:
    trained = trained_checkpoint(run)  # refuses a base model that has changed since
    model, lora = settings.model, settings.lora
    tensors = plain_tensors(run.state["average"])
    adapted = any(name.endswith(LOW_RANK_A) for name in tensors)
    save_adapter(
        out,
        base=base_checkpoint(model, settings.seed),
        base_name=str(Path(model).resolve()) if Path(model).is_file() else model,
        tensors=tensors,
        rank=lora.rank if adapted else 0,
        alpha=lora.alpha if adapted else 0.0,
        provenance=card,
        config=trained.config,
    )


def _export_decoder(run: Run, settings: FitConfig, out: Path, card: dict[str, Any]) -> None:
    name = settings.proposals.backbone
    save_decoder(
        out,
        trained_checkpoint(run),
        base=base_checkpoint(name, settings.seed),
        base_name=str(Path(name).resolve()) if Path(name).is_file() else name,
        provenance=card,
    )


def _export_model(run: Run, out: Path, card: dict[str, Any]) -> None:
    trained = trained_checkpoint(run)
    weights = {name: _half(value) for name, value in trained.weights.items()}
    save_checkpoint(out, architecture=trained.architecture, config=trained.config, weights=weights, provenance=card)


def _half(value: Tensor) -> Tensor:
    return value.half().contiguous() if value.dtype == torch.float32 else value


def _commands(runs: list[Run]) -> list[str]:
    kinds = {FitConfig: "fit", SyntheticConfig: "synthetic"}
    return [as_words(run.config, kinds[type(run.config)]) for run in runs if run.config is not None]


def _data(runs: list[Run], config: ExportConfig) -> list[dict[str, Any]]:
    """The sources of all runs, in their order."""
    sources: list[dict[str, Any]] = []
    for run in runs:
        if isinstance(run.config, FitConfig):
            sources.append(_read_data(run) or {"name": run.config.data.path})
            continue
        sources.append(SYNTHETIC_SOURCE)
        with_maps = run.config is None or run.config.label_maps
        if with_maps and not config.synthetic_only:
            sources += LABEL_MAP_SOURCES
    return [source for index, source in enumerate(sources) if source not in sources[:index]]


def _read_data(run: Run) -> dict[str, Any]:
    path = run.folder / DATA_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}; resume the run to write it again") from error
    return content if isinstance(content, dict) else {"cases": content}


def _labels(run: Run, settings: FitConfig) -> list[str]:
    return list(_read_data(run).get("labels") or settings.data.labels)


def _metrics(run: Run) -> dict[str, float]:
    """The validation of the exported weights: Dice after every click, and at which step."""
    rows = [row for row in read_rows(run.folder) if row.get("val_loss")]
    rows = [row for row in rows if int(row["step"]) <= run.state["step"]]
    if not rows:
        return {}
    row = min(rows, key=lambda row: float(row["val_loss"])) if run.is_best else rows[-1]
    found = {name: float(value) for name, value in row.items() if name.startswith("val_") and value}
    return {"step": int(row["step"]), **found}


def _commit() -> str:
    """The commit of the sources, where they lie in their repository."""
    here = Path(__file__)
    try:
        known = subprocess.run(["git", "ls-files", "--error-unmatch", here.name], cwd=here.parent, capture_output=True)
        if known.returncode:
            return ""
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here.parent, capture_output=True, text=True)
    except OSError:  # no git
        return ""
    return head.stdout.strip()
