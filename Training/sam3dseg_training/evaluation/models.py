"""A model to evaluate: a run folder, or anything that `load_segmenter` takes, and what is known of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3dseg.adapters import digest_of
from sam3dseg.checkpoint import Checkpoint
from sam3dseg.families import FAMILIES, PROPOSALS
from sam3dseg.proposals.proposer import Proposer, proposer_of
from sam3dseg.protocol import Segmenter, SliceSegmenter
from sam3dseg.segmenter import load_weights, segmenter_of

from ..configs.export import ExportConfig
from ..configs.fit import FitConfig
from ..configs.resolve import as_words
from ..tuning.export import model_card
from ..tuning.runs import read_run, trained_checkpoint


@dataclass(frozen=True)
class Model:
    """Weights of a whole model; sha256 is that of weights and configuration, whatever file they come from."""

    source: str
    name: str
    checkpoint: Checkpoint
    sha256: str

    def segmenter(self, device: str) -> Segmenter | SliceSegmenter | Proposer:
        """The model on a device; raises ValueError for an unknown one, and for weights that cannot be used."""
        if FAMILIES[self.checkpoint.architecture] == PROPOSALS:
            return proposer_of(self.checkpoint, name=self.name, device=device)
        return segmenter_of(self.checkpoint, name=self.name, device=device)

    @property
    def training_digests(self) -> frozenset[str]:
        """Digests of the cases it was fine-tuned on, as far as its card says."""
        return frozenset(case["digest"] for case in self._cases("training"))

    def facts(self) -> dict[str, Any]:
        """What metrics.json says of the model; training_cases is None where its card does not tell."""
        card = self.checkpoint.provenance
        return {
            "name": self.name,
            "source": self.source,
            "architecture": self.checkpoint.architecture,
            "parameters": sum(value.numel() for value in self.checkpoint.weights.values()),
            "sha256": self.sha256,
            "training_cases": len(self.training_digests) or None,
            "card": {**card, "data": [_without_cases(source) for source in _sources(card)]},
        }

    def _cases(self, kind: str) -> list[dict[str, str]]:
        return [case for source in _sources(self.checkpoint.provenance) for case in source.get(kind, ())]


def open_model(source: str) -> Model:
    """source: embedded, a weights or adapter file, a run folder, or a name of the catalogue.

    Raises ValueError when it cannot be loaded.
    """
    path = Path(source)
    if path.is_dir():
        checkpoint, name = _trained(path), path.resolve().name
    else:
        checkpoint = load_weights(source)
        name = path.stem if path.suffix else source
    digest = hashlib.sha256(f"{digest_of(checkpoint.weights)}{sorted(checkpoint.config.items())}".encode()).hexdigest()
    return Model(source, name, checkpoint, digest)


def _trained(folder: Path) -> Checkpoint:
    """The weights of a run, with a card of it and of the runs that it started from."""
    runs = [read_run(folder)]
    while isinstance(runs[0].config, FitConfig) and runs[0].config.init:
        runs.insert(0, read_run(runs[0].config.init))
    recipe = " && ".join(as_words(run.config, "fit") for run in runs if isinstance(run.config, FitConfig))
    card = model_card(runs, ExportConfig(runs=[str(run.folder) for run in runs], recipe=recipe))
    checkpoint = trained_checkpoint(runs[-1])
    return Checkpoint(checkpoint.architecture, checkpoint.weights, checkpoint.config, card)


def _sources(card: dict[str, Any]) -> list[dict[str, Any]]:
    sources = card.get("data", [])
    return [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []


def _without_cases(source: dict[str, Any]) -> dict[str, Any]:
    """A source with the numbers of its cases in place of the cases."""
    return {key: len(value) if key in ("training", "validation") else value for key, value in source.items()}
