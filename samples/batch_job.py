"""Caption a folder through the service's batch files, at half the price. Kill it whenever you like: the same
command goes on where it was.

python samples/batch_job.py photos/ captions.journal
"""

import sys

import visionpipe as vp

folder, journal = sys.argv[1:]

with vp.Client("glm-4v-plus-0111") as client:
    job = vp.Pipeline(vp.presets.alt_text, client=client, journal=journal, via="batch")
    for result in job.run(folder):
        print(f"{result.source}: {result.caption or result.failure or result.reason}")
