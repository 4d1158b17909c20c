"""The review page over 100,000 items, as a browser has it: the first page, and 50 pages scrolled.

    python benchmarks/review.py [ITEMS]      needs Debian's chromium and chromium-driver

Prints milliseconds until the first page's cards are shown, what the server takes for pages, counts and
filters, and the browser's memory, its document's nodes and the server's memory before and after the scroll.
"""

from __future__ import annotations

import http.client
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psutil
from PIL import Image
from selenium.webdriver import Chrome

from tests.system.chromium import chromium
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.reading import INSERT, result_row
from visionpipe.results import ItemResult, Outcome
from visionpipe.stages.keys import Recipe
from visionpipe.values import Note, Usage

ITEMS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
PAGES = 50
WORDS = (
    "a",
    "red",
    "bicycle",
    "leans",
    "on",
    "an",
    "old",
    "wall",
    "while",
    "two",
    "cats",
    "sleep",
    "in",
    "sun",
)


def made(folder: Path) -> Path:
    """A journal of so many items about 40 photos."""
    photos = []
    for place in range(40):
        photos.append(folder / f"{place}.jpg")
        gradient = Image.linear_gradient("L").resize((1200, 800))
        Image.merge("RGB", [gradient.rotate(place * 9), gradient, gradient.rotate(90)]).save(photos[-1])
    path = folder / "photos.journal"
    recipe = Recipe("glm-4.6v", "Write one caption.", {})
    with closing(Journal(path)) as journal:
        journal.begin(recipe)
        for start in range(0, ITEMS, 1000):
            statements = []
            for place in range(start, min(start + 1000, ITEMS)):
                caption = " ".join(WORDS[(place * step) % len(WORDS)] for step in range(5, 25))
                notes = (Note("truncated", "cut off"),) if place % 17 == 0 else ()
                result = ItemResult(
                    f"album {place % 97}/{place:06}.jpg",
                    Outcome.FAILED if place % 53 == 0 else Outcome.DONE,
                    caption,
                    None,
                    "glm-4.6v",
                    usage=Usage(1000, 40),
                    notes=notes,
                )
                content = f"{place:064x}"
                row = result_row(
                    result,
                    question="q",
                    job=recipe.job,
                    run=1,
                    recorded=float(place),
                    content=content,
                )
                statements.append((INSERT, (*row, 1)))
                location = str(photos[place % len(photos)])
                statements.append(
                    ("INSERT INTO sources VALUES (?, ?, 1, 1, ?)", (result.source, location, content))
                )
            journal.database.write(*statements)
        journal.end("complete")
    return path


def timed(host: str, cookie: str, path: str, **values: str) -> float:
    """Milliseconds of one request, the median of five."""
    taken = []
    for _ in range(5):
        with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
            begun = time.perf_counter()
            connection.request("GET", f"{path}?{urlencode(values)}", headers={"Cookie": cookie})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = made(folder)
        print(f"{ITEMS} items, a journal of {journal.stat().st_size / 1e6:.0f} MB")
        with chromium(folder / "profile") as browser:
            browser.set_script_timeout(300)
            with serving(journal) as (url, _):
                browser.get(url)
                print(f"first page shown after {first_page(browser):.0f} ms, server and browser just started")
            with serving(journal) as (url, pid):
                browser.get(url)
                print(f"first page shown after {first_page(browser):.0f} ms, the server just started")
                measure(browser, urlsplit(url).netloc, pid)


@contextmanager
def serving(journal: Path) -> Iterator[tuple[str, int]]:
    """The page's address, and the server's process."""
    command = [sys.executable, "-m", "visionpipe", "review", str(journal), "--no-browser", "--who", "bench"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        found = re.search(r"http\S+", server.stderr.readline())
        assert found is not None
        yield found.group(), server.pid
    finally:
        server.terminate()
        server.wait()


def measure(browser: Chrome, host: str, pid: int) -> None:
    browser.refresh()
    print(f"first page shown after {first_page(browser):.0f} ms, loaded again")
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in browser.get_cookies())
    for label, path, values in (
        ("first page", "/items", {}),
        ("page by path", "/items", {"sort": "path"}),
        ("page of the longest", "/items", {"sort": "longest"}),
        ("page of a rare word", "/items", {"text": "bicycle sun wall"}),
        ("page of a note", "/items", {"note": "truncated"}),
        ("count", "/count", {}),
        ("filters' counts", "/job", {}),
    ):
        print(f"{label:22} {timed(host, cookie, path, **values):7.1f} ms")
    scroll = """
        const done = arguments[1], wanted = arguments[0], seen = new Set();
        const took = [];
        (function step() {
          for (const one of document.querySelectorAll("article")) seen.add(one.dataset.source);
          if (seen.size >= wanted) { done([seen.size, Math.max(...took)]); return; }
          const begun = performance.now();
          scrollBy(0, innerHeight);
          requestAnimationFrame(() => { took.push(performance.now() - begun); setTimeout(step, 30); });
        })()"""
    browser.execute_async_script(scroll, 10 * 60)
    before = figures(browser, pid)
    seen, longest = browser.execute_async_script(scroll, PAGES * 60)
    after = figures(browser, pid)
    print(f"{PAGES} pages scrolled: {seen} items seen, the slowest frame {longest:.0f} ms")
    for name, value in before.items():
        print(f"{name:22} {value:9.1f} before, {after[name]:9.1f} after")


def first_page(browser: Chrome) -> float:
    """Milliseconds from the navigation to the first page's cards; waits until the rest has come too."""
    ready = "return document.querySelectorAll('#outcomes button').length > 0"
    while not browser.execute_script(ready):
        time.sleep(0.1)
    taken: float = browser.execute_script("return performance.getEntriesByName('first page')[0].startTime")
    return taken


def figures(browser: Chrome, pid: int) -> dict[str, float]:
    browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    browser.execute_cdp_cmd("Performance.enable", {})
    told = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    metrics = {one["name"]: one["value"] for one in told}
    return {
        "browser's heap, MB": metrics["JSHeapUsedSize"] / 1e6,
        "document's nodes": metrics["Nodes"],
        "server's memory, MB": psutil.Process(pid).memory_info().rss / 1e6,
    }


if __name__ == "__main__":
    main()
