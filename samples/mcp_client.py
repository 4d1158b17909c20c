"""Have an agent's tools: start `visionpipe mcp` for one folder, and call it over stdio as an agent would.

python samples/mcp_client.py samples coffee.png
"""

import asyncio
import os
import sys

from mcp import Client, StdioServerParameters

root, *images = sys.argv[1:] or ["samples", "coffee.png"]


async def main() -> None:
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "visionpipe", "mcp", "--root", root], env=dict(os.environ)
    )
    async with Client(server) as client:
        for tool in (await client.list_tools()).tools:
            print(f"{tool.name}: {tool.description}")
        for arguments in ({"images": images}, {"images": ["../outside.png"]}):
            result = await client.call_tool("describe", arguments)
            # An error is a result too: its text says what to do.
            print("refused:" if result.is_error else "answer:", result.content[0].text)
            print("cost:", result.structured_content.get("cost"))


asyncio.run(main())
