from __future__ import annotations

import pytest

from SAM3DSegmentLib.Page.TrainingProgress import TrainingProgress, cleaned


def shareAfter(lines: list[str], *arguments: str) -> float | None:
    progress = TrainingProgress(arguments)
    for line in lines:
        progress.read(line)
    return progress.share


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("step 3/10 loss 0.2", 0.3),
        ("Epoch: 2 of 4", 0.5),
        ("preparing  ━━━━  40% 0:01", 0.4),
        ("case 5/20 hippocampus_001", 0.25),
        ("loss 0.5 dice 0.90", None),
        ("step 900/100", None),
        ("epoch 1/0", None),
    ],
)
def test_what_training_programs_print(line, share):
    assert shareAfter([line]) == share


def test_the_lines_of_our_own_loop():
    line = "12:00:00 step 20 minutes 1.5 rate 1.0e-03 loss 0.61 norm 1.2"
    assert shareAfter([line], "synthetic", "--minutes", "6") == 0.25
    assert shareAfter([line], "synthetic", "--steps", "80") == 0.25
    assert shareAfter([line], "synthetic") is None


def test_nothing_said_is_not_zero():
    assert shareAfter(["loading"], "synthetic", "--minutes", "6") is None


def test_lines_lose_terminal_codes_and_what_was_overwritten():
    assert cleaned("\x1b[32mgreen\x1b[0m\r\n") == "green"
    assert cleaned("10%\r20%\r30%\r\n") == "30%"
    assert cleaned("done  \n") == "done"
