from __future__ import annotations

import sys
import time

import pytest

from SAM3DSegmentLib.Page.TrainingHelp import TrainingHelp
from SAM3DSegmentLib.Page.TrainingProcess import TrainingProcess

PROGRAM = """
import sys
if sys.argv[1] == "broken":
    sys.exit("no module named hydra")
print("usage:", *sys.argv[1:])
"""


@pytest.fixture
def started(tmp_path):
    return []


@pytest.fixture
def asked(tmp_path, started):
    package = tmp_path / "sam3dseg_training"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(PROGRAM)

    def run(arguments):
        started.append(TrainingProcess(arguments, folders=[tmp_path], python=sys.executable))
        return started[-1]

    help_ = TrainingHelp(run)
    yield help_
    help_.close()


def answered(help_: TrainingHelp) -> None:
    end = time.monotonic() + 30
    while help_.isAsking:
        assert time.monotonic() < end, "no answer"
        help_.poll()
        time.sleep(0.01)


def test_every_question_is_asked_once(asked, started):
    for _ in range(2):
        asked.ask()
        asked.ask("fit")
    assert asked.textOf() is None
    answered(asked)
    assert (asked.textOf(), asked.textOf("fit")) == ("usage: --help", "usage: fit --help")
    asked.ask("fit")
    assert len(started) == 2
    assert not asked.poll()


def test_no_log_is_left(asked, started):
    asked.ask()
    answered(asked)
    assert not started[0].logPath.exists()


def test_why_there_is_no_answer(asked):
    asked.ask("broken")
    answered(asked)
    assert asked.textOf("broken") == ""
    assert asked.problem == "no module named hydra"


def test_a_program_that_cannot_be_started():
    def run(arguments):
        raise OSError("no Python found")

    help_ = TrainingHelp(run)
    help_.ask("fit")
    assert not help_.isAsking
    assert (help_.textOf("fit"), help_.problem) == ("", "no Python found")


def test_closing_ends_the_question(asked, started):
    asked.ask()
    asked.close()
    assert not asked.isAsking
    assert started[0].wait(20)
    assert not started[0].logPath.exists()
