"""The sender over HTTP, and which sender an endpoint has. The asyncio modules are written, the blocking ones
generated from them; the transports below them are written by hand for each."""
