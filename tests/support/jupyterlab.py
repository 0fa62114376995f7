"""A real JupyterLab or Notebook in a real Chromium, driven as a person drives it.

Nothing of the user's goes in: settings, data, runtime files and the working folder are a test's own.
Nothing goes out: the browser resolves no name, and what a page asks for outside its origin is noted.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import urlopen

import nbformat
import psutil
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Locator, Request, TimeoutError, sync_playwright
from playwright.sync_api import Page as Tab

from support import forked_kernels

Application = Literal["lab", "notebook"]

_MODULES: Mapping[Application, str] = {"lab": "jupyterlab", "notebook": "notebook"}
_FOLDERS: Mapping[Application, str] = {"lab": "doc/tree", "notebook": "notebooks"}

ROOT = Path(__file__).parents[2]
NAME = "test.ipynb"
LOAD = "%load_ext claude_magic"
AS_NEW = f"""{LOAD}
%claude_reset
%config ClaudeMagic.provider = "anthropic"
%config ClaudeMagic.panel = True"""
START_SECONDS = 60
_STARTS = 3
WAIT_SECONDS = 60
_POLL_MS = 20  # Playwright asks at each frame of its own accord, and has the page draw them all.
PALETTE_SECONDS = 3
CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# Settings of JupyterLab and Notebook alike: no questions, no look outside, no saving but by `save`, time to complete.
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "completer-extension/manager": {"providerTimeout": WAIT_SECONDS * 1000},
}
# Nobody asks whether JupyterLab should be built anew, for which its server starts Node for each page.
_PAGE_CONFIG: Mapping[str, Any] = {"buildAvailable": False, "buildCheck": False}
# What Notebook 7.6 says on every page of its own accord, with a settings plugin that has no schema.
_NOTEBOOKS_OWN_ERROR = "Cannot read properties of undefined (reading 'schema')"
# What ipywidgets says where a box is taken away in the very frame in which it changed: it asks a view that is gone.
_WIDGETS_OWN_ERROR = "Cannot read properties of null (reading 'processLuminoMessage')"
# What JupyterLab says where a kernel goes away while it is asked whether it debugs, or for a comm's subshell.
_DEBUGGERS_OWN_ERROR = "Could not restore the debugger state"
_LABS_OWN_REJECTIONS = tuple(
    f"Canceled future for {kind}_request message before replies were done" for kind in ("debug", "create_subshell")
)
# How JupyterLab asks on each page for the notebooks that were open lately: one of them may have another name by now.
_RECENT = "?content=0&hash=0"
# An address that no server knows: asked for to see that everything before it has come to its end.
_PROBE = "/has-it-settled?"
# What the tests ask of the application. `jupyterapp` is there for `--expose-app-in-browser`.
_BRIDGE = """
// From the page's first moment on: what is shown for a moment counts, too.
new MutationObserver(changes => {
  const shown = changes.flatMap(change => change.type === 'characterData' ? change.target : [...change.addedNodes])
  if (shown.some(node => /Error displaying widget|model not found/.test(node.textContent))) {
    console.error('the page showed a widget error')
  }
}).observe(document, {childList: true, characterData: true, subtree: true})
window.bed = {
  runs: {},
  worst: 0,
  watching: false,
  widgets: 0,
  get panel() { return window.jupyterapp?.shell?.currentWidget },
  get notebook() { return this.panel.content },
  get cells() { return this.notebook.widgets },
  get ready() {
    const session = this.panel?.sessionContext?.session
    return Boolean(this.panel.context.isReady && session?.kernel?.connectionStatus === 'connected' && this.drawn)
  },
  // Jupyter adds cells to the page one after another, while it is idle.
  get drawn() { return this.cells.length > 0 && this.cells.every(cell => !cell.isPlaceholder()) },
  command(name, args) { return window.jupyterapp.commands.execute(name, args) },
  execute(code) { return this.panel.sessionContext.session.kernel.requestExecute({code, store_history: false}) },
  async open(path) {
    await window.jupyterapp.restored
    this.closeAll()  // what a reload has brought back meanwhile
    await window.jupyterapp.serviceManager.kernelspecs.refreshSpecs()  // a test may have brought one
    return this.command('docmanager:open', {path})
  },
  closeAll() {
    for (const each of [...window.jupyterapp.shell.widgets('main')]) { each.context?.dispose(); each.dispose() }
    window.jupyterapp.shell.mode = 'single-document'
    window.jupyterapp.shell.collapseRight()
  },
  async listNothing() {
    // A listing of JupyterLab's folder that meets a rename fails, and a dialog about it covers the page. It lists its
    // folder every ten seconds and after each save: here it stops, and what has begun comes to its end.
    for (const each of window.jupyterapp.shell.widgets('left')) {
      if (each.model?._poll) { each.model.cd = async () => {}; await each.model._pending }
    }
  },
  choose(n) { this.notebook.deselectAll(); this.notebook.activeCellIndex = n },
  run(n) {
    this.choose(n)
    const id = this.cells[n].model.id
    this.runs[id] = true
    this.command('notebook:run-cell').finally(() => { delete this.runs[id] })
  },
  runAll() {
    const ids = this.cells.map(cell => cell.model.id)
    ids.forEach(id => { this.runs[id] = true })
    this.command('notebook:run-all-cells').finally(() => ids.forEach(id => { delete this.runs[id] }))
  },
  prompt(n) { return this.cells[n].node.querySelector('.jp-InputArea-prompt').textContent },
  done(n) { return !this.runs[this.cells[n].model.id] && /\\d/.test(this.prompt(n)) },
  area(n) { return this.cells[n].node.querySelector('.jp-Cell-outputArea') },
  text(n) { return this.area(n).innerText },
  rendered(n) { return this.area(n).querySelectorAll('.jp-OutputArea-output').length },
  async settle() {
    // What the page started before this request has come to its end, and its events have run.
    await new Promise(over => { const probe = new Image(); probe.onerror = over; probe.src = PROBE + Math.random() })
    await new Promise(over => requestAnimationFrame(() => requestAnimationFrame(over)))
    await new Promise(over => requestIdleCallback(over, {timeout: 1000}))
  },
  watchWidgets() {
    this.widgets = 0
    const count = () => { this.widgets = Math.max(this.widgets, document.querySelectorAll('.jupyter-widgets').length) }
    this.observer?.disconnect()
    this.observer = new MutationObserver(count)
    this.observer.observe(document.body, {childList: true, subtree: true})
  },
  watchFrames() {
    this.worst = 0
    this.watching = true
    let last = performance.now()
    const tick = now => {
      this.worst = Math.max(this.worst, now - last)
      last = now
      if (this.watching) requestAnimationFrame(tick)
    }
    requestAnimationFrame(tick)
  },
}
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Lab:
    """A Jupyter server with settings and files of its own, and a browser's pages on it. Its kernels start `cold`, as
    the reader's do, or are forks."""

    def __init__(
        self,
        browser: Browser,
        folder: Path,
        application: Application = "lab",
        environment: Mapping[str, str] = MappingProxyType({}),
        *,
        cold: bool = True,
    ) -> None:
        self.application = application
        self.folder = folder / "notebooks"
        self.folder.mkdir(parents=True)
        self._browser = browser
        self._environment = {**_isolated(folder), **environment}
        self._runtime = folder / "runtime"
        if not cold:
            (folder / "config" / "jupyter_server_config.py").write_text(forked_kernels.configuration())
        _write_settings(folder / "settings")
        _write(folder / "config" / "labconfig" / "page_config.json", _PAGE_CONFIG)
        self._log: list[str] = []
        self._closed: list[Page] = []  # whose tabs show the next notebooks
        self._token = secrets.token_hex()
        self._extensions = lay_out_frontend(folder / "frontend")

    def __enter__(self) -> Lab:
        # Jupyter finds a port, lets go of it, and takes it a moment later: another process may be quicker.
        if not any(self._start() for _ in range(_STARTS)):
            raise RuntimeError(f"Jupyter did not start:\n{self.log}")
        self.context = self._browser.new_context(viewport={"width": 1280, "height": 900})
        self.context.add_init_script(_BRIDGE.replace("PROBE", repr(_PROBE)))
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()
        self._end()

    def _start(self) -> bool:
        """Start the server, and wait until it answers; `False` if it does not."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULES[self.application], *self._arguments()],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started = threading.Event()
        self.origin = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if self._started.wait(START_SECONDS) and self.origin and self._answers():
            return True
        self._end()
        return False

    def _answers(self) -> bool:
        """Whether this server, and no other that took its port, answers within `START_SECONDS`."""
        status = f"{self.origin}/api/status?token={self._token}"
        over = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < over:
            with (
                suppress(OSError, HTTPException),
                urlopen(status, timeout=START_SECONDS),
            ):
                return True
            time.sleep(0.05)
        return False

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    @property
    def log(self) -> str:
        """What the server has said."""
        return "".join(self._log)

    def write(self, name: str, cells: Sequence[str]) -> Path:
        """A notebook file of code cells."""
        path = self.folder / name
        nbformat.write(_notebook(cells), path)
        return path

    def read(self, name: str) -> nbformat.NotebookNode:
        """A notebook as it stands in its file. Raises `nbformat.ValidationError`."""
        notebook = nbformat.read(self.folder / name, as_version=4)
        nbformat.validate(notebook)
        return notebook

    def copy_untrusted(self, name: str, copy: str) -> None:
        """Write a copy that this server has never signed: trust goes by content, so that differs."""
        notebook = self.read(name)
        notebook.metadata["came_from"] = "elsewhere"
        nbformat.write(notebook, self.folder / copy)

    def open(self, name: str, cells: Sequence[str] | None = None) -> Page:
        """Open a notebook in a tab of its own, with its kernel ready; `cells` are written to its file first.

        It is the tab of a page that was closed, if there is one: JupyterLab opens it there beside the file browser, and
        needs not load its own page anew.
        """
        if cells is not None:
            self.write(name, cells)
        if not self._closed:
            return Page(self, name)
        page = self._closed.pop()
        page.show(name)
        return page

    def give_back(self, page: Page) -> None:
        """Have the next notebook open in the tab of a page that shows none any more."""
        self._closed.append(page)

    def address(self, name: str) -> str:
        """Where a notebook opens."""
        return f"{self.origin}/{_FOLDERS[self.application]}/{name}?token={self._token}"

    def kernel_process(self, kernel_id: str) -> int:
        """The process of one of this server's kernels, by the connection file on its command line."""
        if (file := forked_kernels.process_file(str(self._runtime / f"kernel-{kernel_id}.json"))).exists():
            return int(file.read_text())
        children = psutil.Process(self._process.pid).children(recursive=True)
        (found,) = [each.pid for each in children if any(kernel_id in word for word in each.cmdline())]
        return found

    def _arguments(self) -> list[str]:
        return [
            "--no-browser",
            "--expose-app-in-browser",
            "--ip=127.0.0.1",
            "--ServerApp.port=0",
            f"--IdentityProvider.token={self._token}",
            f"--ServerApp.root_dir={self.folder}",
            f"--LabServerApp.extra_labextensions_path={self._extensions}",
            *(["--allow-root"] if os.getuid() == 0 else []),
        ]

    def _read(self) -> None:
        """Keep the log, and note the address when the server says it."""
        assert self._process.stderr
        for line in self._process.stderr:
            self._log.append(line)
            if not self.origin and (found := re.search(r"(http://127\.0\.0\.1:\d+)/", line)):
                self.origin = found[1]
                self._started.set()
        self._started.set()


