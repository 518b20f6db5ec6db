"""From the words of a command line to a checked configuration, and back from the file beside a run."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from sam3dseg.atomic import replacing

from .options import check, keys_of, sections_of, value_of, words_for

FILE_NAME = "config.yaml"
SAVED = "config"  # the word that names a saved configuration to start from
SHORT = {"o": "out"}


def assignments(words: Sequence[str], *, positional: str = "", flags: Sequence[str] = ()) -> list[str]:
    """Words as `key=value`; also understood are `--key value`, `--key=value` and `-o value`.

    positional: the list that words without a key belong to.  flags: keys that may stand alone for true.
    Raises ValueError for a word that is none of these.
    """
    found: list[str] = []
    free: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-") and len(word) > 1:
            name, equals, value = word.lstrip("-").partition("=")
            key = SHORT.get(name, name).replace("-", "_")
            if not equals and key in flags:
                value = "true"
            elif not equals:
                if not rest:
                    raise ValueError(f"{word} needs a value: write {key}=…")
                value = rest.pop(0)
            found.append(f"{key}={value}")
        elif re.match(r"[A-Za-z_][\w.]*=", word):
            found.append(word)
        elif positional:
            free.append(word)
        else:
            raise ValueError(f"{word!r} is no setting: expected key=value; --help lists the keys")
    if free:
        found.insert(0, f"{positional}=[{','.join(_quoted(word) for word in free)}]")
    return found


def resolve(config: type, words: Sequence[str]) -> Any:
    """The checked configuration: an instance of the dataclass `config`.

    words: `key=value`, later ones win; `config=FILE` starts from a file that `save` wrote.
    Raises ValueError naming the key, with the nearest valid one when it is unknown.
    """
    entries = [word.partition("=")[::2] for word in words]
    saved = [value for key, value in entries if key == SAVED]
    pairs = [_expanded(config, key, value) for key, value in entries if key != SAVED]
    kinds = {key: kind for key, _, kind in keys_of(config)}
    for key, _ in pairs:
        if key not in kinds:
            raise ValueError(_unknown(key, config))
    overrides = [(key, value, _written(kinds[key], value)) for key, value in pairs]
    result = _to_object(_composed(config, saved[-1] if saved else "", overrides, kinds))
    check(result)
    return result


def save(config: Any, folder: Path) -> Path:
    """Write the configuration into `folder`, in one step; `config=` takes the file."""
    from omegaconf import OmegaConf

    path = folder / FILE_NAME
    with replacing(path) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)), encoding="utf-8")
    return path


def changed_settings(config: Any, folder: Path) -> list[str]:
    """The keys in which `config` differs from the file that `save` wrote into `folder`; none where there is no file.

    Raises ValueError when the file does not fit.
    """
    if not (folder / FILE_NAME).is_file():
        return []
    before = resolve(type(config), [f"{SAVED}={folder}"])
    return [key for key, _, _ in keys_of(type(config)) if value_of(before, key) != value_of(config, key)]


def _composed(config: type, saved: str, overrides: Sequence[tuple[str, str, str]], kinds: dict[str, Any]) -> Any:
    from hydra import compose, initialize
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException

    ConfigStore.instance().store(name="command", node=_base(config, saved))
    with initialize(version_base="1.3", config_path=None):
        try:
            return compose("command", overrides=[f"{key}={written}" for key, _, written in overrides])
        except HydraException:
            for key, value, written in overrides:  # one after the other, to name the wrong one
                try:
                    compose("command", overrides=[f"{key}={written}"])
                except HydraException:
                    raise ValueError(f"{key} must be {words_for(kinds[key])}, not {value!r}") from None
            raise


def _base(config: type, saved: str) -> Any:
    """The tree of defaults, or of the saved file, open for changes although its classes are frozen."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    tree = _thawed(OmegaConf.structured(config))
    if not saved:
        return tree
    path = Path(saved)
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"no configuration at {path}: expected the {FILE_NAME} beside a run; check the path")
    try:
        tree.merge_with(OmegaConf.load(path))
    except (OmegaConfBaseException, ValueError) as error:
        line = str(error).split("\n")[0]
        raise ValueError(f"{path} does not fit this command: {line}; use the file of such a run") from error
    except Exception as error:  # whatever the YAML parser found
        raise ValueError(f"{path} is no YAML file: {str(error).splitlines()[0]}") from error
    return tree


def _thawed(node: Any) -> Any:
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _thawed(child)
    return node


def _to_object(tree: Any) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_object(tree)
    except OmegaConfBaseException as error:  # ${…} that names nothing
        line = str(error).splitlines()[0]
        raise ValueError(f"a value cannot be worked out: {line}; write it without ${{…}}") from error


def _expanded(config: type, key: str, value: str) -> tuple[str, str]:
    """`data=folder` stands for `data.path=folder` where the section has such a shorthand."""
    for name, entry in sections_of(config):
        if key == name:
            shorthand = entry.metadata["shorthand"]
            if shorthand:
                return f"{key}.{shorthand}", value
            inside = [inner for inner, _, _ in keys_of(config) if inner.startswith(f"{name}.")]
            raise ValueError(f"{key} is a section and takes no value of its own: set one of {', '.join(inside)}")
    return key, value


def _unknown(key: str, config: type) -> str:
    keys = [name for name, _, _ in keys_of(config)]
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
    if not near:  # the right name in the wrong section, or a misspelt one
        last = {name.rpartition(".")[2]: name for name in reversed(keys)}
        near = [last[name] for name in difflib.get_close_matches(key.rpartition(".")[2], last, n=1, cutoff=0.7)]
    hint = f"did you mean {near[0]}?" if near else "--help lists the keys"
    return f"unknown setting {key!r}: {hint}"


def _written(kind: Any, value: str) -> str:
    """The value in Hydra's grammar: texts are quoted, so that any path is taken as it is."""
    if kind is str:
        return _quoted(value)
    if get_origin(kind) is list:
        if value.startswith("[") != value.endswith("]"):
            raise ValueError(f"expected a list like [a,b], received {value!r}: close the bracket")
        if value.startswith("["):
            return value if "'" in value or '"' in value else _quoted_list(value[1:-1], get_args(kind)[0])
        return f"[{_quoted(value) if get_args(kind)[0] is str else value}]"
    return value


def _quoted_list(inside: str, kind: Any) -> str:
    items = [item.strip() for item in inside.split(",") if item.strip()]
    return f"[{','.join(_quoted(item) for item in items) if kind is str else ','.join(items)}]"


def _quoted(value: str) -> str:
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    tail = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * tail}'"


def as_words(config: Any, command: str) -> str:
    """The command line that gives `config`: only what differs from the defaults."""
    default = type(config)()
    changed = [key for key, _, _ in keys_of(type(config)) if value_of(config, key) != value_of(default, key)]
    words = [f"{key}={_shown(value_of(config, key))}" for key in changed]
    return shlex.join(["sam3dseg-train", command, *words])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
