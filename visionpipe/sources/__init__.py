"""Where a run's items come from, and where media are put for a service to fetch."""
