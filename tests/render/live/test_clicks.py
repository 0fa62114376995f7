"""When a button says that it can be clicked: once the page has opened the subshell on which its clicks come."""

from __future__ import annotations

import types
from typing import Any

import pytest

from claude_magic.render.live import clicks
from claude_magic.render.live.clicks import PAGE_SECONDS, SETTLED_SECONDS, Clicks


class Clock:
    """A clock that only sleeping moves, and what happens at its times."""

    def __init__(self) -> None:
        self.now = 100.0
        self.then: dict[float, Any] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [at for at in self.then if at <= self.now]:
            self.then.pop(at)()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clicks, "time", made)
    return made


def shell(opened: list[str] | None) -> Any:
    """What of a shell says which subshells there are; `None` for a kernel that has none."""
    manager = None if opened is None else types.SimpleNamespace(list_subshell=lambda: list(opened))
    thread = types.SimpleNamespace(manager=manager)
    return types.SimpleNamespace(kernel=types.SimpleNamespace(shell_channel_thread=thread))


@pytest.mark.parametrize("shell", [shell(None), types.SimpleNamespace()])
def test_a_kernel_without_subshells_is_not_waited_for(shell: Any, clock: Clock) -> None:
    assert not Clicks(shell).arrive and Clicks(shell).wait(0.0) is False
    assert clock.now == 100.0


def test_a_page_that_never_answers_is_waited_for_from_the_panel_on_and_no_longer(clock: Clock) -> None:
    assert Clicks(shell([])).wait(97.0) is False
    assert clock.now == pytest.approx(97.0 + PAGE_SECONDS, abs=0.1)


@pytest.mark.parametrize("before", [[], ["of another comm"]])
def test_clicks_arrive_with_the_subshell_that_the_page_opens_for_its_widgets(before: list[str], clock: Clock) -> None:
    opened = list(before)
    made = Clicks(shell(opened))
    clock.then[100.3] = lambda: opened.append("widgets")
    assert not made.arrive
    assert made.wait(100.0) is True and clock.now == pytest.approx(100.3, abs=0.03)


def test_where_the_page_had_widgets_before_their_subshell_serves_after_a_moment(clock: Clock) -> None:
    made = Clicks(shell(["widgets"]))
    assert made.wait(100.0) is True and clock.now == pytest.approx(100.0 + SETTLED_SECONDS, abs=0.03)
