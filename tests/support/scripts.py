"""The front end's modules, run by node: the same code as on the page, with cells in the place of the page's models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).parents[2] / "claude_magic" / "frontend" / "static"
# Cells of a notebook's file as the page's models of them.
_CELLS = """const models = cells => cells.map(cell => ({id: cell.id, sharedModel: {getSource: () => cell.source},
  outputs: cell.outputs && {length: cell.outputs.length, get: at => cell.outputs[at]}}))"""


def run_script(folder: Path, program: str, given: Any, before: str = "") -> Any:
    """The JSON value of an expression on `given`, which sees `cost`, `record`, `content` (of the outline), `models`,
    and what the statements `before` it make; run in `folder`."""
    node = shutil.which("node")
    if node is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("node is needed to run the front end's modules")
    for path in STATIC.glob("*.js"):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    (folder / "main.js").write_text(
        f"""
        import {{ readFileSync }} from "node:fs"
        import * as content from "./outline_content.js"
        import * as cost from "./cost.js"
        import * as record from "./record.js"
        {_CELLS}
        {before}
        const given = JSON.parse(readFileSync(new URL("given.json", import.meta.url), "utf8"))
        console.log(JSON.stringify({program}))
        """,
        encoding="utf-8",
    )
    ended = subprocess.run([str(node), str(folder / "main.js")], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
