"""What any test may ask for, and of which kind each test is.

Each start of pytest imports this, so it is light: a kernel is imported by who asks for one, and what drives a browser
is in `browser/conftest.py`.
"""

from __future__ import annotations

import atexit
import gc
import importlib.metadata
import importlib.util
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from claude_magic import offline
from support.recordings import CORPUS

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

    from support.kernel import Kernel, Page

CONSTRAINTS = Path(__file__).parent / "constraints.txt"
# The marker of a test that asks for a fixture; other tests carry theirs by hand.
MARKERS = {
    "browser": "browser",
    **dict.fromkeys(("kernel", "page", "cold", "demo", "replayed"), "kernel"),
    "corpus": "corpus",
}
_COUNT = itertools.count()
# In this order: what takes long begins first, so that no process waits for others at the end.
KINDS = ("browser", "slow", "kernel")


def pytest_configure(config: pytest.Config) -> None:
    """Set up the process: what it does with garbage, at its end, and with Interrupts."""
    gc.disable()  # While tests are collected, hundreds of modules are imported, of which nothing is garbage.
    if hasattr(config, "workerinput"):
        atexit.register(os._exit, 0)  # To free what was imported, object by object, takes a process seconds.
    # A shell starts what runs behind it with Interrupts ignored, in which no test of them could pass.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by what they ask for. Where several processes run them, files that take long come first."""
    for item in items:
        for name in MARKERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKERS[name])
    if hasattr(config, "workerinput"):
        longest: dict[Path, int] = {}
        for item in items:
            longest[item.path] = min(longest.get(item.path, len(KINDS)), _kind(item))
        items.sort(key=lambda item: longest[item.path])


def pytest_collection_finish() -> None:
    """Objects are collected as usual from here on, but for those of the imported modules."""
    gc.freeze()
    gc.enable()


def _kind(item: pytest.Item) -> int:
    """Where the kind of a test is in `KINDS`; past the end if it is of none."""
    return next((place for place, kind in enumerate(KINDS) if item.get_closest_marker(kind)), len(KINDS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are processors: those of the browser's tests wait for a page half of the time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """A file's tests run in one process, where they share a kernel and servers. The browser's run in two: those of the
    page's side share a browser and its applications, and all others do."""
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = Path(nodeid.partition("::")[0])
            if path.parent.name != "browser":
                return str(path)
            return "the page's side" if path.stem.startswith("test_frontend") else "answers"

    config.option.loadscopereorder = False  # of their order, see above
    return Files(config, log)


def pytest_report_header(config: pytest.Config) -> str | None:
    """For `make drift`: which of the installed packages are not of the versions that `make test` is held to."""
    if config.option.markexpr != "drift":
        return None
    from packaging.requirements import Requirement

    named = [Requirement(line) for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    held = {each.name: str(each.specifier)[2:] for each in named if not each.marker or each.marker.evaluate()}
    found = {name: importlib.metadata.version(name) for name in held}
    moved = [f"{name} {found[name]} (was {held[name]})" for name in held if found[name] != held[name]]
    return f"not as in tests/constraints.txt: {', '.join(moved) or 'none'}"


@pytest.fixture(autouse=True, scope="session")
def no_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels keep what they keep in a folder of this run, and not in the reader's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The loopback servers speak no TLS, and each client of the SDK would read the system's certificates: 30 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("no-certificates")))
        yield


@pytest.fixture(autouse=True)
def nothing_before(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests start from an environment that knows no key, and from what no other test kept: their servers may have the
    same address."""
    data = tmp_path_factory.getbasetemp() / "data"
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(data / str(next(_COUNT))))
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path_factory.getbasetemp() / "no-profile"))


@pytest.fixture(scope="session")
def corpus() -> Iterator[str]:
    """The address of the recordings' own server."""
    if not CORPUS.is_dir():
        pytest.skip(f"the recordings are not at {CORPUS}")
    spec = importlib.util.spec_from_file_location("replay", CORPUS / "replay.py")
    assert spec and spec.loader
    replay = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(replay)
    server = replay.serve(str(CORPUS / "corpus.jsonl"))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def standin() -> Iterator[offline.Server]:
    """A stand-in of its own."""
    server = offline.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared() -> Iterator[offline.Server]:
    """A stand-in that the tests of a module share."""
    with offline.start() as running:
        yield running


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A real IPython kernel, started in an empty folder."""
    from support.kernel import Kernel

    running = Kernel(tmp_path_factory.mktemp("notebook"))
    yield running
    running.stop()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A notebook's page with a kernel of its own."""
    from support.kernel import Page

    running = Page(tmp_path / "lesson one.ipynb")
    yield running
    running.kernel.stop()


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[Page]:
    """The same, with a kernel that has imported nothing yet."""
    from support.kernel import Page

    running = Page(tmp_path / "lesson one.ipynb", cold=True)
    yield running
    running.kernel.stop()
