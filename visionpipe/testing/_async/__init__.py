"""The clients for tests: the asyncio ones are written, the blocking ones generated from them."""
