"""What happens between commands."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

pytest.importorskip("trame_slicer", reason="trame-slicer is not installed: it comes with the extra `viewer`")

from sam3dseg_viewer.polling import Polling  # noqa: E402


class State(SimpleNamespace):
    """The page's variables; `sent` counts how often they were sent."""

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.sent += 1


class Bench:
    def __init__(self):
        self.log, self.problem, self.callbacks = [], None, []
        self.state = State(sent=0, error="")
        self.workspace = SimpleNamespace(poll=self._poll, needs_poll=False, on_change=self.callbacks.append)
        self.views = SimpleNamespace(on_moved=None)
        page = SimpleNamespace(
            refresh=lambda: self.log.append("refresh"), show_positions=lambda names: self.log.append(tuple(names))
        )
        ahead = SimpleNamespace(poll=lambda: self.log.append("ahead"))
        self.polling = Polling(self.state, self.workspace, self.views, page, ahead)

    def _poll(self):
        if self.problem is not None:
            raise self.problem
        self.log.append("poll")


@pytest.fixture
def bench():
    return Bench()


def test_nothing_is_sent_while_nothing_changes(bench):
    bench.polling.poll()
    assert bench.log == ["poll", "ahead"] and bench.state.sent == 0


def test_what_changed_is_sent_once(bench):
    for _ in range(3):
        bench.callbacks[0]()
    bench.views.on_moved("red")
    bench.views.on_moved("green")
    bench.views.on_moved("red")
    bench.polling.poll()
    bench.polling.poll()
    assert bench.log == ["poll", "ahead", ("green", "red"), "refresh", "poll", "ahead"] and bench.state.sent == 1


def test_nothing_is_encoded_ahead_while_the_model_works(bench):
    bench.workspace.needs_poll = True
    bench.polling.poll()
    assert bench.log == ["poll"]


def test_an_answer_that_fails_is_told_and_the_next_one_is_shown(bench):
    async def served():
        bench.problem = RuntimeError("a,\n b")
        bench.polling.start()
        await asyncio.sleep(0.1)
        assert bench.state.error == "a, b"
        bench.problem = None
        bench.callbacks[0]()
        await asyncio.sleep(0.1)

    asyncio.run(served())
    assert "refresh" in bench.log
