"""What the editor remembers of a segment while it is worked on: the engine's history and what it wrote at each step."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from .EditorData import Answerer, Step, Target
from .SegmentContent import EMPTY_DIGEST

TRACKS = 4  # segments whose logits stay in memory; those before them are answered anew from their tags


class SegmentTrack:
    """Steps in the order of the engine's history, and for each the digest of the segment after it was written.

    Belongs to one image (its key and fingerprint) and one model with its options.
    """

    def __init__(self, target: Target, imageKey: tuple, fingerprint: str, model: Answerer) -> None:
        self.target = target
        self.imageKey, self.fingerprint, self.model = imageKey, fingerprint, model
        self.history: Any | None = None
        self.steps: list[Step] = [Step()]
        self.contents: list[tuple[str, ...]] = [(EMPTY_DIGEST,)]  # a step shown again under another mask has several
        self.position = 0
        self.timing: Any | None = None
        self.shown = ""  # digest after the last write if that showed a step: further ones share its undo state

    def locate(self, content: str, uid: str) -> int | None:
        """The step at which the segment held this content; `uid`, from its tags, tells apart steps that look alike."""
        alike = [n for n, digests in enumerate(self.contents) if content in digests]
        named = [n for n in alike if self.steps[n].uid == uid]
        if self.position in named or (not named and self.position in alike):
            return self.position
        return (named or alike or [None])[-1]

    def adopt(
        self, history: Any, steps: list[Step], contents: list[tuple[str, ...]], *, position: int, length: int
    ) -> None:
        """Take up the engine's history after a request that started at this track's position and added `steps`."""
        if steps:
            self.steps = [*self.steps[: self.position + 1], *steps][-length:]
            self.contents = [*self.contents[: self.position + 1], *contents][-length:]
        self.history, self.position = history, position

    def wrote(self, content: str) -> None:
        """The segment held this content after the present step was written."""
        if content not in self.contents[self.position]:
            self.contents[self.position] += (content,)


class Tracks:
    """The tracks of the segments worked on last."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[tuple[str, str], SegmentTrack] = OrderedDict()

    def get(self, key: tuple[str, str]) -> SegmentTrack | None:
        return self._tracks.get(key)

    def put(self, key: tuple[str, str], track: SegmentTrack) -> None:
        self._tracks[key] = track
        self._tracks.move_to_end(key)
        while len(self._tracks) > TRACKS:
            self._tracks.popitem(last=False)

    def drop(self, key: tuple[str, str]) -> None:
        self._tracks.pop(key, None)

    def all(self) -> list[tuple[tuple[str, str], SegmentTrack]]:
        return list(self._tracks.items())

    def clear(self) -> None:
        self._tracks.clear()
