"""A timeline as one HTML page: a picture a span, its times, and the words.

One file that needs no network and no script; whatever the model said is shown as text and
never as markup.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

from visionpipe.media import Image, MemoryContent
from visionpipe.video.timeline import Span, Timeline

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #8a8a8a; --accent: #2f6fde }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem;
       font: 16px/1.45 system-ui, "DejaVu Sans", sans-serif }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; overflow-wrap: anywhere }
.facts, time, .note { color: var(--dim); font-size: .85rem; font-variant-numeric: tabular-nums }
.summary { font-size: 1.05rem; max-width: 46rem; margin: .8rem 0 1.2rem }
.strip { display: flex; height: .6rem; border-radius: .3rem; overflow: hidden; margin: 0 0 1.4rem }
.strip a { background: var(--accent); border-right: 1px solid Canvas } .strip a.even { opacity: .55 }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 1.1rem;
     grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)) }
li { border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; scroll-margin: 1rem }
li:target { outline: 3px solid var(--accent) }
img { display: block; width: 100%; height: auto; aspect-ratio: 16 / 9; object-fit: contain; background: #000 }
li div { padding: .6rem .8rem .8rem } li p { margin: .25rem 0 0 } .failed { color: #c33 }
"""


def to_storyboard(timeline: Timeline, thumbnails: Mapping[int, Image]) -> str:
    """The page.

    Args:
        timeline: what to show.
        thumbnails: a JPEG held in memory by span index; spans without one have none.
    """
    by = (
        "local analysis by the embedded engine, nothing left the machine"
        if timeline.local
        else timeline.model
    )
    facts = f"{timeline.duration} · {len(timeline.spans)} spans · {by}"
    summary = f'<p class="summary">{escape(timeline.summary)}</p>' if timeline.summary else ""
    strip = "".join(_bar(span, timeline) for span in timeline.spans)
    cards = "\n".join(_card(span, thumbnails.get(span.index)) for span in timeline.spans)
    title = escape(timeline.clip)
    return (
        f'<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n'
        f'</head>\n<body>\n<h1>{title}</h1>\n<p class="facts">{escape(facts)}</p>\n{summary}\n'
        f'<nav class="strip" aria-label="spans">{strip}</nav>\n<ol>\n{cards}\n</ol>\n</body>\n</html>\n'
    )


def _bar(span: Span, timeline: Timeline) -> str:
    whole = timeline.duration.exact or 1
    share = float((span.end.exact - span.start.exact) / whole * 100)
    even = ' class="even"' if span.scene % 2 else ""
    return f'<a{even} href="#s{span.index + 1}" title="{span.start}" style="width:{share:.3f}%"></a>'


def _card(span: Span, thumbnail: Image | None) -> str:
    picture = ""
    if thumbnail is not None and isinstance(thumbnail.content, MemoryContent):
        data = base64.b64encode(thumbnail.content.data).decode()
        size = f'width="{thumbnail.width}" height="{thumbnail.height}"'
        picture = f'<img {size} loading="lazy" alt="" src="data:image/jpeg;base64,{data}">'
    if span.failure is not None:
        words = f'<p class="failed">failed: {escape(span.failure.reason)}</p>'
    else:
        words = f"<p>{escape(span.text)}</p>"
    snapped = any(note.kind == "time_snapped" for note in span.notes)
    marks = '<p class="note">the model named times of its own; snapped to the cuts</p>' if snapped else ""
    times = f'<time>{span.start}</time> <span class="note">to</span> <time>{span.end}</time>'
    return f'<li id="s{span.index + 1}">{picture}<div>{times}{words}{marks}</div></li>'
