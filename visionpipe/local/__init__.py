"""The embedded engine: what answers where there is no API key.

Nothing here opens a socket, and nothing is claimed that the two small networks are not sure of.
"""
