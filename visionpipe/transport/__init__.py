"""The way to the outside: senders over HTTP and the embedded one, keys, timeouts, secrets kept out of sight.

The only home of httpx, and nothing above ever sees one of its types.
"""
