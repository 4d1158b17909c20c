"""What is known of models and endpoints: limits, encodings, prices, each with its source, and the arithmetic
of tokens and money on top of them.

The facts stand in ``catalog.toml``; ``Registry`` finds them. Nothing is
imported here, so that the package starts without reading the catalog.
"""
