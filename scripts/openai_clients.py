"""pydantic-ai, instructor and langchain-openai get data and tools from the sandbox's OpenAI dialect.

They ask for older versions of what the tests use, so they live in an environment of their own:

    uv venv /tmp/clients
    uv pip install --python /tmp/clients/bin/python "pydantic-ai-slim[openai]" instructor langchain-openai
    python scripts/openai_clients.py /tmp/clients/bin/python
"""

from __future__ import annotations

import subprocess
import sys

from visionpipe.testing.sandbox import running_sandbox

CLIENTS = """
import sys
from pydantic import BaseModel
url, key = sys.argv[1:]
class City(BaseModel):
    name: str
    people: int
calls = []
def weather(city: str) -> str:
    "Tell the weather."
    calls.append(city); return "rain"
# pydantic-ai
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
model = OpenAIChatModel("glm-4.6v", provider=OpenAIProvider(base_url=url, api_key=key))
agent = Agent(model, output_type=City, tools=[weather], system_prompt="Be brief.")
print("pydantic-ai", agent.run_sync("A city?").output, calls)
# instructor
import instructor, openai
raw = openai.OpenAI(base_url=url, api_key=key)
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    asked = instructor.from_openai(raw, mode=mode).chat.completions.create
    got = asked(model="glm-4.6v", response_model=City, messages=[{"role": "user", "content": "A city?"}])
    print("instructor", mode, got)
# langchain
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(model="glm-4.6v", base_url=url, api_key=key)
for method in ("json_schema", "function_calling"):
    print("langchain", method, llm.with_structured_output(City, method=method).invoke("A city?"))
print("langchain tools", llm.bind_tools([weather]).invoke("Weather?").tool_calls)
"""


def main() -> int:
    """Run them with the interpreter that is named; 0 where each of the six got its data."""
    with running_sandbox() as sandbox:
        run = subprocess.run(
            [sys.argv[1], "-c", CLIENTS, sandbox.openai_url, sandbox.key],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    sys.stdout.write(run.stdout)
    sys.stderr.write(run.stderr)
    got = run.stdout.count("name='example' people=1") + run.stdout.count("'args': {'city': 'example'}")
    return run.returncode or int(got != 6)


if __name__ == "__main__":
    sys.exit(main())
