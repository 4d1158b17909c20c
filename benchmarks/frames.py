"""32 exact frames of a 190 MB clip: ours, OpenCV's set(POS_FRAMES), and a full sequential decode.

    python benchmarks/frames.py [CLIP]

Each way runs in a process of its own; CPU seconds, wall seconds and peak resident memory are its whole
life's. Without a clip one is made first (about a minute).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

COUNT = 32


def ours(path: str) -> list[int]:
    from visionpipe.clips.frames import Even, sample_frames
    from visionpipe.clips.load import load_video
    from visionpipe.media import Video

    video = load_video(path)
    assert isinstance(video, Video)
    return [round(f.time.exact * 25) for f in sample_frames(video, Even(COUNT), max_side=1024)]


def opencv_seeks(path: str) -> list[int]:
    import cv2

    clip = cv2.VideoCapture(path)
    total = int(clip.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = [int((2 * i + 1) * total / (2 * COUNT)) for i in range(COUNT)]
    for number in wanted:
        clip.set(cv2.CAP_PROP_POS_FRAMES, number)
        there, picture = clip.read()
        assert there
        cv2.imencode(".jpg", cv2.resize(picture, (1024, 576), interpolation=cv2.INTER_AREA))
    return wanted


def opencv_sequential(path: str) -> list[int]:
    import cv2

    clip = cv2.VideoCapture(path)
    total = int(clip.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = [int((2 * i + 1) * total / (2 * COUNT)) for i in range(COUNT)]
    left = set(wanted)
    for number in range(total):
        there, picture = clip.read()
        assert there
        if number in left:
            cv2.imencode(".jpg", cv2.resize(picture, (1024, 576), interpolation=cv2.INTER_AREA))
    return wanted


WAYS: dict[str, Callable[[str], list[int]]] = {
    "visionpipe, exact": ours,
    "OpenCV set(POS_FRAMES)": opencv_seeks,
    "OpenCV, all frames in turn": opencv_sequential,
}


def measured(way: str, path: Path) -> dict[str, object]:
    command = [sys.executable, __file__, "--way", way, str(path)]
    found: dict[str, object] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def run_way(way: str, path: str) -> None:
    wall = time.perf_counter()
    frames = WAYS[way](path)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "frames": frames,
                "cpu": used.ru_utime + used.ru_stime,
                "wall": time.perf_counter() - wall,
                "peak_mb": used.ru_maxrss / 1024,
            }
        )
    )


def main() -> None:
    if sys.argv[1:2] == ["--way"]:
        run_way(sys.argv[2], sys.argv[3])
        return
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:
            from clip_files import make_clip

            path = make_clip(Path(folder) / "clip.mp4")
        print(f"{COUNT} frames of {path.stat().st_size / 1e6:.0f} MB")
        results = {way: measured(way, path) for way in WAYS}
    first = results["visionpipe, exact"]
    for way, result in results.items():
        ratio = float(str(first["cpu"])) / float(str(result["cpu"]))
        same = "same frames" if result["frames"] == first["frames"] else "OTHER FRAMES"
        print(
            f"{way:28} CPU {result['cpu']:6.1f} s  wall {result['wall']:6.1f} s  "
            f"peak {result['peak_mb']:4.0f} MB  ours/this {ratio:.2f}  {same}"
        )


if __name__ == "__main__":
    main()
