"""One Chromium, one JupyterLab and one Notebook for all tests of this folder in a process, and the stand-in that
their kernels ask.

`CLAUDE_MAGIC_SCREENSHOTS` names the folder that pictures go to. Where there is no Chromium the tests are skipped; where
`CI` is set they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from support.jupyterlab import CHROMIUM, LOAD, NAME, Lab, Page, chromium
from support.steered_server import KEY, SteeredServer


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no chromium on the PATH")
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def steered() -> Iterator[SteeredServer]:
    with SteeredServer() as running:
        yield running


@pytest.fixture
def server(steered: SteeredServer) -> Iterator[SteeredServer]:
    """The stand-in that the browser's kernels ask: each test finds it unasked, with no script, and holding nothing."""
    steered.requests.clear()
    yield steered
    steered.release()
    steered.script = None
    steered.lies = {}


@pytest.fixture(scope="package")
def environment(steered: SteeredServer) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": steered.url, "ANTHROPIC_API_KEY": KEY}


@pytest.fixture(scope="package")
def lab(browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Lab(browser, tmp_path_factory.mktemp("lab"), "lab", environment, cold=False) as running:
        yield running.open(NAME, [LOAD])


@pytest.fixture(scope="package")
def notebook(browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Lab(browser, tmp_path_factory.mktemp("notebook"), "notebook", environment, cold=False) as running:
        yield running.open(NAME, [LOAD])


@pytest.fixture(params=["lab", "notebook"])
def either(request: pytest.FixtureRequest) -> Page:
    """JupyterLab's page, then Notebook's."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="package")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go."""
    return Path(os.environ.get("CLAUDE_MAGIC_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
