"""Ask, run the functions the model asks for, tell it the results, until it answers."""

from __future__ import annotations

from visionpipe.client._async.calls import AsyncCalls
from visionpipe.client.preparation import Prepared
from visionpipe.client.threads import call_function_async
from visionpipe.client.tool_loop import Exchange, ToolLimits, ToolLoop
from visionpipe.errors import VisionPipeError


async def run_tools_async(calls: AsyncCalls, prepared: Prepared, limits: ToolLimits) -> Exchange:
    """Ask what was prepared, and run its functions until there is an answer.

    Raises:
        UnreadableAnswerError: the arguments of one function were broken twice in a row (code
            "tool_arguments"); ``reply`` holds what was done so far.
        AnswerError: the limits were reached (code "tool_limit"), or as for any call.
        VisionPipeError: as for any call; notes tell which functions had been run.
    """
    loop = ToolLoop(prepared, limits, calls.clock)
    try:
        while True:
            asked = loop.next_request()
            left = loop.left()
            patient = calls.within(left) if prepared.functions else calls
            reply = await patient.whole(asked, prepared.model)
            wanted = loop.take(reply)
            if not wanted:
                return loop.exchange()
            for call in wanted:
                loop.left()
                chosen = loop.chosen(call)
                if chosen is not None:
                    called = await call_function_async(*chosen)
                    loop.run(call, called)
    except VisionPipeError as error:
        loop.complete_error(error)
        raise
