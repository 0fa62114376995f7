"""`make test-versions`: the built wheel, in clean environments, with the lowest and the newest versions it allows.

Each Python on the PATH, from the lowest that pyproject.toml allows, gets four: with the `demo` and the `test` extra,
each with the lowest and the newest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parent.parent
NEWEST_MINOR = 14
RESOLUTIONS = ("lowest-direct", "highest")
# No interpreter is fetched, and what PYTHONPATH names must not stand in for the wheel.
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"UV_PYTHON_DOWNLOADS": "never"}


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
    """Returns how many environments failed. The arguments are for pytest: a few test files instead of all, say."""
    wheel = build()
    failed = []
    for python, resolution, extra in product(pythons(), RESOLUTIONS, ("demo", "test")):
        environment = Environment(python, resolution, extra)
        print(f"== {environment.path.name}", flush=True)
        try:
            install(environment, wheel)
            check(environment, arguments)
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
    """The interpreters that run: a version manager's shim on the PATH may be of a version that is not switched on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = int(project["requires-python"].removeprefix(">=3."))
    found = []
    for minor in range(lowest, NEWEST_MINOR + 1):
        path = shutil.which(f"python3.{minor}")
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            found.append(path)
        else:
            print(f"== python3.{minor} is not on this machine")
    return found


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


def check(environment: Environment, arguments: list[str]) -> None:
    if environment.extra == "demo":
        environment.run("claude-magic", "demo", "--no-open", "--to", environment.path / "demo")
    else:
        environment.run("pytest", "-q", "-m", "not browser", *arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
