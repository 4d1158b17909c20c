"""A timeline as JSON, Markdown and CSV.

The rule: JSON holds all of it and can be read back; CSV has one line a span and opens in a spreadsheet
without running anything; Markdown is for people.
"""

from __future__ import annotations

import csv
import io
import json

from visionpipe.video.timeline import Span, Timeline

COLUMNS = ("clip", "span", "scene", "start", "end", "start_s", "end_s", "text", "seen_by", "local", "error")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_json(timeline: Timeline) -> str:
    """The whole timeline; :meth:`Timeline.from_json` reads it back."""
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
                _safe(timeline.clip),
                span.index + 1,
                span.scene + 1,
                span.start,
                span.end,
                f"{span.start.seconds:.6f}",
                f"{span.end.seconds:.6f}",
                _safe(span.text),
                span.seen_by,
                "yes" if span.local else "no",
                _safe(span.failure.reason) if span.failure else "",
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


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
