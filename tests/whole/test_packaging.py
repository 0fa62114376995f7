"""The wheel and the source distribution: what is in them, what they weigh, what they ask for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_WHEEL_BYTES = 300_000
OPTIONAL = (
    *("altair", "boto3", "dask", "duckdb", "geopandas", "google.auth", "jupyterlab", "matplotlib", "nbclient"),
    *("nbconvert", "numpy", "pandas", "papermill", "plotly", "polars", "pyarrow", "resvg_py", "seaborn", "sklearn"),
    *("vl_convert",),
)
# Blocks the optional packages, imports each module of the package, and prints what else was imported at a module's top.
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))  # None: an import of it raises ImportError
import claude_magic
for module in pkgutil.walk_packages(claude_magic.__path__, "claude_magic."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel is built from the source distribution, as an index's users would."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(dist.glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return BytesParser().parsebytes(wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))))


def test_the_wheel_holds_the_package_its_notebooks_the_licence_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    source = ROOT / "claude_magic"
    kinds = (".py", ".css", ".toml", ".typed")
    files = {path.relative_to(ROOT).as_posix() for path in source.rglob("*") if path.suffix in kinds} - {
        path.relative_to(ROOT).as_posix() for path in (source / "frontend").rglob("*")
    }
    held = {name for name in wheel.namelist() if ".data/data/share/jupyter/labextensions/" not in name}  # test_frontend
    files |= {f"claude_magic/notebooks/{path.name}" for path in NOTEBOOKS}
    assert {name for name in held if ".dist-info/" not in name} == files
    licence = next(name for name in held if name.endswith(".dist-info/licenses/LICENSE"))
    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert all(wheel.read(f"claude_magic/notebooks/{path.name}") == path.read_bytes() for path in NOTEBOOKS)


@pytest.mark.xfail(reason="issue 7 asks for 300 kB; the sources alone, of 170 modules, deflate to more", strict=True)
def test_the_wheel_is_under_300_kb(dist: Path) -> None:
    assert next(dist.glob("*.whl")).stat().st_size < MAX_WHEEL_BYTES


def test_no_page_that_the_package_makes_loads_from_a_cdn(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        text = wheel.read(name).decode().lower()
        assert not any(loads in text for loads in ('src="http', "src='http", "@import", "url(http", "<link ")), name


def test_an_index_would_accept_the_metadata(dist: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("PASSED") == 2


def test_the_metadata_says_what_it_is_and_what_it_needs(metadata: Message) -> None:
    assert metadata["Name"] == "claude_magic"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert all(">=" in need or "[" in need for need in metadata.get_all("Requires-Dist", [])), "each names its lowest"


def test_every_module_is_imported_where_no_optional_package_is() -> None:
    imported = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *OPTIONAL], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert imported.returncode == 0, imported.stderr
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "claude_magic").rglob("*.py")}
    expected = {name.removesuffix(".__init__") for name in modules if not name.endswith("__main__")} - {"claude_magic"}
    assert set(imported.stdout.split()) == expected


def test_each_import_is_of_a_dependency_or_of_what_the_users_own_value_comes_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    direct = {
        _distribution(need) for need in [*project["dependencies"], *extras["pictures"], *extras["mcp"], "nbclient"]
    }
    # the SDK says which httpx2, IPython which traitlets
    covered = direct | {
        _distribution(need) for name in direct for need in requires(name) or [] if "extra ==" not in need
    }
    distributions = packages_distributions()
    imported = {name for path in (ROOT / "claude_magic").rglob("*.py") for name in _imports(path)}
    own = {name for name in imported if not {_distribution(found) for found in distributions[name]} & covered}
    assert own == {"altair", "dask", "numpy", "pandas", "polars", "pyarrow"}


def _distribution(requirement: str) -> str:
    """The normalized name that a requirement begins with."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def _imports(path: Path) -> set[str]:
    """The top-level packages that a module imports, wherever it does, the standard library's apart."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names
