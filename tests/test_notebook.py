"""The notebook of the documentation, run as a reader runs it, and what its cells show."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from visionpipe.pipeline.events import ItemEnded, Progress
from visionpipe.pipeline.progress import ProgressLines, TerminalLine, bar_html, progress_display
from visionpipe.results import ItemResult, Outcome

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "notebooks" / "visionpipe.ipynb"


def html_of(cell: Any) -> str:
    return "".join(output.data.get("text/html", "") for output in cell.outputs if "data" in output)


def test_the_cells_show_replies_plans_and_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "samples").mkdir()
    for name in ("chelsea.png", "coffee.png"):
        (tmp_path / "samples" / name).symlink_to(ROOT / "samples" / name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # ships none
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the notebook's own programs
        NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
    first, second, plan, run = (cell for cell in notebook.cells if cell.cell_type == "code")
    for cell in (first, second):
        assert "A photo of a cat" in html_of(cell)
        assert 'alt="chelsea.png"' in html_of(cell) and "data:image/webp;base64," in html_of(cell)
        assert "local analysis, nothing left the machine" in html_of(cell)
    assert "cached: answered on" in html_of(second) and "cached:" not in html_of(first)
    assert "2 items" in html_of(plan) and html_of(plan).count("<img ") == 2
    shown = html_of(run)
    assert re.search(r'<progress value="2" max="2"', shown) and "2 of 2: 2 done, 0 failed" in shown
    assert "A photo of" in shown and "<img " in shown
    assert len(shown) < 60_000


def test_the_guide_shows_the_notebooks_cells() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # as above
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.get("outputs") for cell in notebook.cells)
    guide = (ROOT / "docs" / "guides" / "notebooks.md").read_text("utf-8")
    assert re.findall(r"^```python\n(.*?)\n```$", guide, re.M | re.S) == ["\n\n".join(cells)]


NOW = Progress(3, True, 1, 1, 0, 0, 4, 1, 2.0, total=3)


def test_elsewhere_progress_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    ended = ItemEnded(ItemResult("a.jpg", Outcome.DONE), False, NOW)
    now = [0.0]
    lines = ProgressLines(lambda: now[0])
    lines(ended)
    now[0] = 11
    lines(ended)
    assert capsys.readouterr().err == "2 of 3: 1 done, 1 failed, 0 skipped\n"
    TerminalLine(lambda: 1.0)(ended)
    assert "2 of 3" in capsys.readouterr().err
    assert isinstance(progress_display(), ProgressLines)
    assert '<progress value="2" max="3"' in bar_html(NOW)
