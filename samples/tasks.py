"""Hand questions in now and take the answers later, in this process or another. Tasks never expire.

python samples/tasks.py submit samples/coffee.png samples/chelsea.png
python samples/tasks.py fetch 8239375684858666781 8239375684858666782
"""

import sys

import visionpipe as vp

what, *rest = sys.argv[1:] or ["submit", "samples/coffee.png"]

with vp.Client() as client:
    if what == "submit":
        for image in rest:
            print(client.tasks.submit("What is it?", image).id)
    else:
        for task_id, answer in zip(rest, client.tasks.gather(rest, deadline=600), strict=True):
            print(f"{task_id}: {answer}")
