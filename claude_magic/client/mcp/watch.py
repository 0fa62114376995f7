"""Run a command, and end it and its children when the process that started this one is gone.

A script of its own, run by path: `python watch.py PID COMMAND …`, in a process group of its own. However the kernel
dies, no server outlives it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

POLL_SECONDS = 0.5
GRACE_SECONDS = 1.0  # for a server that ends by itself when its input does


def _watch(parent: int) -> None:
    """Wait until the parent is gone, then end the process group, this process included."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


def main(parent: int, command: list[str]) -> int:
    """Run the command and return its exit status; 127 if it cannot be started."""
    # A function, as an ignored signal would be ignored by the command as well. This process waits for the command.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return 127
    for inherited in (0, 1):
        os.close(inherited)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    status = main(int(sys.argv[1]), sys.argv[2:])
    os._exit(status if status >= 0 else 128 - status)
