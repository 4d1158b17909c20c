"""Print an answer while the model writes it; what came is kept where the stream breaks.

python samples/stream.py samples/coffee.png
"""

import sys

import visionpipe as vp

images = sys.argv[1:] or ["samples/coffee.png"]
timeouts = vp.Timeouts(first_token=120, idle=30)

with vp.Client(timeouts=timeouts) as client, client.stream("What is on the table?", *images) as stream:
    try:
        for piece in stream:
            print(piece, end="", flush=True)
    except vp.AnswerError as error:
        got = error.reply.text if error.reply else ""
        sys.exit(f"\n{error.reason}, after {len(got)} characters. {error.cure}")
    print()
    if stream.reply.reasoning:
        print(f"(it thought: {stream.reply.reasoning})")
    print(f"({stream.reply.model}, {stream.reply.usage}, {stream.reply.cost})")
