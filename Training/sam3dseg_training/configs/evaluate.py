"""`sam3dseg-train evaluate`: how good a model is after 1 to N clicks."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """Simulated prompts through the session of the effect, on held-out or all cases."""

    data: str = option("", "folder written by `sam3dseg-train prepare`", required=True)
    out: str = option("", "folder for metrics.json, tables, curves and the page", required=True)
    model: str = option("embedded", "embedded, a weights or adapter file, a run folder, or a name of the catalogue")
    baseline: str = option("", "a second model to compare with, such as the one before fine-tuning")
    labels: list[str] = option([], "labels to segment, by name; several joined by + are one object; empty: each label")
    cases: str = option("validation", "which cases", choices=("validation", "training", "all"))
    fold: int = option(0, "which part of the cases was held out", least=0)
    folds: int = option(5, "parts: every folds-th case was held out", least=1)
    limit: int = option(0, "look at so many of these cases only, evenly spread (0: all)", least=0)
    prompts: str = option("clicks", "clicks; slice_boxes, for models of slices: the smallest box around the object in "
                          "every slice", choices=("clicks", "slice_boxes"))  # fmt: skip
    orientation: str = option("auto", "of the slices, for models of slices",
                              choices=("auto", "axial", "coronal", "sagittal"))  # fmt: skip
    modality: str = option("auto", "of the intensities, for models of slices", choices=("auto", "ct", "other"))
    clicks: int = option(5, "simulated clicks per object", least=1)
    tolerance_mm: float = option(1.0, "tolerance of the Surface Dice in mm", above=0)
    pictures: int = option(3, "pictures of the worst and of the best results on the page", least=0)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")
    jobs: int = option(1, "processes", least=1)


@dataclass(frozen=True, slots=True)
class VisualizeConfig:
    """Pictures and meshes of image, reference and result, case by case."""

    data: str = option("", "folder written by `sam3dseg-train prepare`", required=True)
    out: str = option("", "folder for pictures and meshes", required=True)
    model: str = option("embedded", "the model after fine-tuning")
    baseline: str = option("", "the model before fine-tuning; empty: only one result is shown")
    labels: list[str] = option([], "labels to show, by name; several joined by + are one object; empty: each label")
    cases: list[str] = option([], "names of cases; empty: the first of those held out")
    fold: int = option(0, "which part of the cases was held out", least=0)
    folds: int = option(5, "parts: every folds-th case was held out (1: none was)", least=1)
    clicks: int = option(5, "simulated clicks per object", least=1)
    slices: int = option(8, "slices per grid", least=1)
    meshes: str = option("stl", "kind of mesh files", choices=("none", "stl", "obj"))
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")


@dataclass(frozen=True, slots=True)
class FewShotConfig:
    """Dice over the number of training cases, from the reports of several models."""

    reports: list[str] = option([], "folders written by `sam3dseg-train evaluate`", required=True)
    out: str = option("", "the .png file to write", required=True)
    clicks: list[int] = option([], "after how many clicks, a curve each; empty: the first and the last")
    label: str = option("", "the object to show; empty: all together")
    lines: list[str] = option([], "results of others as lines across, like [nnU-Net=0.90]")
