"""What ``--help`` shows of a command: its options in groups, and examples.

Plain text, because the boxes of a richer help cost a third of the time until its first line.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

GROUPS: dict[str, tuple[str, ...]] = {
    "Question": ("prompt", "preset", "schema", "lang", "system", "ask", "quality"),
    "Model": (
        *("model", "base_url", "catalog", "header", "max_tokens", "temperature", "top_p", "thinking"),
        *("reasoning_effort", "extra"),
    ),
    "Images and clips": (
        *("column", "max_side", "max_pixels", "fetch", "allow_private", "publish", "near_duplicates"),
        *("longest", "frames_per_span", "threshold", "min_scene", "summary", "over_limit", "inline_video"),
    ),
    "Outputs": (
        *("output", "journal", "naming", "existing", "include_skipped", "prefix", "suffix", "prune"),
        "images",
    ),
    "Pace and limits": (
        *("concurrency", "rpm", "tpm", "budget", "budget_tokens", "budget_requests", "item_seconds"),
        *("job_seconds", "outage_seconds", "via", "count", "sample", "seed"),
    ),
    "Again": ("retry_failed", "force"),
}
"""The heading of each group, and the parameters under it; what is in none stands under "Options"."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "describe": (
        "visionpipe describe cat.jpg",
        "visionpipe describe before.png after.png -p 'What changed?'",
        "cat photo.jpg | visionpipe describe - --json",
    ),
    "caption": (
        "visionpipe caption photos/ -o captions.jsonl",
        "visionpipe caption photos/ -o txt: -o gallery.html --preset alt_text",
        "visionpipe caption photos/ -o both.csv -o txt: --preset caption --preset tags",
        "visionpipe caption list.csv -o out.csv -p 'Describe the {product}.' --budget '5 CNY'",
        "visionpipe caption photos/ -o captions.jsonl --sample 200",
        "find . -name '*.jpg' -print0 | visionpipe caption - -o out.jsonl",
    ),
    "check": (
        "visionpipe check photos/ --model glm-4v-plus-0111",
        "visionpipe check photos/ -o captions.jsonl -q",
    ),
    "export": (
        "visionpipe export captions.jsonl.journal -o captions.csv",
        "visionpipe export captions.jsonl.journal -o xmp: --images /mnt/photos",
    ),
    "models": ("visionpipe models", "visionpipe models glm-4.6v", "visionpipe models --endpoints --json"),
    "sandbox": (
        "visionpipe sandbox --port 8011",
        "visionpipe sandbox --answers saw --log requests.jsonl",
    ),
    "status": ("visionpipe status captions.jsonl.journal",),
    "video": (
        "visionpipe video clip.mp4 -o clip.srt -o clip.html",
        "visionpipe video clips/ -o srt:subtitles/ --model glm-4.6v",
        "visionpipe video clip.mp4 --ask 'When does it rain?'",
    ),
}


class GroupedCommand(TyperCommand):
    """A command whose help shows its options by :data:`GROUPS`, and its :data:`EXAMPLES`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments, then each group."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        rows |= {heading: [] for heading in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                rows["Arguments"].append(record)
                continue
            under = (heading for heading, names in GROUPS.items() if parameter.name in names)
            rows[next(under, "Options")].append(record)
        for heading in ("Arguments", *GROUPS, "Options"):
            if rows[heading]:
                with formatter.section(heading):
                    formatter.write_dl(rows[heading])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the examples, each in one line of its own, so that it can be copied."""
        examples = EXAMPLES.get(self.name or "", ())
        if examples:
            formatter.write_paragraph()
            formatter.write("Examples:\n")
            for example in examples:
                formatter.write(f"  {example}\n")
