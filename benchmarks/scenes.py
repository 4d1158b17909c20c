"""Scene cuts of a 190 MB clip with seven known ones: ours, and PySceneDetect's content detector.

    python benchmarks/scenes.py [CLIP]

Each runs in a process of its own; CPU and wall seconds are its whole life's. PySceneDetect is installed as
scenedetect-headless, so that it goes with the OpenCV that is here already.
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

RATE = 25


def ours(path: str) -> list[int]:
    from visionpipe.clips.load import load_video
    from visionpipe.clips.scenes import find_scenes
    from visionpipe.media import Video

    video = load_video(path)
    assert isinstance(video, Video)
    return [round(scene.start.exact * RATE) for scene in find_scenes(video)[1:]]


def pyscenedetect(path: str) -> list[int]:
    from scenedetect import ContentDetector, detect

    return [start.frame_num for start, _ in detect(path, ContentDetector())[1:]]


def pyscenedetect_adaptive(path: str) -> list[int]:
    from scenedetect import AdaptiveDetector, detect

    return [start.frame_num for start, _ in detect(path, AdaptiveDetector())[1:]]


WAYS: dict[str, Callable[[str], list[int]]] = {
    "visionpipe": ours,
    "PySceneDetect, content": pyscenedetect,
    "PySceneDetect, adaptive": pyscenedetect_adaptive,
}


def run_way(way: str, path: str) -> None:
    wall = time.perf_counter()
    cuts = WAYS[way](path)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"cuts": cuts, "cpu": cpu, "wall": time.perf_counter() - wall}))


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
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, str(path)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(f"{way:24} CPU {found['cpu']:6.1f} s  wall {found['wall']:6.1f} s  cuts {found['cuts']}")


if __name__ == "__main__":
    main()
