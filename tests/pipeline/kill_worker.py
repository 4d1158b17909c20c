"""A program that works a folder off, made to be killed: ``python -m tests.pipeline.kill_worker``.

Arguments: folder, journal, base URL, key. It says ``begun`` at its first result and ends with the summary.
"""

from __future__ import annotations

import json
import sys

from visionpipe.client import Client
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.stages.retry import RetryPolicy


def main() -> None:

    folder, journal, base_url, key = sys.argv[1:]
    retry = RetryPolicy(attempts=20, first_wait=0.01, longest_wait=0.05, jitter=0.04)
    with Client("glm-4.6v", base_url=f"bigmodel+{base_url}", api_key=key, retry=retry) as client:
        run = Pipeline("What is it?", client=client, journal=journal, concurrency=16).run(folder)
        for number, _ in enumerate(run):
            if number == 0:
                print("begun", flush=True)  # noqa: T201 (the parent waits for this line)
    if run.summary is None:
        raise RuntimeError("the run did not end")
    print(json.dumps(run.summary.to_json()), flush=True)  # noqa: T201 (the parent reads it)


if __name__ == "__main__":
    main()
