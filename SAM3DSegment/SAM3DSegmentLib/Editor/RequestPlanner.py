"""Turns what the user asked of a segment into a job for the engine, given what the segment holds now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from .EditorData import Answerer, Ask, Group, Model, PlacedBox, PlacedClick, Step, Target, keyOf
from .EngineDesk import Desk, Request
from .InferenceEngine import Answer, Ground, Job, Source
from .MaskPlacement import NOTHING, Grid, Patch, moved
from .PromptStore import Kept, PromptStore
from .SegmentContent import Content, SegmentReader
from .SegmentTrack import SegmentTrack, Tracks
from .SourceGeometry import SourceGeometry


@dataclass(frozen=True)
class Place:
    """Where a segment stands: its content, the step that made it (None for foreign content), and from its tags."""

    geometry: SourceGeometry
    content: Content
    track: SegmentTrack | None
    position: int | None
    kept: Kept | None

    @property
    def step(self) -> Step:
        """The step whose prompts explain the content; an empty one where none do."""
        if self.track is not None and self.position is not None:
            return self.track.steps[self.position]
        return self.kept.step if self.kept is not None else Step()


@dataclass(frozen=True)
class Plan:
    """A job, and how its answer becomes steps. base: the step that the request adds to."""

    ask: Ask
    job: Job
    place: Place
    track: SegmentTrack
    base: Step
    groupsAfter: Callable[[tuple[Group, ...]], tuple[Group, ...]] | None  # None for a request that adds no step

    def steps(self, answer: Answer) -> tuple[list[Step], list[tuple[str, ...]]]:
        """The steps that the answer added, and for each the digest of the segment where it is known."""
        base = self.base
        made: list[Step] = []
        contents: list[tuple[str, ...]] = []
        if answer.started is not None:
            base = Step(initial=answer.started)
        if answer.groundSteps:
            base = replace(base, uid=base.uid or uuid4().hex)
            made, contents = [base], [(self.place.content.digest,)]
        if answer.ownSteps and self.groupsAfter is not None:
            hint = None
            if answer.hint is not None:
                x, y, z = self.place.geometry.rasOf(answer.hint).tolist()
                hint = (x, y, z)
            made.append(
                Step(
                    uid=uuid4().hex,
                    groups=self.groupsAfter(base.groups),
                    initial=base.initial,
                    candidates=answer.candidates,
                    chosen=answer.chosen,
                    hint=hint,
                    answer=answer.digest,
                    notices=answer.notices,
                )
            )
            contents.append(())
        return made, contents


class RequestPlanner:
    """Knows the tracks, the tags and the reader; changes none of them."""

    def __init__(self, tracks: Tracks, reader: SegmentReader, store: PromptStore) -> None:
        self._tracks, self._reader, self._store = tracks, reader, store

    def placeOf(self, target: Target, model: Answerer) -> Place:
        """Where the target stands now. Raises ValueError for a volume or segment that cannot be used."""
        geometry = SourceGeometry(target.volumeNode)
        segment = target.segmentationNode.GetSegmentation().GetSegment(target.segmentId)
        if segment is None:
            raise ValueError("expected a segment to edit, received none: add or select one first")
        content = self._reader.read(target.segmentationNode, target.segmentId)
        kept = self._store.read(segment)
        track = self._tracks.get(keyOf(target))
        if track is not None and (track.imageKey != geometry.key or track.model != model):
            track = None
        position = None if track is None else track.locate(content.digest, kept.step.uid if kept else "")
        fits = kept is not None and (kept.content, kept.model) == (content.digest, model)
        explains = position is None and fits and kept.image == geometry.fingerprint()
        return Place(geometry, content, track, position, kept if explains else None)

    def plan(self, ask: Ask, model: Model) -> Plan:
        """The job for a request. Raises ValueError for what cannot be asked of the segment as it is."""
        target = ask.target
        answerer, device = model
        place = self.placeOf(target, answerer)
        if ask.kind == "replay" and not place.step.groups:
            place = self._asKept(place, target)
            answerer = place.kept.model if place.kept is not None else answerer
        geometry = place.geometry
        track = place.track or SegmentTrack(target, geometry.key, geometry.fingerprint(), answerer)
        base, ground = self._ground(place, track, ask)
        act, groupsAfter = self._action(ask, base, geometry)
        job = Job(sourceOf(geometry), (answerer, device), ground, act)
        return Plan(ask, job, place, track, base, groupsAfter)

    def patchIn(self, geometry: SourceGeometry, content: Content, target: Target) -> Patch:
        """A segment's content in voxels of the volume."""
        if content.grid is None:
            return NOTHING
        return moved(content.patch, content.grid, volumeGrid(geometry, target.volumeNode))

    def _asKept(self, place: Place, target: Target) -> Place:
        """The place that the tags speak of, whatever the segment holds now. Raises ValueError without prompts."""
        kept = self._store.read(target.segmentationNode.GetSegmentation().GetSegment(target.segmentId))
        if kept is None or not kept.step.groups:
            raise ValueError("expected prompts kept with this segment, found none: click inside the structure")
        return replace(place, kept=kept)

    def _ground(self, place: Place, track: SegmentTrack, ask: Ask) -> tuple[Step, Ground]:
        """The step to go on from, and where the engine starts."""
        if place.position is not None:
            return track.steps[place.position], Ground(track.history, place.position)
        here = Ground(track.history, track.position)
        if ask.kind == "show":
            return Step(), here
        if place.kept is not None:
            if ask.kind in ("move", "delete", "flip", "replay"):
                return place.kept.step, here  # all is answered anew anyway
            content = self.patchIn(place.geometry, place.content, ask.target)
            requests = engineRequests(place.kept.step.groups, place.geometry)
            step = place.kept.step
            return step, replace(here, content=content, requests=requests, initial=step.initial, answer=step.answer)
        if place.content.isEmpty and place.track is None:
            return Step(), here
        return Step(), replace(here, content=self.patchIn(place.geometry, place.content, ask.target))

    def _action(
        self, ask: Ask, base: Step, geometry: SourceGeometry
    ) -> tuple[Callable[[Desk], object], Callable[[tuple[Group, ...]], tuple[Group, ...]] | None]:
        """What the engine does, and what becomes of the groups of the step it starts from."""
        if ask.kind == "add":
            prompts = tuple(enginePrompt(p, geometry) for p in ask.prompts)
            return lambda desk: desk.add(prompts), lambda groups: (*groups, Group(ask.prompts))
        if ask.kind == "choose":
            return lambda desk: desk.choose(ask.value), lambda groups: _chosen(groups, ask.value)
        if ask.kind == "show":
            return lambda desk: desk.goTo(ask.value), None
        groups = edited(base.groups, ask, hasInitial=base.initial is not None)
        requests = engineRequests(groups, geometry)
        initial = base.initial
        return lambda desk: desk.push(desk.answerTo(requests, initial)), lambda _: groups


