"""What the service has besides chat: tasks, files, batches, token counts, fine-tuning, agents.

Each surface is two modules: the calls as generators without I/O, and the thin faces that drive them.
"""
