"""Call an agent of the service, which has an API of its own: at once, piece by piece, or answered later.

python samples/agents.py receipt_recognition_agent https://example.com/receipt.png
"""

import sys

import visionpipe as vp

agent, *links = sys.argv[1:]

with vp.Client() as client:
    reply = client.agents.invoke(agent, "Read it.", images=links)
    if not reply.done:
        print(f"(it answers later, as {reply.async_id})")
        print(client.agents.wait(agent, reply.async_id, deadline=600))
    else:
        print(reply)
        go_on = reply.conversation_id
        with client.agents.stream(agent, "And the total?", conversation_id=go_on) as stream:
            for piece in stream:
                print(piece, end="", flush=True)
        print()