def _notebook(cells: Sequence[str]) -> nbformat.NotebookNode:
    """A notebook of code cells that have not run."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    mode = {"name": "ipython", "version": 3}
    notebook.metadata["language_info"] = {"name": "python", "mimetype": "text/x-python", "codemirror_mode": mode}
    return notebook


def lay_out_frontend(folder: Path) -> Path:
    """The front end of this tree as the wheel lays it out, by links: an installed copy may be an older one.

    Returns the folder that JupyterLab looks for extensions in.
    """
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    for source, target in build["targets"]["wheel"]["shared-data"].items():
        link = folder / target
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(ROOT / source)
    return folder / "share" / "jupyter" / "labextensions"


def _isolated(folder: Path) -> dict[str, str]:
    """An environment that knows nothing of the user's own Jupyter, IPython or keys."""
    mine = {
        name: str(folder / where)
        for name, where in {
            "HOME": "home",
            "IPYTHONDIR": "ipython",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "MPLCONFIGDIR": "matplotlib",
        }.items()
    }
    for path in mine.values():
        Path(path).mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "JUPYTER"))}
    return {**kept, **mine}


def _write_settings(folder: Path) -> None:
    for plugin, settings in _SETTINGS.items():
        _write(folder / "@jupyterlab" / f"{plugin}.jupyterlab-settings", settings)


