"""`make test-versions`: the built wheel, in clean environments, with the lowest and the newest versions it allows.

Each Python of this machine, from the lowest that pyproject.toml allows, gets four: with the `demo` extra, which runs
the tour, and with the `test` extra; each with the lowest and the newest. All tests run in two: the lowest Python with
the lowest versions, and the newest with the newest. The others run those in which a version would show.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEWEST_MINOR = 14
RESOLUTIONS = ("lowest-direct", "highest")
# Where pyenv, asdf and mise keep theirs, by their documentation.
INSTALLED = (
    os.environ.get("PYENV_ROOT", f"{Path.home()}/.pyenv") + "/versions/*/bin",
    os.environ.get("ASDF_DATA_DIR", f"{Path.home()}/.asdf") + "/installs/python/*/bin",
    os.environ.get("MISE_DATA_DIR", f"{Path.home()}/.local/share/mise") + "/installs/python/*/bin",
)
# No interpreter is fetched, and what PYTHONPATH names must not stand in for the wheel.
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"UV_PYTHON_DOWNLOADS": "never"}


# What a version of Python or of a library could change, in a minute or two.
QUICK = tuple(
    f"tests/{path}"
    for path in (
        *("conversation/test_accumulator.py", "conversation/test_record.py", "conversation/test_turns.py"),
        *("content/test_images.py", "prompt/values", "request/test_parameters.py", "cost/test_pricing.py"),
        *("client/test_client.py", "render/test_markdown.py", "render/export", "top_level/test_options.py"),
        *("whole/test_packaging.py", "whole/test_headless.py"),
    )
)


@dataclass(frozen=True)
class Environment:
    python: str
    resolution: str  # as uv calls it
    extra: str

    @property
    def path(self) -> Path:
        return ROOT / ".versions" / f"{Path(self.python).name}-{self.resolution}-{self.extra}"

    def run(self, *command: str | Path) -> None:
        """Run a command of the environment. Raises CalledProcessError where it fails."""
        subprocess.run([self.path / "bin" / command[0], *command[1:]], cwd=ROOT, env=CLEAN, check=True)


def main(arguments: list[str]) -> int:
    """Returns how many environments failed. The arguments are for pytest, in each: a few test files, say."""
    wheel = build()
    failed = []
    found = pythons()
    whole = {(found[0], "lowest-direct"), (found[-1], "highest")}
    for python, resolution, extra in product(found, RESOLUTIONS, ("demo", "test")):
        environment = Environment(python, resolution, extra)
        print(f"== {environment.path.name}", flush=True)
        try:
            install(environment, wheel)
            check(environment, arguments or ([] if (python, resolution) in whole else QUICK))
        except subprocess.CalledProcessError as error:
            print(f"== {environment.path.name}: {error}", flush=True)
            failed.append(environment.path.name)
    print("failed: " + ", ".join(failed) if failed else "every environment passed")
    return len(failed)


def build() -> Path:
    """The wheel of this tree."""
    dist = ROOT / ".versions" / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", dist, ROOT], env=CLEAN, check=True, stdout=subprocess.PIPE
    )
    return next(dist.glob("*.whl"))


def pythons() -> list[str]:
    """The interpreters of this machine that run, the lowest first, one of each minor version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = int(project["requires-python"].removeprefix(">=3."))
    found = {f"3.{minor}": interpreter(f"3.{minor}") for minor in range(lowest, NEWEST_MINOR + 1)}
    missing = [version for version, path in found.items() if path is None]
    print("== not on this machine: Python " + ", ".join(missing) if missing else "", flush=True)
    return [path for path in found.values() if path]


def interpreter(version: str) -> str | None:
    """Where a Python is: uv looks on the PATH and at its own; a version manager's is off the PATH until switched on."""
    installed = [str(folder) for pattern in INSTALLED for folder in sorted(Path("/").glob(pattern.lstrip("/")))]
    environ = CLEAN | {"PATH": os.pathsep.join([CLEAN["PATH"], *installed])}
    find = [sys.executable, "-m", "uv", "python", "find", "--system", "--no-project", version]
    found = subprocess.run(find, env=environ, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def install(environment: Environment, wheel: Path) -> None:
    """`--no-build`: the lowest version means the lowest that has a wheel for this Python."""
    path = environment.path
    requirements = path.with_name(f"{path.name}.txt")
    pip = [sys.executable, "-m", "uv", "pip"]
    resolved = ["--resolution", environment.resolution, "--extra", environment.extra, "--output-file", requirements]
    target = ["--python", path / "bin" / "python"]
    for command in (
        [sys.executable, "-m", "uv", "venv", "--quiet", "--clear", "--python", environment.python, path],
        [*pip, "compile", "--quiet", "--upgrade", "--no-build", *target, *resolved, ROOT / "pyproject.toml"],
        [*pip, "install", "--quiet", "--no-build", *target, "--requirement", requirements, wheel],
    ):
        subprocess.run(command, env=CLEAN, check=True)


def check(environment: Environment, arguments: Sequence[str]) -> None:
    if environment.extra == "demo":
        environment.run("claude-magic", "demo", "--no-open", "--to", environment.path / "demo")
    else:
        environment.run("pytest", "-q", "-m", "not browser and not drift", *arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
