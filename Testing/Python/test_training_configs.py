"""Settings: every value can be overridden, what is wrong is named, and what was resolved can be run again."""

from __future__ import annotations

import dataclasses
import shlex
from typing import get_args

import pytest

from sam3dseg_training.cli import COMMANDS
from sam3dseg_training.configs.evaluate import EvaluateConfig
from sam3dseg_training.configs.export import ExportConfig
from sam3dseg_training.configs.fit import FitConfig
from sam3dseg_training.configs.options import keys_of, sections_of, value_of
from sam3dseg_training.configs.prepare import PrepareConfig
from sam3dseg_training.configs.resolve import as_words, assignments, changed_settings, resolve, save
from sam3dseg_training.configs.synthetic import SyntheticConfig

NEEDED = {
    name: [f"{key}=x" for key, entry, _ in keys_of(command.config) if entry.metadata["required"]]
    for name, command in COMMANDS.items()
}
EVERY = [
    pytest.param(name, key, entry, kind, id=f"{name}:{key}")
    for name, command in COMMANDS.items()
    for key, entry, kind in keys_of(command.config)
]
FIT = ["data=x", "out=y"]


def another(entry, kind) -> tuple[str, object]:
    """A value that differs from the default, as a word and as it should come out."""
    facts = entry.metadata
    default = None if entry.default is dataclasses.MISSING else entry.default
    if facts["choices"]:
        value = next(choice for choice in facts["choices"] if choice != default)
        return value, value
    if get_args(kind) == (int,):
        return "[3,4]", [3, 4]
    if get_args(kind) == (float,):
        return "[3,0.5]", [3.0, 0.5]
    if get_args(kind):
        return "[a b,c+d]", ["a b", "c+d"]
    if kind is bool:
        return str(not default).lower(), not default
    if kind is int:
        return "48" if default != 48 else "64", 48 if default != 48 else 64
    if kind is float:
        return ("0.25", 0.25) if default != 0.25 else ("0.5", 0.5)
    return "some thing/ö=1, [x]", "some thing/ö=1, [x]"


def command_of(name: str, *words: str):
    return resolve(COMMANDS[name].config, [*NEEDED[name], *words])


@pytest.mark.parametrize(("name", "key", "entry", "kind"), EVERY)
def test_every_value_can_be_overridden_and_explains_itself(name, key, entry, kind):
    word, value = another(entry, kind)
    assert value_of(command_of(name, f"{key}={word}"), key) == value
    assert len(entry.metadata["help"]) > 8


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["lora.rnk=4"], "unknown setting 'lora.rnk': did you mean lora.rank?"),
        (["rate=1e-3"], "unknown setting 'rate': did you mean optim.rate?"),
        (["lora.minutes=4"], "unknown setting 'lora.minutes': did you mean minutes?"),
        (["zzz=4"], "unknown setting 'zzz': --help lists the keys"),
        (["lora.rank=many"], "lora.rank must be a whole number, not 'many'"),
        (["lora.rank=1.5"], "lora.rank must be a whole number, not '1.5'"),
        (["optim.rate=fast"], "optim.rate must be a number, not 'fast'"),
        (["data.augment=maybe"], "data.augment must be true or false, not 'maybe'"),
        (["lora.rank=0"], "lora.rank must be at least 1, not 0"),
        (["minutes=0"], "minutes must be more than 0, not 0"),
        (["minutes=nan"], "minutes must be a finite number, not nan"),
        (["optim.final=2"], "optim.final must be at most 1, not 2"),
        (["tune=some"], "tune must be one of lora, full, decoder, encoder, not 'some'"),
        (["lora=8"], "lora is a section and takes no value of its own: set one of lora.rank, lora.alpha"),
        (["data.labels=[a"], "close the bracket"),
        (["config=nowhere"], "no configuration at nowhere: expected the config.yaml beside a run"),
        (["data="], r"data.path is needed \(folder written by"),
    ],
)
def test_what_is_wrong_is_named(words, line):
    with pytest.raises(ValueError, match=line) as error:
        resolve(FitConfig, [*FIT, *words])
    assert "\n" not in str(error.value)


def test_a_window_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="window must be a multiple of 16 and at least 32, not 50"):
        resolve(SyntheticConfig, ["out=x", "window=50"])


def test_values_of_the_issue():
    config = resolve(FitConfig, [*FIT, "lora.rank=16", "loss.sdf=0.5", "data.crop=96", "lora.rank=4"])
    assert (config.lora.rank, config.loss.sdf, config.data.crop, config.data.path) == (4, 0.5, 96, "x")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.minutes = 3


def test_words_are_understood_in_every_spelling():
    words = assignments(["--minutes", "3", "--lora.rank=4", "-o", "a b", "tune=full", "--label-maps", "m"])
    assert words == ["minutes=3", "lora.rank=4", "out=a b", "tune=full", "label_maps=m"]
    words = assignments(["r,1", "r 2", "--synthetic-only", "out=m"], positional="runs", flags=("synthetic_only",))
    config = resolve(ExportConfig, words)
    assert config.runs == ["r,1", "r 2"] and config.synthetic_only and config.out == "m"
    with pytest.raises(ValueError, match="'runs' is no setting: expected key=value"):
        assignments(["runs"])
    with pytest.raises(ValueError, match="--minutes needs a value: write minutes="):
        assignments(["--minutes"])


@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_resolved_is_saved_and_can_be_run_again(name, tmp_path):
    words = [f"{key}={another(entry, kind)[0]}" for key, entry, kind in keys_of(COMMANDS[name].config)]
    config = resolve(COMMANDS[name].config, words)
    path = save(config, tmp_path)
    assert path == tmp_path / "config.yaml"
    assert resolve(COMMANDS[name].config, [f"config={tmp_path}"]) == config
    assert resolve(COMMANDS[name].config, [f"config={path}", "out=z"]) == dataclasses.replace(config, out="z")
    assert resolve(COMMANDS[name].config, shlex.split(as_words(config, name))[2:]) == config
    assert changed_settings(config, tmp_path) == []
    assert changed_settings(dataclasses.replace(config, out="z"), tmp_path) == ["out"]
    assert changed_settings(config, tmp_path / "new") == []


def test_a_file_of_another_command_or_of_something_else_is_refused(tmp_path):
    save(resolve(EvaluateConfig, ["data=x", "out=y"]), tmp_path)
    with pytest.raises(ValueError, match="does not fit this command: .*use the file of such a run"):
        resolve(FitConfig, [f"config={tmp_path}"])
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="is no YAML file"):
        resolve(FitConfig, [f"config={tmp_path}"])


def test_sections_explain_themselves_and_have_no_key_twice():
    for command in COMMANDS.values():
        keys = [key for key, _, _ in keys_of(command.config)]
        assert len(keys) == len(set(keys))
        assert all(entry.metadata["help"] for _, entry in sections_of(command.config))


@pytest.mark.parametrize("value", ["/a b/ü", "it's", "a\\", "~/x", "null", "3", "[a]", "a=b", ""])
def test_any_path_is_taken_as_it_is(value):
    assert resolve(PrepareConfig, ["data=x", f"out={value or 'x'}"]).out == (value or "x")
    assert resolve(FitConfig, [*FIT, f"init={value}"]).init == value


def test_values_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SCRATCH", "/fast")
    assert resolve(FitConfig, [*FIT, "init=${oc.env:SCRATCH}/run"]).init == "/fast/run"
    with pytest.raises(ValueError, match="cannot be worked out: .*nothing"):
        resolve(FitConfig, [*FIT, "init=${nothing}"])
