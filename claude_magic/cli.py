"""The shell command `claude-magic`: demo, cost, export, replay and strip of notebook files."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .content.text import plural
from .conversation.turns import Conversation
from .errors import ClaudeError, UsageError
from .notebook import files, reader, run
from .notebook.strip import stripped
from .render import cost_report, export
from .render.text import printable_line

DEMO_CELL_SECONDS = 120
INTERRUPTED = 130  # the exit code of a process that SIGINT ended, as shells report it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 1 for a failure, which is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")  # for a terminal whose encoding lacks ≥
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except ClaudeError as error:
        _print_error(str(error))
    except BrokenPipeError:  # a reader such as `head` has ended; avoid a second error when the interpreter flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction["_Parser"]  # what `add_subparsers` returns has no public name


class _Parser(argparse.ArgumentParser):
    """An argument parser with printable errors: they repeat the arguments, which may be untrusted file names."""

    def error(self, message: str) -> NoReturn:
        super().error(printable_line(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="claude-magic", description="Claude in notebooks, from the shell.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_demo, _add_cost, _add_export, _add_replay, _add_strip):
        add(commands)
    return parser


def _add_demo(commands: _Commands) -> None:
    summary = "run the tour on the offline stand-in, then open it in JupyterLab"
    more = "It needs no key and no network. With ANTHROPIC_API_KEY set, what you run in JupyterLab then asks Claude."
    demo = commands.add_parser("demo", help=summary, description=f"{_sentence(summary)} {more}")
    demo.add_argument("--to", type=Path, metavar="FOLDER", help="where the result goes (default: a temporary folder)")
    demo.add_argument("--no-open", action="store_true", help="only run it")
    demo.set_defaults(run=_demo)


def _add_cost(commands: _Commands) -> None:
    summary = "say what notebooks cost, without running them"
    more = "Per notebook, model and in total; of one notebook, per cell. A folder stands for all notebooks in it."
    cost = commands.add_parser("cost", help=summary, description=f"{_sentence(summary)} {more}")
    cost.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="a notebook, or a folder of them")
    cost.add_argument("--cells", action="store_true", help="a line a cell, of several notebooks too")
    form = cost.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="a line a cell as CSV, dollars with all their digits")
    form.add_argument("--json", action="store_true", help="notebooks, cells, models and total as JSON")
    cost.set_defaults(run=_cost)


def _add_export(commands: _Commands) -> None:
    summary = "write a notebook's conversations as Markdown, JSON, HTML or Python"
    more = "The JSON loses nothing; the Python makes the same calls with the official SDK."
    command = commands.add_parser("export", help=summary, description=f"{_sentence(summary)} {more}")
    command.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="where the conversations are")
    command.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: NAME.md beside the notebook")
    command.add_argument("--form", choices=export.FORMS, help="default: what FILE's name ends in")
    command.set_defaults(run=_export)


def _add_replay(commands: _Commands) -> None:
    summary = "run a notebook, each reply taken from its own record"
    more = "It needs no key and no network, and costs nothing. The notebook's other code does run: know its author."
    replay = commands.add_parser("replay", help=summary, description=f"{_sentence(summary)} {more}")
    replay.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="where the records are")
    replay.add_argument("--to", type=Path, metavar="FILE", help="the result (default: NAME-replayed.ipynb beside it)")
    replay.set_defaults(run=_replay)


def _add_strip(commands: _Commands) -> None:
    summary = "take the records of turns out of notebooks"
    more = "In place, and only those: what the cells show stays. Such a notebook cannot be resumed or replayed."
    strip = commands.add_parser("strip", help=summary, description=f"{_sentence(summary)} {more}")
    strip.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="the file to change")
    strip.set_defaults(run=_strip)


def _demo(options: argparse.Namespace) -> int:
    """Run the tour from top to bottom in a kernel of its own, print its cost, and open it in JupyterLab.

    Notebooks that are already in the folder are not changed.
    """
    run.check_installed("nbclient", "matplotlib", "pandas", *([] if options.no_open else ["jupyterlab"]))
    source = _tour_source()
    tour = run.load(source)
    folder = options.to or Path(tempfile.mkdtemp(prefix="claude_magic-"))
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / source.name
    if result.exists():
        print(printable_line("The tour is there, as you left it. To have it made anew, delete its file."))
    else:
        print(printable_line("Running the tour on the offline stand-in …"), flush=True)
        run.run(tour, folder, cell_seconds=DEMO_CELL_SECONDS, environment=_without_keys())
        files.write_atomically(result, run.dump(tour))
    for other in source.parent.glob("*.ipynb"):
        if not (folder / other.name).exists():
            files.write_atomically(folder / other.name, other.read_bytes())
    _print_result(result)
    # In a container the user is root, which JupyterLab must be told to allow.
    as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: None)() == 0 else []
    opening = [sys.executable, "-m", "jupyterlab", *as_root, str(result)]
    if options.no_open:
        print(printable_line(f"To open it: {shlex.join(opening)}"))
        return 0
    return subprocess.call(opening)


def _tour_source() -> Path:
    """The path of the tour, beside the other notebooks: next to the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    places = (folder / "notebooks" / "tour.ipynb" for folder in (package, package.parent))
    return next(path for path in places if path.exists())


