"""The clients and all they call. The asyncio modules are written, the blocking ones generated from them.

Nothing stands here that may not exist twice. Values' classes are in modules that both use, and so
is what is truly different for the two (threads, the caller's functions).
"""
