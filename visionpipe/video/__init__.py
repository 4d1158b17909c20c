"""A clip as a timeline: times from the container, words from the model."""
