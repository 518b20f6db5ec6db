"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def suffix_of(path: str | os.PathLike[str], suffixes: Sequence[str]) -> str:
    """The longest of `suffixes` (lower case, with the dot) that the file name ends in, or ValueError naming them."""
    name = Path(path).name
    fitting = [suffix for suffix in suffixes if name.lower().endswith(suffix) and len(name) > len(suffix)]
    if not fitting:
        raise ValueError(f"cannot tell the format of {name!r}: expected a name ending in {', '.join(suffixes)}")
    return max(fitting, key=len)


def check_output(path: str | os.PathLike[str], suffixes: Sequence[str]) -> None:
    """Raise before long work what writing `path` would raise after it.

    ValueError for an unknown file name ending, OSError for a folder that does not exist or cannot be written.
    """
    suffix_of(path, suffixes)
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    if Path(path).is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; give a file name")
    with replacing(path) as temporary:
        temporary.touch()
        temporary.unlink()


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`, with the same ending; on success it takes the place of `path`.

    On any error the temporary file is removed and `path` keeps what it held. Raises OSError with one readable line
    when the folder is read-only or the disk is full. Nothing happens when no file was made under the temporary name.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        if temporary.exists():
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise type(error)(f"cannot write {path}: {reason[:1].lower()}{reason[1:]}; nothing was changed") from error
    finally:
        if temporary.exists():  # unlinking a missing file on a read-only disk would raise
            temporary.unlink()
