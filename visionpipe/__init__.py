"""visionpipe."""
