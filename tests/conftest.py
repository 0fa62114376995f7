"""The real parts that tests share: the recordings' server, the stand-in, kernels, JupyterLab in a browser.

`CLAUDE_MAGIC_SCREENSHOTS` names the folder that pictures go to. Where there is no Chromium the tests that want one are
skipped; where `CI` is set they fail instead.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from playwright.sync_api import Browser

from claude_magic import offline
from support.jupyterlab import CHROMIUM, KEY, LOAD, NAME, Lab, Page, SteeredServer, chromium
from support.kernel import Kernel
from support.recordings import CORPUS

CONSTRAINTS = Path(__file__).parent / "constraints.txt"


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
    threading.Thread(target=server.serve_forever, daemon=True).start()
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


def pytest_configure() -> None:
    """A shell starts what runs behind it with Interrupts ignored, in which no test of them could pass."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str | None:
    """For `make drift`: which of the installed packages are not of the versions that `make test` is held to."""
    if config.option.markexpr != "drift":
        return None
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


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests start from an environment that knows no key."""
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path / "no-profile"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A real IPython kernel, started in an empty folder."""
    running = Kernel(tmp_path_factory.mktemp("notebook"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no chromium on the PATH")
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def steered() -> Iterator[SteeredServer]:
    with SteeredServer() as running:
        yield running


@pytest.fixture
def server(steered: SteeredServer) -> Iterator[SteeredServer]:
    """The stand-in that the browser's kernels ask: each test finds it with no script, and holding nothing."""
    yield steered
    steered.release()
    steered.script = None
    steered.lies = {}


@pytest.fixture(scope="module")
def environment(steered: SteeredServer) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": steered.url, "ANTHROPIC_API_KEY": KEY}


@pytest.fixture(scope="module")
def lab(browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Lab(browser, tmp_path_factory.mktemp("lab"), "lab", environment) as running:
        yield running.open(NAME, [LOAD])


@pytest.fixture(scope="module")
def notebook(browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Lab(browser, tmp_path_factory.mktemp("notebook"), "notebook", environment) as running:
        yield running.open(NAME, [LOAD])


@pytest.fixture(params=["lab", "notebook"])
def either(request: pytest.FixtureRequest) -> Page:
    """JupyterLab's page, then Notebook's."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go."""
    return Path(os.environ.get("CLAUDE_MAGIC_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
