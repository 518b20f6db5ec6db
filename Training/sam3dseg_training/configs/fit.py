"""`sam3dseg-train fit`: fine-tune a model on prepared cases."""

from __future__ import annotations

from dataclasses import dataclass

from .clicks import ClickConfig
from .data import DataConfig
from .losses import LossConfig
from .optim import ComputeConfig, OptimConfig, RecordConfig, ValidationConfig
from .options import option, section
from .proposals import ProposalConfig
from .slices import SliceConfig

TUNES = ("lora", "full", "decoder", "encoder")


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """Low-rank adapters (Hu et al., arXiv 2106.09685) on linear and convolution layers."""

    rank: int = option(8, "rank of every adapter", least=1)
    alpha: float = option(16.0, "the adapters' output is scaled by alpha / rank", above=0)
    targets: list[str] = option([], "layers to adapt, by the last parts of their names; empty: a good choice")
    norms: bool = option(True, "train normalisation layers and the adapted layers' biases as they are")


@dataclass(frozen=True, slots=True)
class EmbeddingConfig:
    """Decoder-only training on encodings computed once."""

    windows: int = option(0, "windows kept per case, their encodings on disk (0: encode anew); tune=decoder", least=0)


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Fine-tune a model by simulated clicks.  Given again with the same `out`, it goes on where it stopped."""

    out: str = option("", "folder of the run", required=True)
    model: str = option("embedded", "embedded, a weights file, a name of the catalogue, or new:ARCHITECTURE")
    init: str = option("", "folder of a run whose averaged weights to start from")
    tune: str = option("lora", "what is trained", choices=TUNES)
    minutes: float = option(20.0, "length of the schedule in minutes of training", above=0)
    steps: int = option(0, "length of the schedule in steps, instead of minutes", least=0)
    batch: int = option(2, "windows per batch and process", least=1)
    seed: int = option(0, "of samples, clicks and fresh weights")
    data: DataConfig = section(DataConfig, "the cases", shorthand="path")
    lora: LoraConfig = section(LoraConfig, "for tune=lora")
    embeddings: EmbeddingConfig = section(EmbeddingConfig, "for tune=decoder")
    proposals: ProposalConfig = section(ProposalConfig, "for new:sam_3d, which segments all classes by itself")
    slices: SliceConfig = section(SliceConfig, "for models of slices")
    clicks: ClickConfig = section(ClickConfig, "the simulated user")
    loss: LossConfig = section(LossConfig, "the loss")
    optim: OptimConfig = section(OptimConfig, "the optimiser")
    compute: ComputeConfig = section(ComputeConfig, "the hardware")
    validate: ValidationConfig = section(ValidationConfig, "validation during training")
    record: RecordConfig = section(RecordConfig, "curves and saves")
