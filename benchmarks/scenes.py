"""Scene cuts: ours, and those of PySceneDetect's detectors.

    python benchmarks/scenes.py          on a small labelled set: recall and precision
    python benchmarks/scenes.py --numbers 11 23       the same on others of its kind
    python benchmarks/scenes.py CLIP     on one clip: the cuts, CPU and wall seconds
    python benchmarks/scenes.py made     on a clip of 190 MB that is made, with seven known cuts

A hard cut counts as found within one picture, a gradual one within three of it; a cut too many, or one found
twice, counts against precision. For one clip each way runs in a process of its own, and the seconds are its
whole life's. PySceneDetect is installed as scenedetect-headless, so that it goes with the OpenCV that is here
already.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
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


def pyscenedetect_histogram(path: str) -> list[int]:
    from scenedetect import HistogramDetector, detect

    return [start.frame_num for start, _ in detect(path, HistogramDetector())[1:]]


def pyscenedetect_threshold(path: str) -> list[int]:
    from scenedetect import ThresholdDetector, detect

    return [start.frame_num for start, _ in detect(path, ThresholdDetector())[1:]]


WAYS: dict[str, Callable[[str], list[int]]] = {
    "visionpipe": ours,
    "PySceneDetect, content": pyscenedetect,
    "PySceneDetect, adaptive": pyscenedetect_adaptive,
    "PySceneDetect, histogram": pyscenedetect_histogram,
    "PySceneDetect, threshold": pyscenedetect_threshold,
}


def run_way(way: str, path: str) -> None:
    wall = time.perf_counter()
    cuts = WAYS[way](path)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"cuts": cuts, "cpu": cpu, "wall": time.perf_counter() - wall}))


def labelled(folder: Path, numbers: range) -> None:
    """Recall and precision of every way on the labelled set."""
    from scene_set import KINDS, make_set

    clips = list(make_set(folder, numbers))
    total = sum(len(clip.cuts) for clip in clips)
    print(f"{len(clips)} clips, {total} cuts of {len(KINDS)} kinds")
    for way, find in WAYS.items():
        hits: Counter[str] = Counter()
        too_many: list[str] = []
        for clip in clips:
            left = find(str(clip.path))
            for cut in clip.cuts:
                near = 1 if cut.kind == "hard" else 3
                found = next((at for at in left if cut.first - near <= at <= cut.last + near), None)
                if found is not None:
                    hits[cut.kind] += 1
                    left.remove(found)
            too_many += [f"{clip.name} at {at}" for at in left]
        found_count = hits.total()
        precision = found_count / max(1, found_count + len(too_many))
        of = Counter(cut.kind for clip in clips for cut in clip.cuts)
        kinds = "  ".join(f"{kind} {hits[kind]}/{of[kind]}" for kind in KINDS)
        print(f"{way:26} recall {found_count / total:.3f}  precision {precision:.3f}  {kinds}")
        if too_many and way == "visionpipe":
            print(f"  too many: {', '.join(too_many)}")


def main() -> None:
    if sys.argv[1:2] == ["--way"]:
        run_way(sys.argv[2], sys.argv[3])
        return
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) == 1 or sys.argv[1] == "--numbers":
            numbers = range(int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 1 else range(11)
            labelled(Path(folder), numbers)
            return
        if sys.argv[1] != "made":
            path = Path(sys.argv[1])
        else:
            from clip_files import make_clip

            path = make_clip(Path(folder) / "clip.mp4")
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, str(path)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(f"{way:26} CPU {found['cpu']:6.1f} s  wall {found['wall']:6.1f} s  cuts {found['cuts']}")


if __name__ == "__main__":
    main()
