"""The house holds: imports run downwards and in no circle, and each heavy library has its one home."""

from __future__ import annotations

from scripts.house import (
    PACKAGE,
    arrows_between,
    circles,
    folder_of,
    imports,
    is_generated,
    modules,
)

LAYERS = {
    "errors": 0,
    "values": 0,
    "plugins": 0,
    "logs": 0,
    "media": 1,
    "request": 1,
    "reply": 1,
    "results": 1,
    "registry": 1,
    "files": 1,
    "store": 1,
    "images": 2,
    "clips": 2,
    "sources": 2,
    "prompts": 2,
    "stages": 3,
    "wire": 3,
    "transport": 4,
    "local": 4,
    "video": 4,
    "client": 5,
    "pipeline": 6,
    "sinks": 7,
    "sandbox": 7,
    "serve": 8,
    "adapters": 8,
    "cli": 8,
    "testing": 8,
    "__main__": 8,
}

PIXEL_HOMES = ("images/", "clips/", "local/", "sinks/html.py", "sinks/webdataset.py", "testing/")
HOMES = {
    "httpx": ("transport/",),
    "PIL": PIXEL_HOMES,
    "cv2": PIXEL_HOMES,
    "av": PIXEL_HOMES,
    "numpy": (*PIXEL_HOMES, "pipeline/part_index.py", "pipeline/parts.py"),
    "ray": ("adapters/",),
    "daft": ("adapters/",),
}
MOST_LINES = 800
MODULES = modules()


def test_imports_run_downwards() -> None:
    found = [
        f"{module} imports {each.module}, which lies above it"
        for module, path in MODULES.items()
        if module != "visionpipe"  # the public names, looked up lazily from everywhere
        for each in imports(path, MODULES)
        if each.module.startswith("visionpipe.") and not each.typing_only
        if LAYERS[folder_of(each.module)] > LAYERS[folder_of(module)]
    ]
    assert found == []


def test_nothing_imports_in_a_circle() -> None:
    between, folders = arrows_between()
    assert circles(between) == []
    assert circles(folders) == []


def test_heavy_libraries_stay_at_home() -> None:
    found = [
        f"{path.relative_to(PACKAGE)} imports {each.module}, which lives in {homes}"
        for path in MODULES.values()
        for each in imports(path, MODULES)
        if (homes := HOMES.get(each.module.split(".")[0])) is not None
        if not path.relative_to(PACKAGE).as_posix().startswith(homes)
    ]
    assert found == []


def test_sinks_and_pipeline_do_not_know_each_other() -> None:
    apart = {
        "visionpipe.sinks.": ("visionpipe.pipeline",),
        "visionpipe.pipeline.": ("visionpipe.sinks", "visionpipe.transport"),
    }
    found = [
        f"{module} imports {each.module}"
        for module, path in MODULES.items()
        for start, others in apart.items()
        if module.startswith(start)
        for each in imports(path, MODULES)
        if each.module.startswith(others)
    ]
    assert found == []


def test_every_folder_has_a_layer() -> None:
    assert {folder_of(module) for module in MODULES} - {"visionpipe"} == set(LAYERS)


def test_a_module_is_one_subject_and_can_be_read() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in MODULES.values()}
    long = [str(path) for path, lines in lengths.items() if lines > MOST_LINES and not is_generated(path)]
    assert long == []
