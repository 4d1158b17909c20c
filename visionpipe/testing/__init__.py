"""What this package offers for tests of code that uses it.

``visionpipe.testing.sandbox``: a running sandbox as a context manager. ``visionpipe.testing.pytest_plugin``: the
same as a pytest fixture.
"""