def sourceOf(geometry: SourceGeometry) -> Source:
    """The volume as the engine takes it."""
    return Source(geometry.key, geometry.voxels(), geometry.spacing_mm, geometry.direction)


def volumeGrid(geometry: SourceGeometry, volumeNode: Any) -> Grid:
    """The volume's voxels as a grid below its parent transform."""
    i, j, k = (n - 1 for n in geometry.shape)
    return Grid(geometry.ijkToRas, (0, 0, 0), (i, j, k), volumeNode.GetParentTransformNode())


def enginePrompt(prompt: PlacedClick | PlacedBox, geometry: SourceGeometry) -> Any:
    """The engine's Click or Box. Raises ValueError outside the volume."""
    return geometry.engineClick(prompt) if isinstance(prompt, PlacedClick) else geometry.engineBox(prompt)


def engineRequests(groups: tuple[Group, ...], geometry: SourceGeometry) -> tuple[Request, ...]:
    """The engine's prompts of each group and the candidate chosen of its answer."""
    return tuple((tuple(enginePrompt(p, geometry) for p in group.prompts), group.chosen) for group in groups)


def edited(groups: tuple[Group, ...], ask: Ask, *, hasInitial: bool) -> tuple[Group, ...]:
    """The groups with one click moved, deleted or flipped. Raises ValueError where nothing marks the structure."""
    if ask.kind == "replay":
        return groups
    index, moved_ = ask.value if ask.kind == "move" else (ask.value, None)
    places = [(g, p) for g, group in enumerate(groups) for p, prompt in enumerate(group.prompts) if _isClick(prompt)]
    if not 0 <= index < len(places):
        raise ValueError(f"expected a point from 0 to {len(places) - 1}, received {index}")
    g, p = places[index]
    before = groups[g].prompts
    new = {"move": (moved_,), "delete": (), "flip": (replace(before[p], isForeground=not before[p].isForeground),)}
    changed = replace(groups[g], prompts=(*before[:p], *new[ask.kind], *before[p + 1 :]))
    kept = [group for group in (*groups[:g], changed, *groups[g + 1 :]) if group.prompts]
    if hasInitial or not kept:
        return tuple(kept)
    while not any(not _isClick(q) or q.isForeground for q in kept[0].prompts):
        if len(kept) == 1:
            raise ValueError("only background points would be left: keep a foreground point, or clear all")
        kept[:2] = [Group((*kept[0].prompts, *kept[1].prompts), kept[1].chosen)]
    return tuple(kept)


def _chosen(groups: tuple[Group, ...], index: int) -> tuple[Group, ...]:
    return (*groups[:-1], replace(groups[-1], chosen=index)) if groups else groups


def _isClick(prompt: Any) -> bool:
    return isinstance(prompt, PlacedClick)
