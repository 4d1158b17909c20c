"""A timeline as subtitles (.srt, .vtt), JSON, Markdown and CSV.

Cues follow one another without overlap, to the millisecond; no text can break the format; words
of the embedded engine say so in the first cue.

JSON holds all of it and can be read back; CSV has one line a span and opens in a spreadsheet
without running anything; Markdown is for people.

The storyboard is one HTML page that needs no network and no script: a picture a span, its times, and the
words; whatever the model said is shown as text and never becomes markup.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import math
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping
from html import escape

from visionpipe.media import Image, MemoryContent
from visionpipe.sinks.columns import plain_cell
from visionpipe.sinks.html import page_file
from visionpipe.values import Timecode
from visionpipe.video.timeline import Span, Timeline

_LINE = 42
"""Columns a line; the usual measure for subtitles. A Chinese character takes two."""
_WIDE = (
    "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6"
)
_CLOSING = "，。、；：！？）」』》】〉”’…,.;:!?)"
_PIECES = re.compile(rf"(?:[{_WIDE}][{_CLOSING}]*|[^\s{_WIDE}]+[{_CLOSING}]*)\s*|\s+")
"""What a line is not broken in: a wide character, or a word, with the marks and the space after it."""
_LOCAL = "[local analysis] "


def to_srt(timeline: Timeline) -> str:
    """The timeline as SubRip text; spans without words have no cue."""
    cues = []
    for number, (start, end, lines) in enumerate(_cues(timeline), 1):
        times = f"{_stamp(start, ',')} --> {_stamp(end, ',')}"
        cues.append("\n".join([str(number), times, *(line.replace("-->", "→") for line in lines)]))
    return "\n\n".join(cues) + "\n" if cues else ""


def to_vtt(timeline: Timeline) -> str:
    """The timeline as WebVTT text; spans without words have a note instead of a cue."""
    blocks = ["WEBVTT"]
    if timeline.local:
        blocks.append("NOTE\nLocal analysis by the embedded engine; nothing left the machine.")
    blocks += [
        f"NOTE\n{span.start} to {span.end}: {_one_line(span.failure.reason)}".replace("-->", "→")
        for span in timeline.failed
        if span.failure
    ]
    for start, end, lines in _cues(timeline):
        times = f"{_stamp(start, '.')} --> {_stamp(end, '.')}"
        blocks.append("\n".join([times, *(html.escape(line, quote=False) for line in lines)]))
    return "\n\n".join(blocks) + "\n"


def _cues(timeline: Timeline) -> Iterator[tuple[int, int, list[str]]]:
    """(start, end) in milliseconds, and the lines."""
    first = True
    after = 0
    for span in timeline.spans:
        if not span.text.strip():
            continue
        start = max(_millis(span.start), after)
        end = max(_millis(span.end), start + 1)
        yield start, end, wrapped(_marked(span, first))
        first, after = False, end


def _marked(span: Span, first: bool) -> str:
    return _LOCAL + span.text if first and span.local else span.text


def wrapped(text: str) -> list[str]:
    """Lines of at most 42 columns: broken at spaces, in scripts that have none between any two characters,
    but not before a closing mark, and in a word only where it is longer than a line."""
    words = _one_line(text)
    if columns(words) == len(words):
        return textwrap.wrap(words, _LINE)
    lines = [""]
    for piece in _PIECES.findall(words):
        rest = piece
        if columns(lines[-1] + piece.rstrip()) > _LINE:
            lines.append("")
            while columns(rest.rstrip()) > _LINE:
                fits = max(k for k in range(1, _LINE + 1) if columns(rest[:k]) <= _LINE)
                lines[-1:] = [rest[:fits], ""]
                rest = rest[fits:]
        lines[-1] += rest
    return [line.strip() for line in lines if line.strip()]


def columns(text: str) -> int:
    """How wide the text is; wide East Asian characters count 2."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _one_line(text: str) -> str:
    """White space and control characters, which would end a cue, become single spaces."""
    visible = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return " ".join("".join(visible).split())


def _millis(moment: Timecode) -> int:
    return math.floor(moment.exact * 1000)


def _stamp(millis: int, point: str) -> str:
    seconds, thousandths = divmod(millis, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{thousandths:03}"


COLUMNS = ("clip", "span", "scene", "start", "end", "start_s", "end_s", "text", "seen_by", "local", "error")


def to_json(timeline: Timeline) -> str:
    """The whole timeline; ``Timeline.from_json`` reads it back."""
    return json.dumps(timeline.to_json(), ensure_ascii=False, indent=2) + "\n"


def to_csv(timeline: Timeline) -> str:
    """One line a span, with a heading. A text that a spreadsheet would take for a formula gets an
    apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for span in timeline.spans:
        writer.writerow(
            [
                plain_cell(timeline.clip),
                span.index + 1,
                span.scene + 1,
                span.start,
                span.end,
                f"{span.start.seconds:.6f}",
                f"{span.end.seconds:.6f}",
                plain_cell(span.text),
                span.seen_by,
                "yes" if span.local else "no",
                plain_cell(span.failure.reason) if span.failure else "",
            ]
        )
    return out.getvalue()


def to_markdown(timeline: Timeline) -> str:
    """A heading, the summary, and a table of the spans."""
    lines = [f"# {_plain(timeline.clip)}", ""]
    by = "local analysis by the embedded engine" if timeline.local else timeline.model
    lines += [f"{timeline.duration}, {len(timeline.spans)} spans; {by}", ""]
    if timeline.summary:
        lines += [_plain(timeline.summary), ""]
    lines += ["| from | to | what happens |", "|---|---|---|"]
    lines += [f"| {span.start} | {span.end} | {_cell(span)} |" for span in timeline.spans]
    return "\n".join(lines) + "\n"


def _cell(span: Span) -> str:
    return _plain(span.text) if span.failure is None else f"*failed: {_plain(span.failure.reason)}*"


def _plain(text: str) -> str:
    """One line that means itself in Markdown."""
    line = " ".join(text.split())
    for mark in "\\`*_[]<>|#":
        line = line.replace(mark, f"\\{mark}")
    return line


_STYLE = """
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem }
.facts, time, .note { color: var(--soft); font-size: 13.5px; font-variant-numeric: tabular-nums }
.summary { font-size: 1.05rem; max-width: 46rem; margin: .8rem 0 1.2rem }
.strip { display: flex; height: .6rem; border-radius: .3rem; overflow: hidden; margin: 0 0 1.4rem }
.strip a { background: var(--accent); border-right: 1px solid var(--page) } .strip a.even { opacity: .55 }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 18px;
     grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)) }
li { border: 1px solid var(--line); border-radius: 10px; overflow: hidden; scroll-margin: 1rem;
     background: var(--card) }
li:target { outline: 3px solid var(--accent) }
img { display: block; width: 100%; height: auto; aspect-ratio: 16 / 9; object-fit: contain; background: #000 }
li div { padding: 12px 14px 13px } li p { margin: .25rem 0 0 } .failed { color: var(--bad) }
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
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{page_file('look.css')}{_STYLE}</style>\n"
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
