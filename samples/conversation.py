"""Talk about a picture over several turns, keep the talk in a file, and try another way from the same point.

python samples/conversation.py samples/chelsea.png talk.json
"""

import sys

import visionpipe as vp

image = sys.argv[1] if sys.argv[1:] else "samples/chelsea.png"
path = sys.argv[2] if sys.argv[2:] else "talk.json"

with vp.Client() as client:
    talk = client.conversation(system="You are a patient art teacher. Answer in one sentence.")
    print(talk.ask("What do you see?", image))
    reply = talk.ask("Which colour stands out?")
    print(reply)
    for change in reply.adjustments:  # images or turns that the model had no room for
        print(f"({change})")
    talk.save(path)

    other = client.conversation(load=path)
    print(other.fork().ask("Describe it to a child."))
    print(other.fork().ask("Describe it to a painter."))
    print(f"({len(other.messages)} messages in {path})")
