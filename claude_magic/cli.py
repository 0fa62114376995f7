"""`claude-magic`: the shell's side."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .conversation import Call

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELL_SECONDS = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="claude-magic", description="Claude in notebooks, from the shell.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="run the tour on the offline stand-in, then open it in JupyterLab")
    demo.add_argument("--to", type=Path, metavar="FOLDER", help="where the result goes (default: a temporary folder)")
    demo.add_argument("--no-open", action="store_true", help="only run it")
    demo.set_defaults(run=_demo)
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


def _demo(options: argparse.Namespace) -> int:
    """Run the tour from top to bottom in a kernel of its own; say what came of it; open it."""
    try:
        import nbclient  # noqa: F401
        import nbformat
    except ImportError:
        print("The demo needs more packages: pip install 'claude_magic[demo]'", file=sys.stderr)
        return 1
    folder = options.to or Path(tempfile.mkdtemp(prefix="claude_magic-"))
    folder.mkdir(parents=True, exist_ok=True)
    tour = nbformat.read(_tour_source(), as_version=4)
    _execute(tour, folder)
    result = folder / "tour.ipynb"
    nbformat.write(tour, result)
    print(f"{result.resolve()}\n{_spent(tour)}")
    if options.no_open:
        return 0
    # In a container one is root, and JupyterLab wants to be told that this is meant.
    as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: None)() == 0 else []
    return subprocess.call([sys.executable, "-m", "jupyterlab", *as_root, str(result)])


def _tour_source() -> Path:
    """The tour: in a checkout beside the package, in a wheel inside it."""
    package = Path(__file__).parent
    return next(path for path in (package / "tour.ipynb", package.parent / "notebooks" / "tour.ipynb") if path.exists())


def _execute(tour: NotebookNode, folder: Path) -> None:
    from nbclient import NotebookClient

    def done(cell: NotebookNode, cell_index: int) -> None:
        print(f"\rcell {cell_index + 1} of {len(tour.cells)}", end="", flush=True)

    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        tour, timeout=CELL_SECONDS, kernel_name="python3", resources=resources, on_cell_complete=done
    )
    client.execute()
    print()


def _spent(notebook: NotebookNode) -> str:
    """Tokens and dollars of all replies in a notebook, as one line."""
    from . import pricing, record

    calls = [Call(**call) for turn in _turns(notebook) for call in turn["calls"]]
    tokens = pricing.tokens(calls)
    cost = pricing.total(pricing.call_cost(call) for call in calls)
    offline = f" ({record.OFFLINE}: what Claude would have cost)" if any(c.provider == "offline" for c in calls) else ""
    return f"{len(calls)} replies, {tokens.all_input:,} tokens in, {tokens.output:,} out, {cost}{offline}"


def _turns(notebook: NotebookNode) -> Iterator[dict[str, Any]]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if found := output.get("metadata", {}).get("claude_magic"):
                yield found["turn"]


if __name__ == "__main__":
    sys.exit(main())
