"""Jobs through the service's own batch files."""
