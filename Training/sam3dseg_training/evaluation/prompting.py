"""What a model is given in an evaluation, and the words in which a report says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sam3dseg.families import CLICKS_2D, CLICKS_3D, FAMILIES, PROPOSALS

from ..configs.evaluate import EvaluateConfig, VisualizeConfig
from ..configs.options import refuse_changed
from .page import counted

CLICKS, SLICE_BOXES, NOTHING = "clicks", "slice_boxes", "nothing"
TAKEN = {CLICKS_3D: (CLICKS,), CLICKS_2D: (CLICKS, SLICE_BOXES), PROPOSALS: (NOTHING,)}  # by family of models
METHODS = {
    CLICKS: """A simulated user clicks each object as a person would in the software: first its deepest voxel; then,
each time, the deepest voxel of the largest region that is missed (a foreground click) or spilled (a background
click).""",
    SLICE_BOXES: """Every slice that shows an object is prompted with the smallest box around the object in it, and with
nothing else.""",
    NOTHING: """The model segments all classes by itself, without any prompt.""",
}


@dataclass(frozen=True, slots=True)
class Prompting:
    """kind: one of METHODS; answers: how many masks are judged, one after every click."""

    kind: str = CLICKS
    answers: int = 1

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> Prompting:
        """As metrics.json says; older ones are of clicks."""
        kind = metrics.get("prompts", CLICKS)
        return cls(kind, metrics["settings"]["clicks"] if kind == CLICKS else 1)

    @property
    def first_click(self) -> int:
        """How many clicks the first mask was made from."""
        return 1 if self.is_clicks else 0

    @property
    def is_clicks(self) -> bool:
        """Whether there is a mask after every click."""
        return self.kind == CLICKS

    def words(self, answer: int) -> str:
        """What the mask with this number, from 1 on, was made from."""
        return counted(answer, "click") if self.is_clicks else self.noun

    @property
    def all_words(self) -> str:
        """What all masks were made from."""
        return f"{'1 to ' * (self.answers > 1)}{self.words(self.answers)}"

    @property
    def noun(self) -> str:
        """The kind of prompts."""
        return {CLICKS: "clicks", SLICE_BOXES: "a box per slice", NOTHING: "0 clicks"}[self.kind]

    @property
    def curve_title(self) -> str:
        """What the picture shows."""
        if self.is_clicks:
            return "Means over the number of clicks; bands are the standard error of the mean"
        return f"All objects with {self.noun}: boxes are quartiles, lines in them medians, whiskers reach to the ends"

    @property
    def method(self) -> str:
        return METHODS[self.kind]


def prompting_of(config: EvaluateConfig, models: Mapping[str, str]) -> Prompting:
    """What these models, name -> architecture, are to be judged with.

    Raises ValueError for models that do not take the same, and for settings without effect on what they take.
    """
    kinds = {}
    for name, architecture in models.items():
        family = FAMILIES[architecture]
        if config.prompts == SLICE_BOXES and SLICE_BOXES not in TAKEN[family]:
            raise ValueError(
                f"prompts={SLICE_BOXES} needs a model for {CLICKS_2D}: {name} is for {family} ({architecture}); leave "
                "prompts= out, or choose another model"
            )
        if family != CLICKS_2D:
            refuse_changed(config, ("orientation", "modality"), f"has no effect on {name}, a model for {family}")
        kinds[name] = config.prompts if config.prompts in TAKEN[family] else TAKEN[family][0]
    return _common(config, kinds)


def pictured_prompting(config: VisualizeConfig, models: Mapping[str, str]) -> Prompting:
    """What these models, name -> architecture, are to be shown with: clicks, or nothing.

    Raises ValueError as `prompting_of` does.
    """
    return _common(config, {name: TAKEN[FAMILIES[architecture]][0] for name, architecture in models.items()})


def _common(config: EvaluateConfig | VisualizeConfig, kinds: Mapping[str, str]) -> Prompting:
    """The one kind of prompts of all models."""
    (name, kind), *others = kinds.items()
    for other, another in others:
        if another != kind:
            raise ValueError(
                f"{name} is given {kind} and {other} {another}: expected a model and a baseline that take the same"
            )
    if kind != CLICKS:
        refuse_changed(config, ("clicks",), f"has no effect on {name}, which is given {kind.replace('_', ' ')}")
    return Prompting(kind, config.clicks if kind == CLICKS else 1)
