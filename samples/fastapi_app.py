"""A web service around one AsyncClient, which all of its requests share and which is closed with it.

python samples/fastapi_app.py 8020
curl -F image=@samples/coffee.png http://127.0.0.1:8020/describe
"""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import JSONResponse

import visionpipe as vp

log = logging.getLogger("app")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict]:
    async with vp.AsyncClient() as client:
        log.info("client opened")
        yield {"client": client}
    log.info("client closed")


app = FastAPI(lifespan=lifespan)


@app.post("/describe")
async def describe(image: UploadFile, request: Request) -> dict:
    reply = await request.state.client.describe(await image.read())
    return reply.to_json()


@app.exception_handler(vp.VisionPipeError)
async def failed(request: Request, error: vp.VisionPipeError) -> JSONResponse:
    # The caller's image, or the service behind us: the error knows, and says what to do.
    status = 422 if isinstance(error, vp.InputError | vp.CapabilityError) else 502
    return JSONResponse({"error": error.code, "reason": error.reason, "cure": error.cure}, status)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    uvicorn.run(app, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8020, log_config=None)
