"""A job through the service's own batch files, at its price for them: ``ProviderBatch`` in ``job``.

The same plan, journal and results as :mod:`visionpipe.pipeline.pipeline`; each goes on where the other was.
"""
