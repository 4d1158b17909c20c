"""``python -m visionpipe``: the command line."""

from visionpipe.cli import main

main()
