"""How a model of slices is trained."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option

AXES = ("auto", "axial", "coronal", "sagittal", "all")


@dataclass(frozen=True, slots=True)
class SliceConfig:
    """Slices of the cases and what they are prompted with; only for models of slices."""

    axis: str = option("auto", "which way slices lie; auto: as when clicking, across the axis of the coarsest spacing, "
                       "else axial; all: every way", choices=AXES)  # fmt: skip
    modality: str = option("auto", "of the intensities, as when clicking", choices=("auto", "ct", "other"))
    smallest: int = option(10, "an object is trained on where it has so many pixels in a slice", least=1)
    boxes: float = option(0.5, "share of steps whose first prompt is a box, those of the others being clicks", least=0,
                          most=1)  # fmt: skip
    box_jitter: float = option(20.0, "how far a side of a box may lie outside the object, in pixels of 1024", least=0)
    freeze_prompts: bool = option(True, "leave the prompt encoder as it is")
    variant: str = option("small", "size of model=new:sam", choices=("small", "vit_b", "vit_l", "vit_h"))
    preprocessing: str = option("medsam", "how model=new:sam sees a slice", choices=("sam", "medsam"))
    size: int = option(256, "side of the square that model=new:sam sees, small ones only; a multiple of 16", least=16)
