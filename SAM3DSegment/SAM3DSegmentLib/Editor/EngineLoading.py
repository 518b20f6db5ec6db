"""Loads the engine's models on the worker thread; what is missing becomes an error that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .EditorData import LogicError


class EngineError(Exception):
    """Carries a LogicError from the worker."""

    def __init__(self, error: LogicError) -> None:
        super().__init__(error.message)
        self.error = error


def loadModel(nameOrPath: str, device: str) -> Any:
    """The engine's segmenter. Raises EngineError that says what is missing."""
    try:
        from sam3dseg.segmenter import load_segmenter
    except ImportError as error:
        raise _withoutTorch(error) from error
    return _loaded(load_segmenter, nameOrPath, device)


def loadProposer(nameOrPath: str, device: str) -> Any:
    """The engine's proposer. Raises EngineError that says what is missing."""
    try:
        from sam3dseg.proposals.proposer import load_proposer
    except ImportError as error:
        raise _withoutTorch(error) from error
    return _loaded(load_proposer, nameOrPath, device)


def _loaded(load: Callable[..., Any], nameOrPath: str, device: str) -> Any:
    from sam3dseg.placement import placements_for

    try:
        placements_for(device, "auto")
    except ValueError as error:
        raise EngineError(LogicError(str(error))) from error
    try:
        return load(nameOrPath, device=device)
    except (OSError, ValueError) as error:
        raise EngineError(LogicError(str(error), "weights-missing")) from error


def _withoutTorch(error: ImportError) -> EngineError:
    return EngineError(LogicError(f"PyTorch is needed and cannot be loaded: {error}", "torch-missing"))
