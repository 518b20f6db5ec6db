"""Which files the page may open and save: those in chosen folders, links followed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

MAX_LISTED = 500


class Folders:
    """Chosen folders; paths without a root start in the first. Whatever leads out of all of them raises ValueError."""

    def __init__(self, roots: Iterable[str | os.PathLike[str]]) -> None:
        self.roots = tuple(dict.fromkeys(Path(root).resolve() for root in roots))
        if not self.roots:
            raise ValueError("expected at least one folder to open and save in, received none: give --folder")
        for root in self.roots:
            if not root.is_dir():
                raise ValueError(f"expected a folder, received {root}: give --folder one that there is")

    def to_open(self, path: str) -> Path:
        """A file or folder that there is."""
        found = self._inside(path)
        if not found.exists():
            raise ValueError(f"expected a file in {self.text}, received {path}: there is no such file")
        return found

    def to_save(self, path: str) -> Path:
        """A file to write, in a folder that there is."""
        found = self._inside(path)
        if found in self.roots or found.is_dir():
            raise ValueError(f"expected a file to save, received the folder {path}: add a name")
        if not found.parent.is_dir():
            raise ValueError(f"expected a folder that there is, received {found.parent}: make it first")
        return found

    @property
    def text(self) -> str:
        return " or ".join(map(str, self.roots))

    def listed(self, suffixes: Sequence[str]) -> list[str]:
        """Files of these endings in the chosen folders themselves, as `to_open` takes them."""
        names: list[str] = []
        for root in self.roots:
            for entry in sorted(root.iterdir()):
                if entry.name.lower().endswith(tuple(suffixes)) and entry.is_file() and self._holds(entry.resolve()):
                    names.append(entry.name if root == self.roots[0] else str(entry))
        return names[:MAX_LISTED]

    def _inside(self, path: str) -> Path:
        if not path.strip() or "\0" in path:
            raise ValueError(f"expected a path in {self.text}, received {path!r}: type a file's name")
        found = (self.roots[0] / Path(path.strip())).resolve()
        if not self._holds(found):
            raise ValueError(f"expected a path in {self.text}, received {path}: allow its folder with --folder")
        return found

    def _holds(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self.roots)
