"""Fields of a configuration that explain and check themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import field, fields, is_dataclass
from typing import Any, get_args, get_type_hints

SEPARATOR = "."


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    required: bool = False,
) -> Any:
    """A dataclass field with one line of help and what it may hold.

    least and most are inclusive, above is not; a required option refuses its empty default.
    """
    facts = {"help": help, "choices": tuple(choices), "least": least, "above": above, "most": most}
    metadata = {**facts, "required": required}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(of: type, help: str, *, shorthand: str = "") -> Any:
    """A field that holds another dataclass; `key=value` stands for `key.shorthand=value` where one is named."""
    return field(default_factory=of, metadata={"help": help, "shorthand": shorthand})


def keys_of(config: type, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, field, type) of every value in the tree of a dataclass, in the order they are written."""
    hints = get_type_hints(config)
    for entry in fields(config):
        kind = hints[entry.name]
        if is_dataclass(kind):
            yield from keys_of(kind, f"{prefix}{entry.name}{SEPARATOR}")
        else:
            yield prefix + entry.name, entry, kind


def sections_of(config: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, field) of every section in the tree of a dataclass."""
    hints = get_type_hints(config)
    for entry in fields(config):
        if is_dataclass(hints[entry.name]):
            yield prefix + entry.name, entry
            yield from sections_of(hints[entry.name], f"{prefix}{entry.name}{SEPARATOR}")


def value_of(config: Any, key: str) -> Any:
    """The value under a dotted key."""
    for name in key.split(SEPARATOR):
        config = getattr(config, name)
    return config


def words_for(kind: Any) -> str:
    """A type in words."""
    if get_args(kind):
        return f"a list like [a,b] of {words_for(get_args(kind)[0]).removeprefix('a ')} values"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(kind, str(kind))


def check(config: Any) -> None:
    """Raise ValueError naming the first key whose value is missing or not allowed."""
    for key, entry, _ in keys_of(type(config)):
        value, facts = value_of(config, key), entry.metadata
        if facts.get("required") and value in ("", []):
            raise ValueError(f"{key} is needed ({facts['help']}): add {key}=…")
        if facts.get("choices") and value not in facts["choices"]:
            raise ValueError(f"{key} must be one of {', '.join(facts['choices'])}, not {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} must be a finite number, not {value}")
        if facts.get("least") is not None and value < facts["least"]:
            raise ValueError(f"{key} must be at least {facts['least']}, not {value}")
        if facts.get("above") is not None and value <= facts["above"]:
            raise ValueError(f"{key} must be more than {facts['above']}, not {value}")
        if facts.get("most") is not None and value > facts["most"]:
            raise ValueError(f"{key} must be at most {facts['most']}, not {value}")


def refuse_changed(config: Any, names: Sequence[str], reason: str) -> None:
    """Raise ValueError, "KEY=VALUE reason", for the first value under these keys and sections that is not the default.

    config: one whose fields all have defaults.
    """
    default = type(config)()
    for key, _, _ in keys_of(type(config)):
        is_named = any(key == name or key.startswith(f"{name}{SEPARATOR}") for name in names)
        if is_named and value_of(config, key) != value_of(default, key):
            raise ValueError(f"{key}={value_of(config, key)} {reason}")
