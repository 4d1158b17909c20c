"""Names the extras, one a line; or, given one, imports what it brings and says so.

python scripts/extras.py            the extras that users are told to install, from the package's own cures
python scripts/extras.py parquet    import its packages, in an environment where just this extra is installed
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text("utf-8"))
FOR_MANY = ("all", "dev")
MODULES = {
    "daft": ("daft", "visionpipe.adapters.daft"),
    "ray": ("ray", "visionpipe.adapters.ray"),
    "cloud": ("fsspec", "s3fs", "gcsfs"),
    "hf": ("fsspec", "huggingface_hub"),
    "heif": ("pillow_heif",),
    "lance": ("lance", "pyarrow"),
    "mcp": ("mcp", "visionpipe.serve.mcp"),
    "ocr": ("rapidocr", "onnxruntime", "cv2"),
    "otel": ("opentelemetry.trace",),
    "parquet": ("pyarrow",),
    "publish": ("fsspec", "s3fs"),
    "redis": ("redis",),
    "sandbox": ("starlette", "uvicorn", "multipart"),
    "serve": ("starlette", "uvicorn"),
    "socks": ("socksio",),
}


def main() -> None:
    if len(sys.argv) < 2:
        print(
            *(name for name in PROJECT["project"]["optional-dependencies"] if name not in FOR_MANY), sep="\n"
        )
        return
    extra = sys.argv[1]
    for module in ("visionpipe", *MODULES[extra]):
        importlib.import_module(module)
    print(f"{extra}: {', '.join(MODULES[extra])} can be imported")


if __name__ == "__main__":
    main()
