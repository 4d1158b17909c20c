"""Jobs over many items: concurrency, journal, budget and progress, with no knowledge of HTTP."""
