from __future__ import annotations

import io
import sys

from sam3dseg import console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_when_nobody_watches(capsys):
    with console.steps(2) as begin, console.transfer("x") as moved:
        begin("one")
        begin.detail("more")
        moved(1, None)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_the_steps_and_the_transfer(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with console.steps(2) as begin:
        begin("reading the image")
        begin.detail("slice 7")
    with console.transfer("toy") as moved:
        moved(500_000, 1_000_000)
    assert "reading the image: slice 7" in terminal.getvalue() and "0.5/1.0 MB" in terminal.getvalue()
