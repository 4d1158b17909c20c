"""Ask a vision model on a server of your own: llama.cpp, Ollama, vLLM, or any with OpenAI's form.

python samples/local_server.py llamacpp some-model samples/coffee.png
python samples/local_server.py http://127.0.0.1:8000/v1 some-model samples/coffee.png
"""

import sys

import visionpipe as vp

base_url, model, *images = sys.argv[1:]

with vp.Client(base_url=base_url, model=model) as client:
    try:
        with client.stream("What is in this picture?", *images) as stream:
            for piece in stream:
                sys.stdout.write(piece)
    except vp.VisionPipeError as error:
        # A server without its image projector, for one, is told from one that is only busy.
        sys.exit(f"{error.reason}\n{error.cure}")
sys.stdout.write(f"\n({stream.reply.model}, attempts: {len(stream.reply.attempts)})\n")
