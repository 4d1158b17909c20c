"""Read a picture into a typed value. An answer that does not fit is asked for once more, then it is an error.

python samples/extraction.py samples/page.png
"""

import sys

from pydantic import BaseModel, Field

import visionpipe as vp


class Line(BaseModel):
    text: str
    heading: bool = False


class Page(BaseModel):
    language: str = Field(description="ISO 639-1 code")
    lines: list[Line]


with vp.Client() as client:
    try:
        found = client.extract(Page, *(sys.argv[1:] or ["samples/page.png"]))
    except vp.AnswerError as error:
        sys.exit(f"{error.reason}\n{error.cure}")
    print(f"{found.value.language}, {len(found.value.lines)} lines")
    for line in found.value.lines:
        print(f"{'# ' if line.heading else ''}{line.text}")
    for note in found.reply.notes:
        print(f"({note.kind}: {note.detail})")
