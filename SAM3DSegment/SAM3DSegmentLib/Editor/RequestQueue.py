"""Requests that wait, run or failed, in the order they were asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .EditorData import Ask, LogicError, Target, keyOf
from .ProposalWriter import ProposalPlan
from .RequestPlanner import Plan

COALESCED = ("add", "show")  # of several on one segment, one answer serves all


@dataclass(frozen=True)
class Running:
    """The request that the worker is busy with, and the entries of the queue that it answers.

    work: what the worker does; write: applies what it gave, and names the event that listeners get.
    """

    plan: Plan | ProposalPlan
    asks: tuple[Ask, ...]
    work: Callable[[], Any]
    write: Callable[[Any], str]

    @property
    def isWanted(self) -> bool:
        return not self.plan.job.state.isCancelled


class RequestQueue:
    """What failed is kept, to be asked again, until it is dropped."""

    def __init__(self) -> None:
        self._waiting: list[Ask] = []
        self._failed: list[Ask] = []
        self.running: Running | None = None

    @property
    def isBusy(self) -> bool:
        """Whether a request waits or runs."""
        return bool(self._waiting) or (self.running is not None and self.running.isWanted)

    @property
    def hasNext(self) -> bool:
        """Whether a request can be taken: one waits, none runs."""
        return bool(self._waiting) and self.running is None

    def add(self, ask: Ask, error: LogicError | None) -> None:
        """Append a request; before it what failed for something missing, which may be there by now."""
        if error is not None and error.kind != "failed":
            self.retry()
        self._waiting.append(ask)

    def retry(self) -> None:
        """Let what failed wait again, first."""
        self._waiting[:0], self._failed = self._failed, []

    def keep(self, asks: tuple[Ask, ...]) -> None:
        """Remember what failed."""
        self._failed += asks

    def take(self) -> tuple[Ask, tuple[Ask, ...]]:
        """The next request, made of all that it serves, and those."""
        first = self._waiting[0]
        taken, left = [first], []
        isOpen = first.kind in COALESCED
        for ask in self._waiting[1:]:
            if isOpen and ask.key == first.key and ask.kind == first.kind:
                taken.append(ask)
            else:
                isOpen = isOpen and ask.key != first.key
                left.append(ask)
        self._waiting = left
        return replace(taken[-1], prompts=tuple(p for ask in taken for p in ask.prompts)), tuple(taken)

    def asksFor(self, target: Target) -> list[Ask]:
        """All requests on a segment that were not answered, proposals for its segmentation among them."""
        key = keyOf(target)
        return [ask for ask in self.all() if ask.key == key or (ask.kind == "propose" and ask.key[0] == key[0])]

    def all(self) -> list[Ask]:
        """All requests that were not answered, in order."""
        running = self.running.asks if self.running is not None and self.running.isWanted else ()
        return [*running, *self._failed, *self._waiting]

    def drop(self, isGone: Callable[[Target], bool]) -> bool:
        """Forget the requests on these targets; True when the running one is among them: stop it."""
        self._waiting = [ask for ask in self._waiting if not isGone(ask.target)]
        self._failed = [ask for ask in self._failed if not isGone(ask.target)]
        if self.running is None or not isGone(self.running.plan.ask.target):
            return False
        self.running.plan.job.state.cancel()
        return True
