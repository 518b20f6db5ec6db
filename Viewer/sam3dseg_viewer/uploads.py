"""Files that the browser sends: into a private folder, size-limited, removed at the end."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import AsyncIterable
from pathlib import Path

GIB = 2**30
MAX_NAME = 100  # characters


class Uploads:
    """A temporary folder (mode 0700) for one server. Each file has a folder of its own in it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.folder = Path(tempfile.mkdtemp(prefix="sam3dseg-"))

    async def receive(self, name: str, chunks: AsyncIterable[bytes], *, announced: int | None = None) -> Path:
        """Write what comes, under the name it has in the browser without its folders.

        Raises ValueError for more bytes than allowed, announced or received; nothing is left of such a file.
        """
        if announced is not None and announced > self.max_bytes:
            raise self._too_large(announced)
        path = self.new_file(name)
        received = 0
        try:
            with path.open("xb") as file:
                async for chunk in chunks:
                    received += len(chunk)
                    if received > self.max_bytes:
                        raise self._too_large(received)
                    file.write(chunk)
        except BaseException:
            self.remove(path)
            raise
        return path

    def new_file(self, name: str) -> Path:
        """A path for a file that there is not yet, in a folder of its own."""
        name = safe_name(name)
        return Path(tempfile.mkdtemp(dir=self.folder)) / name

    def remove(self, path: Path) -> None:
        if path.parent.parent == self.folder:
            shutil.rmtree(path.parent, ignore_errors=True)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _too_large(self, size: int) -> ValueError:
        limit = f"{self.max_bytes / GIB:.3g} GiB"
        return ValueError(f"expected a file of at most {limit}, received {size} bytes or more: see --max-upload")


def safe_name(name: str) -> str:
    """The file's name without folders and without what has a meaning to a file system."""
    base = re.split(r"[/\\]", name)[-1]
    base = re.sub(r"[^\w.+ -]", "_", base).strip(". ")[-MAX_NAME:]
    if not base:
        raise ValueError(f"expected a file's name, received {name!r}: rename the file")
    return base
