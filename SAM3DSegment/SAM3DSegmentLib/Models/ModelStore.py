"""The models that a user can choose: the embedded one, those of the catalogue, and own files. No Qt, no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sam3dseg import catalogue, download

from . import Model as models
from . import ModelTransfer as transfers
from .Model import Model
from .ModelTransfer import ModelTransfer
from .WeightsFile import inspectWeights

DEVICES = ("auto", "cuda", "mps", "cpu")


class MemorySettings:
    """Settings that last as long as the process, where there is no application to keep them."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def value(self, key: str, default: str = "") -> str:
        return self._values.get(key, default)

    def setValue(self, key: str, value: str) -> None:
        self._values[key] = value


class ModelStore:
    """Knows every model, fetches and removes them, and remembers the choice. One per process: `sharedStore()`.

    settings: `value(key, default)` and `setValue(key, value)`, as QSettings has them. Listeners are called on the
    thread that changes something or polls, never on that of a transfer.
    """

    def __init__(self, settings: Any = None, *, install: Callable[..., Path] = download.install) -> None:
        self._settings = settings if settings is not None else MemorySettings()
        self._install = install
        self._transfers: dict[str, ModelTransfer] = {}
        self._seen: dict[str, tuple] = {}
        self._listeners: list[Callable[[], None]] = []
        self.lastError = ""

    # ---- what there is -----------------------------------------------------------------------------------------

    def models(self) -> tuple[Model, ...]:
        """The embedded model, then the catalogue, then own files."""
        listed = (models.catalogueModel(entry, self._transfers.get(entry.name)) for entry in catalogue.ENTRIES)
        return (models.embeddedModel(), *listed, *map(models.ownModel, self._ownPaths()))

    def clickModels(self) -> tuple[Model, ...]:
        """Those that answer clicks."""
        return tuple(model for model in self.models() if model.isForClicks)

    def proposers(self) -> tuple[Model, ...]:
        """Those on this computer that propose whole segments."""
        return tuple(model for model in self.models() if model.isUsable and not model.isForClicks)

    def model(self, key: str) -> Model:
        """Raises ValueError naming all models when there is none of that key."""
        known = self.models()
        for model in known:
            if model.key == key:
                return model
        raise ValueError(f"no model {key!r}: expected one of {', '.join(m.key for m in known)}")

    @property
    def selected(self) -> str:
        """The chosen model's key; the embedded model where the choice is gone."""
        key = str(self._settings.value("SAM3DSegment/model", models.EMBEDDED))
        usable = {model.key for model in self.clickModels() if model.isUsable}
        return key if key in usable else models.EMBEDDED

    def select(self, key: str) -> None:
        """Raises ValueError for a model that is unknown, not on this computer, or not for clicks."""
        model = self.model(key)
        if not model.isForClicks:
            raise ValueError(
                f"{model.title} proposes whole segments and takes no clicks: use it in the row Propose of the effect, "
                "and choose another model for clicks"
            )
        if not model.isUsable:
            raise ValueError(f"{model.title} cannot be used yet ({model.state}): download it or choose its file first")
        self._settings.setValue("SAM3DSegment/model", key)
        self._notify()

    @property
    def device(self) -> str:
        device = str(self._settings.value("SAM3DSegment/device", DEVICES[0]))
        return device if device in DEVICES else DEVICES[0]

    def setDevice(self, device: str) -> None:
        if device not in DEVICES:
            raise ValueError(f"unknown device {device!r}: expected one of {', '.join(DEVICES)}")
        self._settings.setValue("SAM3DSegment/device", device)
        self._notify()

    # ---- what changes it ---------------------------------------------------------------------------------------

    def download(self, key: str) -> ModelTransfer:
        """Start to fetch a catalogue model, or go on where a download stopped; the running transfer if there is one."""
        entry = catalogue.entry_of(key)
        return self._start(key, lambda progress: self._install(entry, progress=progress))

    def useOfflineFile(self, key: str, path: str | Path) -> ModelTransfer:
        """Start to copy a file that was downloaded elsewhere to the place of a catalogue model.

        Raises ValueError at once for a file of another kind.
        """
        source, entry = Path(path), catalogue.entry_of(key)
        inspectWeights(source)
        return self._start(key, partial(transfers.copyOffline, source, entry))

    def transfer(self, key: str) -> ModelTransfer | None:
        """The running transfer of a model, or the last one that ended badly."""
        return self._transfers.get(key)

    def cancel(self, key: str) -> None:
        if key in self._transfers:
            self._transfers[key].cancel()
            self._notify()

    def addOwn(self, path: str | Path) -> Model:
        """List a checkpoint or adapter of the user's. Raises ValueError when it is no weights file."""
        path = inspectWeights(path).path.resolve()
        paths = self._ownPaths()
        if str(path) not in paths:
            self._setOwnPaths([*paths, str(path)])
        self._notify()
        return self.model(str(path))

    def remove(self, key: str) -> None:
        """Delete a downloaded model from this computer, or take an own file off the list (the file stays).

        Raises ValueError for the embedded model, and while the model is being fetched.
        """
        model = self.model(key)
        if model.kind == models.EMBEDDED:
            raise ValueError("the embedded model is part of the extension: it cannot be removed")
        if model.state == models.TRANSFERRING:
            raise ValueError(f"{model.title} is being fetched: cancel that first")
        if model.kind == models.OWN:
            self._setOwnPaths([path for path in self._ownPaths() if path != key])
        else:
            catalogue.remove(key)
        self._transfers.pop(key, None)
        self._notify()

    # ---- who listens -------------------------------------------------------------------------------------------

    def addListener(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def removeListener(self, listener: Callable[[], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    @property
    def isTransferring(self) -> bool:
        """A transfer runs, or has ended and no poll has told yet."""
        running = any(transfer.state == transfers.RUNNING for transfer in self._transfers.values())
        return running or self._progress() != self._seen

    def poll(self) -> None:
        """Tell the listeners what the transfers did since the last poll; call it by a timer while one runs."""
        if self._progress() == self._seen:
            return
        for key, transfer in list(self._transfers.items()):
            if transfer.state == transfers.FAILED:
                self.lastError = transfer.error
            if transfer.state in (transfers.DONE, transfers.CANCELLED):
                del self._transfers[key]
        self._seen = self._progress()
        self._notify()

    # ---- details -----------------------------------------------------------------------------------------------

    def _start(self, key: str, work: Callable[..., Path]) -> ModelTransfer:
        running = self._transfers.get(key)
        if running is None or running.state != transfers.RUNNING:
            self.lastError = ""
            running = self._transfers[key] = ModelTransfer(work)
            self._notify()
        return running

    def _progress(self) -> dict[str, tuple]:
        return {key: (t.state, t.received, t.isStopping) for key, t in self._transfers.items()}

    def _notify(self) -> None:
        for listener in list(self._listeners):
            listener()

    def _ownPaths(self) -> list[str]:
        try:
            paths = json.loads(str(self._settings.value("SAM3DSegment/ownModels", "[]")))
        except json.JSONDecodeError:
            return []
        return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []

    def _setOwnPaths(self, paths: list[str]) -> None:
        self._settings.setValue("SAM3DSegment/ownModels", json.dumps(paths))


_shared: list[ModelStore] = []


def sharedStore(settings: Any = None) -> ModelStore:
    """The process-wide store; `settings` count at the first call."""
    if not _shared:
        _shared.append(ModelStore(settings))
    return _shared[0]
