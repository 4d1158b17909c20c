"""``visionpipe video``: clips in; timelines, subtitles and storyboards out. Resumable span by span."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from visionpipe.cli import options as connection
from visionpipe.cli import options as publishing

if TYPE_CHECKING:
    from visionpipe.client import Client
    from visionpipe.client.options import CallOptions
    from visionpipe.media import Video
    from visionpipe.video.timeline import Timeline

Clips = Annotated[list[Path], typer.Argument(help="Clips, or folders of them.")]
Longest = Annotated[
    float | None, typer.Option(help="Longest span in seconds; longer scenes are parted.", min=0.1)
]
FramesPerSpan = Annotated[int, typer.Option(help="Most frames shown of one span.", min=1, max=32)]
Threshold = Annotated[float, typer.Option(help="Least change that counts as a cut; lower finds more.")]
MinScene = Annotated[float, typer.Option(help="Shortest scene in seconds.", min=0.0)]
Concurrency = Annotated[int, typer.Option(help="Most requests at once.", min=1)]
Journal = Annotated[
    Path | None, typer.Option(help="Where finished spans are kept; default beside the output.")
]
OverLimitChoice = Annotated[
    Literal["refuse", "split", "transcode", "frames"],
    typer.Option(help="What to do with a published or inline clip over the model's limit."),
]
InlineVideo = Annotated[
    bool, typer.Option("--inline-video", help="Send clips as base64, though the service may refuse them.")
]
Ask = Annotated[str | None, typer.Option(help="Answer this question instead of telling the scenes.")]

Outputs_ = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        "-o",
        help="Where to: a .srt, .vtt, .html (storyboard), .md, .csv or .json file, or for several clips a "
        "folder with its kind before it, such as srt:subtitles/. Repeatable.",
    ),
]

_KINDS = ("srt", "vtt", "html", "md", "csv", "json")


def video(
    clips: Clips,
    output: Outputs_ = None,
    longest: Longest = None,
    frames_per_span: FramesPerSpan = 4,
    threshold: Threshold = 18.0,
    min_scene: MinScene = 0.6,
    summary: Annotated[bool, typer.Option(help="Sum the clip up.")] = True,
    concurrency: Concurrency = 4,
    journal: Journal = None,
    ask: Ask = None,
    publish: publishing.Publish = None,
    over_limit: OverLimitChoice = "refuse",
    inline_video: InlineVideo = False,
    as_json: connection.AsJson = False,
    model: connection.Model = None,
    base_url: connection.BaseUrl = None,
    catalog: connection.Catalog = None,
    lang: connection.Lang = None,
    max_tokens: connection.MaxTokens = None,
    temperature: connection.Temperature = None,
    top_p: connection.TopP = None,
    thinking: connection.Thinking = None,
    reasoning_effort: connection.Effort = None,
    system: connection.System = None,
    extra: connection.Extra = None,
) -> None:
    """Tell clips scene by scene. With several clips, outputs are folders. Run again to go on."""
    from visionpipe.clips.cuts import SceneRules
    from visionpipe.errors import InputError, VisionPipeError
    from visionpipe.sinks.timelines import to_json
    from visionpipe.video.options import WatchOptions
    from visionpipe.video.span_journal import SqliteSpanJournal

    found = _found(clips)
    places = _places(output or ())
    _check_places(found, places, ask)
    call = connection.call_options(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        thinking=thinking,
        reasoning_effort=reasoning_effort,
        system=system,
        extra=extra,
    )
    if publish is not None:
        call["publisher"] = publishing.publisher_named(publish)
    if inline_video:
        call["inline_video"] = True
    kept_at = journal or _default_journal(places)
    failed = 0
    with ExitStack() as stack:
        client = stack.enter_context(connection.make_client(model, base_url, catalog, lang))
        kept = stack.enter_context(SqliteSpanJournal(_made(kept_at))) if kept_at else None
        wanted = WatchOptions(
            longest=longest,
            scenes=SceneRules(threshold=threshold, min_length=min_scene),
            frames_per_span=frames_per_span,
            language=client.settings.lang,
            summary=summary,
            concurrency=concurrency,
        )
        for path in found:
            try:
                if ask is not None:
                    _answer(client, ask, path, call)
                    continue
                timeline = client.watch(path, wanted, over_limit=over_limit, journal=kept, **call)
            except VisionPipeError as error:
                # One bad clip is no reason to leave the others; what would fail them all is.
                if error.scope == "job" or (len(found) == 1 and isinstance(error, InputError)):
                    raise
                typer.echo(f"failed: {error}", err=True)
                failed += 1
                continue
            if as_json:
                typer.echo(to_json(timeline).rstrip())
            else:
                _print(timeline)
            for kind, place in places.items():
                if place is not None:
                    _write(kind, _target(place, kind, path, len(found)), path, timeline)
            failed += bool(timeline.failed)
    plural = "" if len(found) == 1 else "s"
    typer.echo(
        f"{len(found)} clip{plural}: {len(found) - failed} done, {failed} failed or incomplete", err=True
    )
    if failed:
        raise typer.Exit(1)


def _places(outputs: Sequence[str]) -> dict[str, Path | None]:
    """The place of each kind of output, None where it is not wanted."""
    from visionpipe.errors import ParameterError

    places: dict[str, Path | None] = dict.fromkeys(_KINDS)
    for text in outputs:
        kind, colon, place = text.partition(":")
        if not colon or kind not in _KINDS:
            kind, place = Path(text).suffix.lower().removeprefix("."), text
        if kind not in _KINDS or not place:
            raise ParameterError(
                "the output's kind cannot be told",
                cure=f"Use one of the suffixes {', '.join('.' + kind for kind in _KINDS)}, or KIND:FOLDER, "
                "such as srt:subtitles/.",
                subject=text or "--output",
            )
        if places[kind] is not None:
            raise ParameterError(
                f"there is a place for {kind} already", cure="Leave one of them out.", subject=text
            )
        places[kind] = Path(place)
    return places


def _found(clips: list[Path]) -> list[Path]:
    from visionpipe.clips.load import find_clips
    from visionpipe.errors import UnreadableSourceError

    found: list[Path] = []
    for path in clips:
        if not path.is_dir():
            found.append(path)
        elif inside := find_clips(path):
            found += inside
        else:
            raise UnreadableSourceError(
                "there is no clip in this folder",
                cure="Name a folder with clips, or a clip.",
                subject=str(path),
            )
    return found


def _answer(client: Client, question: str, path: Path, call: CallOptions) -> None:
    answer = client.ask_clip(question, path, **call)
    mark = " (local analysis)" if answer.reply.local else ""
    typer.echo(f"{path}{mark}")
    typer.echo(f"  {answer.reply.text}")
    if answer.rests_on:
        typer.echo(f"  rests on: {', '.join(str(frame.time) for frame in answer.rests_on)}")


def _check_places(found: list[Path], places: dict[str, Path | None], ask: str | None) -> None:
    from visionpipe.errors import ParameterError

    if ask is not None and any(places.values()):
        raise ParameterError(
            "an answer is no timeline, and is printed only",
            cure="Leave --ask out, or the output files.",
            subject="--ask",
        )
    for kind, place in places.items():
        if place is None or not _is_file(place, kind):
            continue
        if len(found) > 1:
            raise ParameterError(
                f"one file cannot hold {len(found)} clips", cure="Name a folder.", subject=f"-o {place}"
            )
    stems = [path.stem for path in found]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice and any(places.values()):
        raise ParameterError(
            f"several clips are called {', '.join(twice)}",
            cure="Their outputs would overwrite one another: run them one by one.",
            subject="clips",
        )


def _is_file(place: Path, kind: str) -> bool:
    return place.suffix.lower() == f".{kind}"


def _target(place: Path, kind: str, clip: Path, clips: int) -> Path:
    return place if clips == 1 and _is_file(place, kind) else place / f"{clip.stem}.{kind}"


def _default_journal(places: dict[str, Path | None]) -> Path | None:
    """Beside the first output; none where there is no output."""
    for kind, place in places.items():
        if place is not None:
            folder = place.parent if _is_file(place, kind) else place
            return folder / ".visionpipe-video.journal"
    return None


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _loaded(path: Path) -> Video:
    from visionpipe.clips.load import load_video
    from visionpipe.media import Video

    video = load_video(path)
    assert isinstance(video, Video), "a path is never a link"
    return video


def _print(timeline: Timeline) -> None:
    mark = " (local analysis)" if timeline.local else ""
    typer.echo(f"{timeline.clip}  {timeline.duration}{mark}")
    for span in timeline.spans:
        said = span.text if span.failure is None else f"failed: {span.failure.reason}"
        typer.echo(f"  {span.start} - {span.end}  {said}")
    if timeline.summary:
        typer.echo(f"  {timeline.summary}")


def _write(kind: str, target: Path, clip: Path, timeline: Timeline) -> None:
    from visionpipe.files import replace_file
    from visionpipe.sinks import timelines as subtitles
    from visionpipe.sinks import timelines as timeline_text
    from visionpipe.sinks.storyboard import to_storyboard
    from visionpipe.video.watch import make_thumbnails

    writers = {
        "srt": subtitles.to_srt,
        "vtt": subtitles.to_vtt,
        "md": timeline_text.to_markdown,
        "csv": timeline_text.to_csv,
        "json": timeline_text.to_json,
    }
    if kind == "html":
        text = to_storyboard(timeline, make_thumbnails(_loaded(clip), timeline))
    else:
        text = writers[kind](timeline)
    replace_file(_made(target), text.encode())
    typer.echo(f"written: {target}", err=True)
