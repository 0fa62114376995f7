"""The pictures in README: a real JupyterLab on the stand-in, light and dark. `make pictures` runs it."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

from support.jupyterlab import Lab, Page, chromium

PICTURES = Path(__file__).parents[2] / "notebooks" / "pictures"
COLORS = 64  # as many as a page with one plot needs, at a quarter of the bytes
WIDTH, HEIGHT = 1280, 860
# Questions of the tour, so that the answers are its written examples; the data are the tour's, too.
TOUR = nbformat.read(PICTURES.parent / "tour.ipynb", as_version=4)
SALES = next(cell.source for cell in TOUR.cells if cell.source.startswith("import random"))
CELLS = [
    '%load_ext claude_magic\n%config ClaudeMagic.provider = "offline"',
    SALES.replace("\nsales.head()", ""),
    "%%claude\nWhat stands out in {{sales}}?\nShow me Python code that groups it by shop.",
    "%%claude --budget 0.10\nCompare the mean and the median in a table.",
]


def portray(page: Page, theme: str) -> None:
    """One picture, of few colours."""
    page.theme("Dark" if theme == "dark" else "Light")
    page.settle()
    page.tab.evaluate("document.querySelector('.jp-WindowedPanel-outer, .jp-Notebook').scrollTop = 0")
    page.settle()
    picture = Image.open(io.BytesIO(page.tab.screenshot())).convert("RGB")
    path = PICTURES / f"{theme}.png"
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size:,} bytes, {picture.width} × {picture.height}")


def main() -> None:
    """Run the cells, and take the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with chromium() as browser, Lab(browser, Path(tempfile.mkdtemp())) as lab:
        page = lab.open("tour.ipynb", CELLS)
        page.resize(WIDTH, HEIGHT)
        for cell in range(len(CELLS)):
            page.finish(cell)
        page.value("bed.command('claude-magic:outline').then(() => null)")
        for theme in ("light", "dark"):
            portray(page, theme)


if __name__ == "__main__":
    main()
