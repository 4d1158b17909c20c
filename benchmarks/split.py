"""A 450 MB clip cut at key frames into parts under the 200 MB limit, by stream copy: seconds, sizes, memory,
and what became of the cuts at the joins.

    python benchmarks/split.py [CLIP]

Runs in one process of its own; the clip is made where none is given, which takes minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

LIMIT = 200 * 1024**2


def run(clip: str) -> None:
    from visionpipe.clips.load import load_video
    from visionpipe.clips.scenes import find_scenes
    from visionpipe.clips.split import split_video
    from visionpipe.media import Video

    with tempfile.TemporaryDirectory(dir=Path(clip).parent) as folder:
        begun, cpu = time.perf_counter(), time.process_time()
        video = load_video(clip)
        assert isinstance(video, Video)
        parts = split_video(video, Path(folder), below_bytes=LIMIT)
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        status = Path("/proc/self/status").read_text("utf-8")
        [peak] = [int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")]
        joins = [part.offset.exact for part in parts[1:]]
        whole = [scene.start.exact for scene in find_scenes(video)[1:]]
        found = {part.offset.exact + scene.start.exact for part in parts for scene in find_scenes(part)}
    figures = {
        "megabytes": round(video.size / 1e6, 1),
        "seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_mb": peak,
        "parts_mb": [round(part.size / 1e6, 1) for part in parts],
        "under_the_limit": all(part.size < LIMIT for part in parts),
        "joined_without_gap": all(
            abs(a.offset.exact + a.duration.exact - b.offset.exact) < 0.04 for a, b in pairwise(parts)
        ),
        "joins_at_s": [float(join) for join in joins],
        "cuts": len(whole),
        "cuts_found_in_parts": len(set(whole) & (found | set(joins))),
    }
    print(json.dumps(figures, indent=1))


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = sys.argv[1] if len(sys.argv) > 1 else f"{folder}/clip.mp4"
        if not Path(clip).exists():
            maker = Path(__file__).parent / "clip_files.py"
            subprocess.run([sys.executable, maker, clip, "450"], check=True)
        subprocess.run([sys.executable, __file__, "--run", clip], check=True)


if __name__ == "__main__":
    main()
