"""Makes the large clips that the video benchmarks read: film-like pictures, cuts at known frames, real
group sizes. Run with a path: python benchmarks/clip_files.py /tmp/clip.mp4 190
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

SAMPLE = Path(__file__).parent.parent / "samples" / "bigbuckbunny.mp4"
RATE = 25
CUT_SECONDS = (9.0, 18.4, 26.0, 37.2, 45.6, 56.0, 66.8)
SECONDS = 76


def make_clip(path: Path, megabytes: int = 190) -> Path:
    """Encodes 76 s of 1080p H.264 (B-frames, a key frame a second), cut at CUT_SECONDS, about so large."""
    with av.open(str(SAMPLE)) as sample:
        shots = [
            frame.reformat(1920, 1080, "yuv420p", interpolation="BICUBIC").to_ndarray()
            for number, frame in enumerate(sample.decode(video=0))
            if number % 4 == 0
        ]
    shots += shots[-2:0:-1]
    grain = np.random.default_rng(1).integers(0, 28, (1200, 2100), np.uint8)
    bounds = [0, *(round(s * RATE) for s in CUT_SECONDS), SECONDS * RATE]
    rate = megabytes * 8_000_000 // SECONDS
    options = {"preset": "veryfast", "bf": "3", "nal-hrd": "cbr", "maxrate": str(rate), "bufsize": str(rate)}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.gop_size, stream.bit_rate = 25, rate
        for scene, (first, last) in enumerate(pairwise(bounds)):
            for number in range(first, last):
                picture = shots[number % len(shots)].copy()
                luma, chroma = picture[:1080], picture[1080:]
                # Every scene is the same film: upside down, in other colours, or as a negative.
                if scene % 2:
                    luma[:] = luma[::-1].copy()
                if scene % 3 == 1:
                    chroma[:] = 255 - chroma
                if scene % 4 > 1:
                    luma[:] = 235 - luma
                dx, dy = number * 37 % 180, number * 53 % 120
                cv2.add(luma, grain[dy : dy + 1080, dx : dx + 1920], dst=luma)
                frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
                out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


if __name__ == "__main__":
    made = make_clip(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 190)
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")