def _write(path: Path, settings: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))


class Page:
    """One notebook in one tab. Cells go by their number from the top, the first is 0.

    `errors` are page errors and console errors; `strays` what it asked for outside its origin, or of the
    server's files; `intrusions` dialogs and windows that a page opened.

    A page comes to the front where it is used, as under a reader's eyes: Chromium draws others once a second.
    """

    _front: Page | None = None

    def __init__(self, lab: Lab, name: str) -> None:
        Page._front = self
        self.lab = lab
        self.name = name
        self.errors: list[str] = []
        self.strays: list[str] = []
        self.intrusions: list[str] = []
        self.tab: Tab = lab.context.new_page()
        self.tab.set_default_timeout(WAIT_SECONDS * 1000)
        self.tab.on("pageerror", self._note_error)
        self.tab.on("console", self._note_console)
        self.tab.on("request", self._note_request)
        self.tab.on("dialog", self._note_dialog)
        self.tab.on("popup", lambda popup: self.intrusions.append(f"window {popup.url}"))
        self._go()
        self._wait_ready()

    def start_over(self, cells: Sequence[str]) -> None:
        """Put other cells in the place of all cells. The kernel goes on as it is."""
        self.resize(1280)
        self._do("delete window.PWN; bed.panel.context.model.fromJSON(given)", _notebook(cells))
        self.wait_until("bed.drawn")
        self.settle()
        self.forget()

    def forget(self) -> None:
        """Forget the errors, strays and intrusions so far."""
        for noted in (self.errors, self.strays, self.intrusions):
            noted.clear()

    def reload(self) -> None:
        """Load the page anew, as it stands in the file."""
        self.tab.reload()
        self._wait_ready()

    def show(self, name: str) -> None:
        """Open a notebook in this tab, whose last one was closed."""
        self.name = name
        self.resize(1280)
        self.forget()
        if self.lab.application == "lab":
            self.value("bed.open(given).then(() => null)", name)
        else:
            self._go()
        self._wait_ready()

    def close(self) -> None:
        """Shut the kernel down and close the notebook. The tab shows the next one."""
        self.shut_down()
        if self.lab.application == "lab":
            self._do("bed.closeAll()")
        self.settle()
        self.lab.give_back(self)

    def leave(self) -> None:
        """Close the tab. The kernel goes on."""
        self.tab.close()
        Page._front = None

    def run(self, cell: int) -> None:
        """Start a cell, and do not wait."""
        self._do("bed.run(given)", cell)

    def run_all(self) -> None:
        """Run → Run All Cells, and do not wait."""
        self._do("bed.runAll()")

    def wait_done(self, cell: int) -> None:
        """Wait until a cell that was started has its number."""
        self.wait_until("bed.done(given)", cell)

    def finish(self, cell: int) -> None:
        """Run a cell to its end."""
        self.run(cell)
        self.wait_done(cell)

    def wait_text(self, cell: int, text: str) -> None:
        """Wait until a cell's outputs show a text."""
        self.wait_until("bed.text(given[0]).includes(given[1])", [cell, text])

    def wait_until(self, condition: str, given: Any = None) -> None:
        """Wait for a JavaScript condition on `bed` and `given`."""
        self._come_to_front()
        self.tab.wait_for_function(f"given => Boolean({condition})", arg=given, polling=_POLL_MS)

    def source(self, cell: int) -> str:
        """What stands in a cell."""
        return str(self.value("bed.cells[given].model.sharedModel.getSource()", cell))

    def text(self, cell: int) -> str:
        """A cell's outputs as a reader sees them."""
        return str(self.value("bed.text(given)", cell))

    def html(self, cell: int) -> str:
        """A cell's outputs as elements."""
        return str(self.value("bed.area(given).innerHTML", cell))

    def outputs(self, cell: int) -> list[dict[str, Any]]:
        """A cell's outputs as the notebook's model has them: in nbformat's form."""
        return list(self.value("bed.cells[given].model.outputs.toJSON()", cell))

    def value(self, expression: str, given: Any = None) -> Any:
        """A JavaScript value, by way of its JSON."""
        self._come_to_front()
        return self.tab.evaluate(f"given => {expression}", given)

    def cell(self, number: int) -> Locator:
        """A cell's element."""
        return self.tab.locator(".jp-Notebook .jp-Cell").nth(number)

    def interrupt(self) -> None:
        """Press the toolbar's own Interrupt button."""
        self.tab.locator('.jp-Toolbar [data-command="notebook:interrupt-kernel"]').first.click()

    def choose_in_palette(self, command: str, label: str) -> None:
        """Give a command by the palette: opened again where it went, as it does when any command of Jupyter's ends."""
        item = self.tab.locator(f'.lm-CommandPalette-item.lm-mod-active[data-command="{command}"]')
        for last in (False, False, False, True):
            self.tab.keyboard.press("Control+Shift+C")
            try:
                self.tab.locator(".lm-CommandPalette-input").fill(label, timeout=PALETTE_SECONDS * 1000)
                item.wait_for(timeout=PALETTE_SECONDS * 1000)
                return self.tab.keyboard.press("Enter")
            except TimeoutError:
                if last:
                    raise

    def save(self) -> None:
        """Write the notebook to its file."""
        self.value("bed.panel.context.save().then(() => null)")

    def restart(self) -> None:
        """Restart the kernel without the question that the menu asks."""
        self.value("bed.panel.sessionContext.restartKernel().then(() => null)")
        self._wait_ready()

    def shut_down(self) -> None:
        """Shut the kernel down."""
        self.value("bed.panel.sessionContext.shutdown().then(() => null)")

    def kill_kernel(self) -> None:
        """End the kernel as a crash does, and wait until the server has started another."""
        kernel_id = self.value("bed.panel.sessionContext.session.kernel.id")
        os.kill(self.lab.kernel_process(kernel_id), signal.SIGKILL)
        self.tab.locator(".jp-Dialog button.jp-mod-accept").click()  # "The kernel appears to have died."
        self._wait_ready()

    def add_cell(self, source: str, below: int) -> None:
        """Insert a code cell below another."""
        self._command_on(below, "notebook:insert-cell-below")
        self._do("bed.notebook.activeCell.model.sharedModel.setSource(given)", source)

    def delete_cell(self, cell: int) -> None:
        """Delete a cell."""
        self._command_on(cell, "notebook:delete-cell")

    def move_cell(self, cell: int, to: int) -> None:
        """Move a cell to another place."""
        self._do("bed.notebook.moveCell(given[0], given[1])", [cell, to])

    def cut_cell(self, cell: int) -> None:
        """Cut a cell."""
        self._command_on(cell, "notebook:cut-cell")

    def copy_cell(self, cell: int) -> None:
        """Copy a cell."""
        self._command_on(cell, "notebook:copy-cell")

    def paste_cell(self, below: int) -> None:
        """Paste what was cut or copied."""
        self._command_on(below, "notebook:paste-cell-below")

    def rename(self, name: str) -> None:
        """Give the notebook's file another name."""
        self.value("bed.panel.context.rename(given).then(() => null)", name)
        self.name = name

    def share_kernel(self, other: Page) -> None:
        """Use another page's kernel instead of this page's own."""
        kernel_id = other.value("bed.panel.sessionContext.session.kernel.id")
        self.value("bed.panel.sessionContext.changeKernel({id: given}).then(() => null)", kernel_id)
        self._wait_ready()

    def theme(self, theme: Literal["Light", "Dark"]) -> None:
        """Settings → Theme."""
        self.value("bed.command('apputils:change-theme', {theme: given}).then(() => null)", f"JupyterLab {theme}")
        self.wait_until("document.body.dataset.jpThemeLight === given", str(theme == "Light").lower())
        # It is taken away 200 ms later, and twice where the next theme comes before: that is an error of JupyterLab's.
        self.wait_until("!document.getElementById('jupyterlab-splash')")

    def resize(self, width: int, height: int = 900) -> None:
        """Make the window so many pixels wide and high."""
        self.tab.set_viewport_size({"width": width, "height": height})

    def screenshot(self, path: Path, cell: int | None = None) -> None:
        """A picture of the page, or of one cell."""
        self.settle()
        path.parent.mkdir(parents=True, exist_ok=True)
        if cell is None:
            self.tab.screenshot(path=path)
        else:
            self.cell(cell).screenshot(path=path)

    def settle(self) -> None:
        """Wait until the page has done all that it has begun."""
        self.value("bed.settle()")

    def watch_widgets(self) -> None:
        """Note from now on whether the page shows a widget, if only for a moment."""
        self._do("bed.watchWidgets()")

    def widgets_seen(self) -> int:
        """The most widgets that stood in the page at once since `watch_widgets`."""
        return int(self.value("bed.widgets"))

    def panel(self, cell: int) -> Locator:
        """The widgets in a cell's outputs, where there are any."""
        return self.cell(cell).locator(".jupyter-widgets")

    def execute(self, code: str) -> None:
        """Run code in the kernel that belongs to no cell and counts for none, to its end."""
        self.value("bed.execute(given).done.then(() => null)", code)

    def watch_frames(self) -> None:
        """Note from now on how long the page goes without painting."""
        self._do("bed.watchFrames()")

    def worst_frame_gap(self) -> float:
        """The longest time between two frames since `watch_frames`, in milliseconds. Stops watching."""
        return float(self.value("(bed.watching = false, bed.worst)"))

    def canary(self) -> list[str]:
        """The type of `window.PWN` in each frame: `undefined` as long as nothing hostile has run."""
        return [frame.evaluate("typeof window.PWN") for frame in self.tab.frames]

    def _command_on(self, cell: int, command: str) -> None:
        self._do("bed.choose(given)", cell)
        self.value("bed.command(given).then(() => null)", command)
        self.wait_until("bed.drawn")

    def _do(self, statement: str, given: Any = None) -> None:
        self._come_to_front()
        self.tab.evaluate(f"given => {{ {statement} }}", given)

    def _come_to_front(self) -> None:
        if Page._front is not self:
            self.tab.bring_to_front()
            Page._front = self

    def _go(self) -> None:
        self.tab.goto(self.lab.address(self.name))

    def _wait_ready(self) -> None:
        self.wait_until("window.bed?.panel?.context && bed.ready")
        self.value("bed.listNothing()")

    def _note_error(self, error: Error) -> None:
        is_notebooks = self.lab.application == "notebook" and error.message == _NOTEBOOKS_OWN_ERROR
        said = error.stack or error.message
        if not is_notebooks and not any(each in said for each in _LABS_OWN_REJECTIONS):
            self.errors.append(said)

    def _note_console(self, message: ConsoleMessage) -> None:
        where = message.location["url"]
        known = (_WIDGETS_OWN_ERROR, _DEBUGGERS_OWN_ERROR, *_LABS_OWN_REJECTIONS)
        theirs = any(error in message.text for error in known) or (_RECENT in where and "404" in message.text)
        if message.type == "error" and _PROBE not in where and not theirs:
            self.errors.append(f"{message.text} {where}")

    def _note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        inside = parts.scheme in ("data", "blob", "about") or f"{parts.scheme}://{parts.netloc}" == self.lab.origin
        if not inside or parts.path.startswith("/files/"):
            self.strays.append(request.url)

    def _note_dialog(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":  # Jupyter's own, where a notebook is not saved
            dialog.accept()
        else:
            self.intrusions.append(f"{dialog.type} {dialog.message}")
            dialog.dismiss()


def begin(page: Page, cells: Sequence[str]) -> None:
    """Fill the page that tests take in turns: as if its kernel had just started and run the first cell."""
    page.start_over([LOAD, *cells])
    page.execute(AS_NEW)
    page.finish(0)


def clean(page: Page) -> bool:
    """Whether the page has shown no error and no dialog, asked for nothing outside, and ran nothing of a reply; what it
    did is named."""
    found = [*page.errors, *page.strays, *page.intrusions]
    assert not found, found
    assert set(page.canary()) == {"undefined"}
    return True
