"""`sam3dseg-train synthetic`: train the embedded model from nothing."""

from __future__ import annotations

from dataclasses import dataclass

from .clicks import ClickConfig
from .losses import LossConfig
from .optim import ComputeConfig, OptimConfig, RecordConfig
from .options import option, section

PARTS = ALL, JUDGE = "all", "judge"


@dataclass(frozen=True, slots=True)
class SyntheticConfig:
    """Train the embedded model on made-up volumes alone.  Given again with the same `out`, it goes on."""

    out: str = option("", "folder of the run", required=True)
    init: str = option("", "folder of a run whose weights to start from")
    part: str = option(ALL, "what is trained: all, or only the judge of corrections, which is quick", choices=PARTS)
    minutes: float = option(60.0, "length of the schedule in minutes of training", above=0)
    steps: int = option(0, "length of the schedule in steps, instead of minutes", least=0)
    window: int = option(64, "window size in voxels, a multiple of 16")
    batch: int = option(4, "windows per batch and process", least=1)
    label_maps: str = option("", "folder of real label maps (NIfTI) to mix in; their images are not needed")
    seed: int = option(0, "of volumes and clicks")
    clicks: ClickConfig = section(ClickConfig, "the simulated user")
    loss: LossConfig = section(LossConfig, "the loss")
    optim: OptimConfig = section(OptimConfig, "the optimiser")
    compute: ComputeConfig = section(ComputeConfig, "the hardware")
    record: RecordConfig = section(RecordConfig, "curves and saves")

    def __post_init__(self) -> None:
        if self.window < 32 or self.window % 16:
            raise ValueError(f"window must be a multiple of 16 and at least 32, not {self.window}")
