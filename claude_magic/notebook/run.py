"""Run a notebook from top to bottom in a new kernel, by nbclient."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from . import files

if TYPE_CHECKING:
    from nbformat import NotebookNode

# ipykernel warns about each kernel that is reached by TCP: our users cannot do anything about it.
_QUIET = "--log-level=ERROR"


def load(path: Path) -> NotebookNode:
    """Read a notebook's file, in nbformat 4. Raises `UsageError` where it cannot be read, or nbclient is missing."""
    check_installed("nbclient")
    import nbformat

    with files.reading_notebook(path):
        document: NotebookNode = nbformat.read(path, as_version=4)
    return document


def run(
    notebook: NotebookNode,
    folder: Path,
    *,
    cell_seconds: int | None = None,
    kernel_arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run all cells with `folder` as the working directory; write their outputs into `notebook`.

    `cell_seconds` is the time limit of a cell; `environment` replaces this process's environment in the kernel.
    Raises `UsageError` where a cell fails, with its number and the error in one line.
    """
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    number = 0

    def begin(cell: NotebookNode, cell_index: int) -> None:
        nonlocal number
        number = cell_index + 1
        if sys.stderr.isatty():
            print(f"\rcell {number} of {len(notebook.cells)}", end="", file=sys.stderr, flush=True)

    client = NotebookClient(
        notebook,
        timeout=cell_seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=[_QUIET, *kernel_arguments],
        on_cell_start=begin,
    )
    try:
        client.execute(**({} if environment is None else {"env": dict(environment)}))
    except CellExecutionError as error:
        raise UsageError(f"cell {number}: {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise UsageError(f"cell {number}: it took longer than {cell_seconds} seconds.") from None
    except DeadKernelError:
        raise UsageError(f"cell {number}: the kernel died.") from None
    except NoSuchKernel:
        raise UsageError("There is no Python kernel: pip install ipykernel") from None
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)


def dump(notebook: NotebookNode) -> bytes:
    """The notebook as the bytes of its file."""
    import nbformat

    return f"{nbformat.writes(notebook)}\n".encode()


def check_installed(*modules: str) -> None:
    """Raise `UsageError` if one of these modules (of the `demo` extra) is not installed."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"This needs more packages ({', '.join(missing)}): pip install 'claude_magic[demo]'")
