"""A job over the rows of an engine: Ray Data and Daft. Nothing below imports either."""