def _without_keys() -> dict[str, str]:
    """The environment without the API's variables, for a kernel that must not send paid requests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}


def _replay(options: argparse.Namespace) -> int:
    """Run a notebook in a kernel without a key, which answers only from the notebook's own records."""
    path = options.notebook
    arguments = {"replay": "only", "replay_speed": 0, "notebook_path": path.resolve()}
    document = run.load(path)
    run.run(
        document,
        path.resolve().parent,
        kernel_arguments=[f"--ClaudeMagic.{name}={value}" for name, value in arguments.items()],
        environment=_without_keys(),
    )
    result = options.to or path.with_name(f"{path.stem}-replayed.ipynb")
    files.write_atomically(result, run.dump(document))
    _print_result(result)
    return 0


def _print_result(path: Path) -> None:
    saved = reader.read(path)
    _print_skipped(path, saved.skipped)
    print(printable_line(str(path.resolve())))
    print(printable_line(cost_report.line(saved.paid)))


def _cost(options: argparse.Namespace) -> int:
    """Print the cost of notebooks, as the sum of the figures in their cells' headers."""
    found: list[cost_report.NotebookSpending] = []

    def add(path: Path) -> None:
        saved = reader.read(path)
        _print_skipped(path, saved.skipped)
        found.append(cost_report.of(str(path), saved.paid, saved.mapped))

    code = _each(files.notebooks(options.notebooks), add)
    if options.json:
        print(cost_report.as_json(found))
    elif options.csv:
        print(cost_report.as_csv(found), end="")
    elif found:
        print(cost_report.table(found, cells=options.cells or len(found) == 1))
    return code


def _strip(options: argparse.Namespace) -> int:
    """Remove the records from notebook files; a file without records is not written."""
    return _each(options.notebooks, _strip_file)


def _strip_file(path: Path) -> None:
    try:
        content, count = stripped(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except UsageError as error:
        raise UsageError(f"{path} cannot be read as a notebook: {error}.") from None
    if count:
        files.write_atomically(path, content)
    print(printable_line(f"{path}: {plural(count, 'record')} removed" if count else f"{path}: no records, not touched"))


def _export(options: argparse.Namespace) -> int:
    """Write the conversations of a notebook to a file, and their images beside it."""
    source = options.notebook
    form = options.form or (export.form_of(options.file) if options.file else "md")
    target = options.file or source.with_name(f"{source.stem}.{form}")
    if target.resolve() == source.resolve():
        raise UsageError(f"{target} is the notebook itself: name another file.")
    saved = reader.read(source)
    _print_skipped(source, saved.skipped)
    chats: dict[str, Conversation] = {}
    for turn in saved.turns:
        chats[turn.chat] = Conversation((*chats.get(turn.chat, Conversation()), turn))
    exported = export.export(chats, form, title=source.stem, stem=target.stem)
    files.write_atomically(target, exported.text.encode(), exported.files)
    print(printable_line(str(target.resolve())))
    return 0


def _each(paths: Iterable[Path], act: Callable[[Path], None]) -> int:
    """Call `act` for each path; print a failure and go on. Returns the exit code."""
    code = 0
    for path in paths:
        try:
            act(path)
        except UsageError as error:
            _print_error(str(error))
            code = 1
    return code


def _print_skipped(path: Path, skipped: Iterable[str]) -> None:
    for why in skipped:
        _print_error(f"{path}: {why}")


def _print_error(text: str) -> None:
    print(printable_line(text), file=sys.stderr)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    sys.exit(main())
