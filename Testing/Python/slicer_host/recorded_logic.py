"""A stand-in for EditorLogic that writes down what it is asked for, and tells listeners what a test wants told."""

from __future__ import annotations

from typing import Any

REQUESTS = (
    "addClick",
    "addBox",
    "refineSegment",
    "movePrompt",
    "deletePrompt",
    "flipPrompt",
    "chooseCandidate",
    "showStep",
    "replay",
    "clearPrompts",
    "propose",
    "prepare",
)


class RecordedLogic:
    """asked: (request, arguments without the target). refuse: text of the ValueError that the next request raises."""

    def __init__(self, status: Any) -> None:
        self.status = status
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.targets: list[Any] = []
        self.listeners: list[Any] = []
        self.models: list[tuple[Any, ...]] = []
        self.refuse = ""
        self.isBusy = False
        self.polls = self.cancels = self.retries = 0
        self.lastError = self.lastWritten = self.lastProposed = None

    def __getattr__(self, name: str) -> Any:
        if name not in REQUESTS:
            raise AttributeError(name)

        def request(target: Any, *arguments: Any) -> None:
            if self.refuse:
                text, self.refuse = self.refuse, ""
                raise ValueError(text)
            self.asked.append((name, arguments))
            self.targets.append(target)

        return request

    @property
    def needsPoll(self) -> bool:
        return self.isBusy

    def tell(self, event: str, target: Any) -> None:
        for listener in list(self.listeners):
            listener(event, target)

    def statusOf(self, target: Any) -> Any:
        return self.status

    def addListener(self, callback: Any) -> None:
        self.listeners.append(callback)

    def removeListener(self, callback: Any) -> None:
        self.listeners.remove(callback)

    def poll(self) -> bool:
        self.polls += 1
        return False

    def cancel(self, isMine: Any = None) -> None:
        self.cancels += 1
        self.isBusy = False

    def retry(self) -> None:
        self.retries += 1

    def setModel(self, nameOrPath: str, device: str = "auto", slices: Any = None) -> None:
        model = (nameOrPath, device, slices)
        if self.models[-1:] != [model]:
            self.models.append(model)

    def last(self, name: str) -> tuple[Any, ...]:
        """Arguments of the last request of this kind."""
        return [arguments for request, arguments in self.asked if request == name][-1]
