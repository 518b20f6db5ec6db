"""Which model answers the clicks of one editor and how it goes through slices, and which models propose."""

from __future__ import annotations

from sam3dseg.families import CLICKS_2D
from sam3dseg.slices.options import CHOICES

from ..Models.ModelSelector import ModelSelector

SLICE_PARAMETERS = {"Orientation": "orientation", "Direction": "direction"}  # parameter -> option of the engine


class ModelChoice:
    """The model is chosen for all editors, the rest by the parameters of this one. onChanged() follows both the model
    and the list of models.
    """

    def __init__(self, parameters, *, onChanged) -> None:
        self._parameters, self._onChanged = parameters, onChanged
        self._proposers = ()
        self._given: tuple | None = None
        self.selector = None

    def makeSelector(self):
        """The widget that chooses model and device; it belongs to the options frame."""
        self.selector = ModelSelector(onChanged=lambda key, device: self._onChanged())
        self.selector.store.addListener(self._onModels)
        self._proposers = self.selector.store.proposers()
        return self.selector.widget

    def close(self) -> None:
        if self.selector is not None:
            self.selector.store.removeListener(self._onModels)
            self.selector.close()

    def giveTo(self, logic) -> None:
        """Let the logic answer with this model, from its next request on.

        What this editor gave already is not repeated, except for slices: another editor may have other options.
        """
        if self.selector is None:
            return
        wanted = (self.selector.key, self.selector.device, self.slices)
        if self.takesSlices or wanted != self._given:
            self._given = wanted
            logic.setModel(*wanted)

    @property
    def takesSlices(self) -> bool:
        """Whether the model goes through a volume slice by slice."""
        return self.selector is not None and self.selector.family == CLICKS_2D

    @property
    def slices(self) -> dict[str, str] | None:
        """What the engine's SliceOptions takes; None for a model that answers in 3D."""
        if not self.takesSlices:
            return None
        return {option: self.slice(name) for name, option in SLICE_PARAMETERS.items()}

    def slice(self, name: str) -> str:
        """One of the SLICE_PARAMETERS; its default where the scene has a value of another version."""
        choices, value = CHOICES[SLICE_PARAMETERS[name]], self._parameters.text(name)
        return value if value in choices else choices[0]

    @property
    def proposers(self) -> tuple:
        """The models on this computer that propose whole segments."""
        return self._proposers

    @property
    def proposer(self):
        """The one to propose with, or None where there is none."""
        chosen = [model for model in self._proposers if model.key == self._parameters.text("Proposer")]
        return next(iter((*chosen, *self._proposers)), None)

    def _onModels(self) -> None:
        before, self._proposers = self._proposers, self.selector.store.proposers()
        if before != self._proposers:
            self._onChanged()
