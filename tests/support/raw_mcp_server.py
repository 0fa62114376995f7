"""An MCP server of a few lines: it lists what a JSON file has under `pages`, and says what is under `results`.

`end` in place of a result ends it, `nothing` leaves the call unanswered, `stubborn` has it ignore its end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def answer(request: dict[str, Any], script: dict[str, Any]) -> dict[str, Any] | None:
    params = request.get("params") or {}
    match request["method"]:
        case "initialize":
            about = {"name": "raw", "version": "1"}
            capabilities = {"tools": {}}
            return {
                "result": {
                    "protocolVersion": params["protocolVersion"],
                    "capabilities": capabilities,
                    "serverInfo": about,
                }
            }
        case "tools/list":
            page = int(params.get("cursor") or 0)
            more = {"nextCursor": str((page + 1) % len(script["pages"]))} if len(script["pages"]) > 1 else {}
            return {"result": {"tools": script["pages"][page], **more}}
        case "tools/call":
            Path(script["called_file"]).touch()
            return call(script.get("results", {}).get(params["name"], {"content": []}), params)
        case _:
            return {"error": {"code": -32601, "message": "Method not found"}}


def call(result: Any, params: dict[str, Any]) -> dict[str, Any] | None:
    if result == "end":
        print("password=hunter22hunter22", file=sys.stderr, flush=True)
        os._exit(1)
    if result == "nothing":
        return None
    if result == "echo":
        return {"result": {"content": [{"type": "text", "text": json.dumps(params)}]}}
    return result if "error" in result else {"result": result}


def main(path: Path) -> None:
    script = json.loads(path.read_text(encoding="utf-8"))
    if note := script.get("pid_file"):
        Path(note).write_text(str(os.getpid()), encoding="utf-8")
    if script.get("stubborn"):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin:
        if script.get("noise"):
            print(script["noise"], flush=True)
        request = json.loads(line)
        if "id" in request and (answered := answer(request, script)) is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answered}), flush=True)
    while script.get("stubborn"):
        time.sleep(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
