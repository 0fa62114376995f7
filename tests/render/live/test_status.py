"""The kernel's status while a cell of ours runs, in a real kernel, as a page hears it."""

from __future__ import annotations

from queue import Empty
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.kernel

CELL = """
from claude_magic.render.live.status import stay_busy
for _ in range(2):
    stay_busy(get_ipython())
input()
"""
SECONDS = 60


@pytest.mark.parametrize("stays", [True, False])
def test_what_another_thread_answers_does_not_make_it_idle(stays: bool) -> None:
    manager, client = start_new_kernel()
    try:
        cell = client.execute(CELL if stays else CELL.replace("stay_busy(", "str("), allow_stdin=True)
        client.get_stdin_msg(timeout=SECONDS)
        client.control_channel.send(client.session.msg("kernel_info_request"))
        client.get_control_msg(timeout=SECONDS)
        states = _states(client, cell, ("idle", False))
        if stays:
            states += _states(client, cell, ("busy", True))
            assert states[-2:] == [("idle", False), ("busy", True)]
        client.input("")
        assert ("busy", True) not in _states(client, cell, ("idle", True))
        with pytest.raises(Empty):  # nothing says "busy" after it
            client.get_iopub_msg(timeout=0.5)
        again = client.execute("assert '_publish_status' not in vars(get_ipython().kernel)")
        while (reply := client.get_shell_msg(timeout=SECONDS))["parent_header"]["msg_id"] != again:
            pass  # replies to what was asked before
        assert reply["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _states(client: Any, cell: str, last: tuple[str, bool]) -> list[tuple[str, bool]]:
    """The states that the kernel says up to one of them, each with whether it is said of the cell."""
    found: list[tuple[str, bool]] = []
    while found[-1:] != [last]:
        message = client.get_iopub_msg(timeout=SECONDS)
        if message["msg_type"] == "status":
            found.append((message["content"]["execution_state"], message["parent_header"]["msg_id"] == cell))
    return found
