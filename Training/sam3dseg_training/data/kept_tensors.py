"""A folder of tensors that were computed once, and `index.json`, which says what they follow from.

Every sample is a .safetensors file of its own and appears whole or not at all, so that a stopped run goes on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sam3dseg.atomic import replacing

logger = logging.getLogger(__name__)

INDEX = "index.json"
SUFFIX = ".safetensors"


class KeptTensors:
    """Tensors by the name of their sample; noun is what people are told they are, such as "encodings"."""

    def __init__(self, folder: Path, noun: str) -> None:
        self.folder, self.noun = folder, noun

    def begin(self, source: Mapping[str, Any], **more: Any) -> None:
        """Note what the tensors follow from, as JSON can say it; those of anything else are removed.

        more: what is written beside it and may change.  Raises OSError when the folder cannot be written.
        """
        index = json.loads(json.dumps({**source}))
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self.index()
        changed = sorted(name for name in index if known is not None and known.get(name) != index[name])
        if changed:
            logger.info(
                "the %s in %s were of other data or weights (%s): making them anew",
                self.noun, self.folder, ", ".join(changed),
            )  # fmt: skip
            for path in self.folder.rglob(f"*{SUFFIX}"):
                path.unlink()
        self._write_index({**index, **more, "complete": False})

    def complete(self) -> None:
        """Note that nothing is missing."""
        self._write_index({**(self.index() or {}), "complete": True})

    def index(self) -> dict[str, Any] | None:
        """The index as it is; None where there is none that can be read."""
        try:
            index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            return None
        return index if isinstance(index, dict) else None

    def missing(self, names: Sequence[str]) -> list[int]:
        """The places in `names` of samples that are not there or cannot be read."""
        return [place for place, name in enumerate(names) if not self._is_readable(name)]

    def write(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Raises OSError when the disk is full."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(tensors, temporary)

    def read(self, name: str, parts: Mapping[str, tuple[slice, ...]] | None = None) -> dict[str, Tensor]:
        """All tensors of a sample, or parts of those that `parts` names; raises ValueError when it cannot be read."""
        with self._opened(name) as file:
            if parts is None:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            return {key: file.get_slice(key)[part] for key, part in parts.items()}

    def shape(self, name: str, key: str) -> tuple[int, ...]:
        """Of one tensor of a sample, without reading it; raises ValueError when it cannot be read."""
        with self._opened(name) as file:
            return tuple(file.get_slice(key).get_shape())

    def path(self, name: str) -> Path:
        """The file of a sample; names may hold folders."""
        return self.folder / f"{name}{SUFFIX}"

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        path = self.path(name)
        try:
            with safe_open(path, framework="pt") as file:
                yield file
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"{path}, one of the {self.noun}, is missing or damaged: remove it and start the run again"
            ) from error

    def _is_readable(self, name: str) -> bool:
        path = self.path(name)
        if not path.is_file():
            return False
        try:
            load_file(path)
        except (OSError, SafetensorError):
            return False
        return True

    def _write_index(self, index: Mapping[str, Any]) -> None:
        with replacing(self.folder / INDEX) as temporary:
            temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
