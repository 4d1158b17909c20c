"""``visionpipe video``: clips in; timelines, subtitles and storyboards out. Resumable span by span."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import unquote, urlsplit

import typer

from visionpipe.cli import options as connection
from visionpipe.cli import options as publishing

if TYPE_CHECKING:
    from visionpipe.client import Client
    from visionpipe.client.options import CallOptions
    from visionpipe.errors import VisionPipeError
    from visionpipe.media import Video
    from visionpipe.results import ItemResult
    from visionpipe.sinks.ownership import Written
    from visionpipe.video.spans import SqliteSpanJournal
    from visionpipe.video.timeline import Timeline

Clips = Annotated[
    list[str],
    typer.Argument(help="Clips, folders of them, links to clips, or places in an object store (s3://...)."),
]
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

Track = Annotated[
    int | None,
    typer.Option(help="Which of a clip's picture tracks, from 0; default the one that players show.", min=0),
]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Let links reach private and loopback addresses.")
]

Existing_ = Annotated[
    Literal["keep", "overwrite"],
    typer.Option(
        "--existing",
        help="Files in an output's place that somebody else wrote or edited: keep, or overwrite (a numbered "
        "backup stays).",
    ),
]

_KINDS = ("srt", "vtt", "html", "md", "csv", "json")


def video(
    clips: Clips,
    output: Outputs_ = None,
    existing: Existing_ = "keep",
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
    track: Track = None,
    allow_private: AllowPrivate = False,
    model: connection.Model = None,
    base_url: connection.BaseUrl = None,
    catalog: connection.Catalog = None,
    header: connection.Header = None,
    sticky: connection.Sticky = False,
    lang: connection.Lang = None,
    max_tokens: connection.MaxTokens = None,
    temperature: connection.Temperature = None,
    top_p: connection.TopP = None,
    thinking: connection.Thinking = None,
    reasoning_effort: connection.Effort = None,
    system: connection.System = None,
    extra: connection.Extra = None,
) -> None:
    """Tell clips scene by scene. With several clips, outputs are folders. Run again to go on.

    A clip that fails costs only itself.
    """
    from visionpipe.cli.outputs import kept_line
    from visionpipe.clips.cuts import SceneRules
    from visionpipe.errors import InputError, VisionPipeError
    from visionpipe.sinks.timelines import to_json
    from visionpipe.video.spans import SqliteSpanJournal, WatchOptions

    found, unfound = _found(clips)
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
    call["over_limit"] = over_limit
    kept_at = journal or _default_journal(places)
    failed = len(unfound)
    for error in unfound:
        typer.echo(f"failed: {error}", err=True)
    with ExitStack() as stack:
        client = stack.enter_context(
            connection.make_client(model, base_url, catalog, lang, header, sticky=sticky)
        )
        kept = stack.enter_context(SqliteSpanJournal(_made(kept_at))) if kept_at else None
        wanted = WatchOptions(
            longest=longest,
            scenes=SceneRules(threshold=threshold, min_length=min_scene),
            frames_per_span=frames_per_span,
            language=client.settings.lang,
            summary=summary,
            concurrency=concurrency,
        )
        record = _WrittenTimelines(kept, kept_at) if kept is not None and kept_at is not None else None
        if record is not None and existing == "keep" and len(found) == 1:
            for target in _targets(places, found[0], 1).values():
                record.refuse_foreign(target)
        left = 0
        downloads = Path(stack.enter_context(TemporaryDirectory(prefix="visionpipe-")))
        for given in found:
            targets = _targets(places, given, len(found))
            if record is not None and existing == "keep":
                ours = {kind: target for kind, target in targets.items() if not record.is_foreign(target)}
                left += len(targets) - len(ours)
                if targets and not ours:
                    continue  # nothing would come of asking
                targets = ours
            try:
                clip = _local(given, downloads, track, allow_private)
                if ask is not None:
                    _answer(client, ask, given, clip, call)
                    continue
                timeline = client.watch(clip, wanted, journal=kept, **call)
                if as_json:
                    typer.echo(to_json(timeline).rstrip())
                else:
                    _print(timeline)
                for kind, target in targets.items():
                    assert record is not None, "outputs have a journal"
                    record.make_way(target)
                    _write(kind, target, clip, timeline)
                    record.remember_file(target)
            except VisionPipeError as error:
                # One bad clip is no reason to leave the others; what would fail them all is.
                if error.scope == "job" or (len(found) == 1 and isinstance(error, InputError)):
                    raise
                typer.echo(f"failed: {error}", err=True)
                failed += 1
                continue
            failed += bool(timeline.failed)
    total = len(found) + len(unfound)
    plural = "" if total == 1 else "s"
    typer.echo(f"{total} clip{plural}: {total - failed} done, {failed} failed or incomplete", err=True)
    if left:
        typer.echo(kept_line(left), err=True)
    if failed:
        raise typer.Exit(1)


class _WrittenTimelines:
    """Which files the command wrote, noted beside the spans; a ``WrittenRecord``.

    Args:
        journal: of the spans.
        path: its file; places below its folder are noted from there.
    """

    def __init__(self, journal: SqliteSpanJournal, path: Path) -> None:
        self._journal = journal
        self._folder = Path(os.path.realpath(path.parent))

    def find(self, place: Path) -> Written | None:
        import json

        from visionpipe.files import FileMark
        from visionpipe.sinks.ownership import Written

        noted = self._journal.get(self._key(place))
        return None if noted is None else Written(FileMark(*json.loads(noted)))

    def remember(self, place: Path, written: Written) -> None:
        import json

        mark = written.mark
        self._journal.put(self._key(place), json.dumps([mark.size, mark.modified_ns, mark.digest]))

    def earlier(self, source: str) -> tuple[ItemResult, ...]:
        return ()

    def is_foreign(self, target: Path) -> bool:
        """Whether somebody else wrote or edited what is there."""
        from visionpipe.sinks.ownership import foreign_files

        return bool(foreign_files("timeline", target, self))

    def refuse_foreign(self, target: Path) -> None:
        """Raises OutputError where somebody else wrote or edited what is there."""
        from visionpipe.sinks.ownership import refuse_foreign

        refuse_foreign("timeline", target, self)

    def make_way(self, target: Path) -> None:
        """Keeps a backup of what somebody else wrote."""
        from visionpipe.files import back_up
        from visionpipe.sinks.ownership import place_of

        if self.is_foreign(target):
            back_up(place_of(target))

    def remember_file(self, target: Path) -> None:
        """Notes what was written just now."""
        from visionpipe.files import mark_file, output_errors
        from visionpipe.sinks.ownership import Written, place_of

        with output_errors(target):
            self.remember(place_of(target), Written(mark_file(place_of(target))))

    def _key(self, place: Path) -> str:
        below = place.relative_to(self._folder) if place.is_relative_to(self._folder) else place
        return f"written:{os.fsencode(below).hex()}"


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


def _found(given: list[str]) -> tuple[list[str], list[VisionPipeError]]:
    """Paths and links of the clips, and what is wrong with those sources that have none."""
    from visionpipe.clips.load import find_clips
    from visionpipe.errors import UnreadableSourceError, VisionPipeError
    from visionpipe.files.stores import scheme_of
    from visionpipe.images.load import path_of_file_url

    found: list[str] = []
    unfound: list[VisionPipeError] = []
    for source in given:
        if _is_link(source):
            found.append(source)
            continue
        try:
            if scheme_of(source):
                inside = _stored(source)
            else:
                path = Path(path_of_file_url(source) if source[:5].lower() == "file:" else source)
                inside = [str(clip) for clip in find_clips(path)] if path.is_dir() else [str(path)]
            if not inside:
                raise UnreadableSourceError(
                    "there is no clip in this folder",
                    cure="Name a folder with clips, or a clip.",
                    subject=source,
                )
        except VisionPipeError as error:
            if len(given) == 1:
                raise
            unfound.append(error)
            continue
        found += inside
    return found, unfound


def _stored(address: str) -> list[str]:
    """A clip of an object store, or those below the folder there that ends in a slash."""
    from visionpipe.clips.load import CLIP_SUFFIXES
    from visionpipe.files.stores import open_place, open_store

    if address.endswith("/"):
        return [
            f"{address}{found.name}"
            for found in open_store(address).find()
            if PurePosixPath(found.name).suffix.lower() in CLIP_SUFFIXES
        ]
    store, name = open_place(address)
    store.open(name).close()
    return [address]


def _is_link(source: str) -> bool:
    return source[:8].lower().startswith(("http://", "https://"))


def _is_remote(source: str) -> bool:
    from visionpipe.files.stores import scheme_of

    return _is_link(source) or bool(scheme_of(source))


def _local(given: str, downloads: Path, track: int | None, allow_private: bool) -> str | Video:
    """The clip where it lies on this machine; one behind a link or in a store is downloaded first."""
    from visionpipe.clips.load import load_video
    from visionpipe.media import Video

    if not _is_remote(given) and track is None:
        return given
    path = Path(given)
    if _is_remote(given):
        path = downloads / f"{len(list(downloads.iterdir()))}-{_name(given)}"
    if _is_link(given):
        from visionpipe.client.clips import fetch_clip

        fetch_clip(given, path, allow_private=allow_private)
    elif _is_remote(given):
        from visionpipe.files.stores import open_place

        store, name = open_place(given)
        with store.open(name) as file, path.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    loaded = load_video(path, track=track)
    assert isinstance(loaded, Video), "a path is never a link"
    return replace(
        loaded, name=given.partition("?")[0].partition("#")[0] if _is_remote(given) else loaded.name
    )


def _name(given: str) -> str:
    """The clip's file name; of a link or a store's address, that of its path."""
    if not _is_remote(given):
        return Path(given).name
    return PurePosixPath(unquote(urlsplit(given).path)).name[-100:].replace("\0", "") or "clip"


def _answer(client: Client, question: str, given: str, clip: str | Video, call: CallOptions) -> None:
    answer = client.ask_clip(question, clip, **call)
    mark = " (local analysis)" if answer.reply.local else ""
    typer.echo(f"{given}{mark}")
    typer.echo(f"  {answer.reply.text}")
    if answer.rests_on:
        typer.echo(f"  rests on: {', '.join(str(frame.time) for frame in answer.rests_on)}")


def _check_places(found: list[str], places: dict[str, Path | None], ask: str | None) -> None:
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
    stems = [Path(_name(given)).stem for given in found]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice and any(places.values()):
        raise ParameterError(
            f"several clips are called {', '.join(twice)}",
            cure="Their outputs would overwrite one another: run them one by one.",
            subject="clips",
        )


def _is_file(place: Path, kind: str) -> bool:
    return place.suffix.lower() == f".{kind}"


def _target(place: Path, kind: str, given: str, clips: int) -> Path:
    return place if clips == 1 and _is_file(place, kind) else place / f"{Path(_name(given)).stem}.{kind}"


def _targets(places: dict[str, Path | None], given: str, clips: int) -> dict[str, Path]:
    """The file of each kind that is wanted of a clip."""
    return {kind: _target(place, kind, given, clips) for kind, place in places.items() if place is not None}


def _default_journal(places: dict[str, Path | None]) -> Path | None:
    """Beside the first output; none where there is no output."""
    for kind, place in places.items():
        if place is not None:
            folder = place.parent if _is_file(place, kind) else place
            return folder / ".visionpipe-video.journal"
    return None


def _made(path: Path) -> Path:
    from visionpipe.files import output_errors

    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _print(timeline: Timeline) -> None:
    mark = " (local analysis)" if timeline.local else ""
    typer.echo(f"{timeline.clip}  {timeline.duration}{mark}")
    for span in timeline.spans:
        said = span.text if span.failure is None else f"failed: {span.failure.reason}"
        typer.echo(f"  {span.start} - {span.end}  {said}")
    if timeline.summary:
        typer.echo(f"  {timeline.summary}")


def _write(kind: str, target: Path, clip: str | Video, timeline: Timeline) -> None:
    from visionpipe.files import replace_file
    from visionpipe.sinks import timelines as subtitles
    from visionpipe.sinks import timelines as timeline_text
    from visionpipe.sinks.timelines import to_storyboard
    from visionpipe.video.for_client import loaded_clip
    from visionpipe.video.watch import make_thumbnails

    writers = {
        "srt": subtitles.to_srt,
        "vtt": subtitles.to_vtt,
        "md": timeline_text.to_markdown,
        "csv": timeline_text.to_csv,
        "json": timeline_text.to_json,
    }
    if kind == "html":
        text = to_storyboard(timeline, make_thumbnails(loaded_clip(clip), timeline))
    else:
        text = writers[kind](timeline)
    replace_file(_made(target), text.encode())
    typer.echo(f"written: {target}", err=True)
