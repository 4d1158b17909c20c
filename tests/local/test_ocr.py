"""Text is read where the extra is there, and its absence is a fact and no error."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from visionpipe.images.load import load_image
from visionpipe.local.engine import LocalEngine, TextReader, to_analyse
from visionpipe.local.facts import TextLine
from visionpipe.media import Image

SAMPLES = Path(__file__).parent.parent.parent / "samples"
BLANK = np.full((32, 32, 3), 255, np.uint8)


def test_a_page_is_read_in_order() -> None:
    page = load_image(SAMPLES / "page.png")
    assert isinstance(page, Image)
    lines, hindrance = TextReader().read(to_analyse(page, 960).pixels)
    assert hindrance is None
    assert lines is not None
    assert lines[0].text == "Region-based segmentation"
    assert [line.text for line in lines][1].startswith("Let us first determine markers")
    assert all(line.confidence >= 0.85 for line in lines)


@pytest.mark.parametrize("missing", ["onnxruntime", "rapidocr"])
def test_without_the_extra_it_says_so(missing: str) -> None:
    def importer(name: str) -> Any:
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return SimpleNamespace()

    reader = TextReader(importer)
    lines, hindrance = reader.read(BLANK)
    assert lines is None
    assert hindrance is not None
    assert missing in hindrance
    assert "visionpipe-vlm[ocr]" in hindrance
    facts = LocalEngine(reader=reader).analyse((SAMPLES / "horse.png").read_bytes())
    assert facts.text is None
    assert hindrance in facts.notes


def test_models_are_never_fetched(tmp_path: Path) -> None:
    package = SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
    lines, hindrance = TextReader(lambda name: package).read(BLANK)
    assert lines is None
    assert hindrance is not None
    assert "without its models" in hindrance


def reader_of(*found: tuple[str, float]) -> TextReader:
    """A reader whose runtime always finds the same."""
    real = import_module("rapidocr")
    texts = [text for text, _ in found]
    scores = [score for _, score in found]

    def runtime(params: dict[str, Any]) -> Any:
        return lambda pixels: SimpleNamespace(txts=texts or None, scores=scores or None)

    return TextReader(lambda name: SimpleNamespace(__file__=real.__file__, RapidOCR=runtime))


def test_only_believable_lines_are_kept() -> None:
    reader = reader_of(("AAA", 0.62), ("***", 0.94), ("8", 0.9), ("鑫", 0.9), ("出口", 0.9), ("No  12", 0.9))
    assert reader.read(BLANK)[0] == (TextLine("出口", 0.9), TextLine("No 12", 0.9))


def test_no_text_is_not_the_same_as_not_looked_for() -> None:
    assert reader_of().read(BLANK) == ((), None)
    data = (SAMPLES / "horse.png").read_bytes()
    assert LocalEngine(reader=reader_of()).analyse(data).text == ()
    assert LocalEngine(reader=None).analyse(data).text is None


def test_a_failing_runtime_costs_the_text_and_not_the_image() -> None:
    real = import_module("rapidocr")

    def breaks(*arguments: Any, **settings: Any) -> Any:
        raise RuntimeError("out of order")

    late = TextReader(lambda name: SimpleNamespace(__file__=real.__file__, RapidOCR=lambda params: breaks))
    early = TextReader(lambda name: SimpleNamespace(__file__=real.__file__, RapidOCR=breaks))
    for reader, words in ((late, "rapidocr failed"), (early, "does not start")):
        lines, hindrance = reader.read(BLANK)
        assert lines is None
        assert hindrance is not None
        assert words in hindrance
        assert "out of order" in hindrance
