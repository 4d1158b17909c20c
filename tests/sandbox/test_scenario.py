"""The scenario file: what it takes, what it refuses, and that it repeats itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import ConfigurationError
from visionpipe.sandbox import scenario as module
from visionpipe.sandbox.scenario import FaultPlan, Scenario, parse_scenario, read_scenario

PATH = "/api/paas/v4/chat/completions"


def planned(document: str, requests: int) -> list[str | None]:
    plan = FaultPlan(parse_scenario(document))
    return [plan.next(PATH, "glm-4.6v", False).kind for _ in range(requests)]


def rule(words: str) -> str:
    return f"[[rule]]\n{words}\nfault = {{ kind = 'hold' }}\n"


def test_the_example_in_the_docstring_is_a_scenario() -> None:
    assert module.__doc__ is not None
    example = module.__doc__.split("\n\n", 1)[1].split("\n\nSeveral rules")[0]
    scenario = parse_scenario(re.sub(r"^    ", "", example, flags=re.M))
    assert scenario.seed == 7 and scenario.rule[0].burst == 4 and scenario.answer[0].contains == "cat"


@pytest.mark.parametrize(
    ("words", "hits"),
    [
        ("", "hhhhhhhh"),
        ("after = 2", "..hhhhhh"),
        ("count = 3", "hhh....."),
        ("every = 3", "h..h..h."),
        ("after = 1\nevery = 4\nburst = 2", ".hh..hh."),
        ("after = 1\ncount = 3\nburst = 2", ".hhh...."),
        ("rate = 0.0", "........"),
        ("model = 'glm-4.5*'", "........"),
        ("model = 'glm-4.6*'", "hhhhhhhh"),
        ("path = '*/files'", "........"),
        ("stream = true", "........"),
        ("stream = false", "hhhhhhhh"),
    ],
)
def test_when_a_rule_applies(words: str, hits: str) -> None:
    assert planned(rule(words), 8) == [None if hit == "." else "hold" for hit in hits]


@given(st.integers(0, 99), st.floats(0.05, 0.95))
def test_the_same_seed_meets_the_same_faults(seed: int, rate: float) -> None:
    document = f"seed = {seed}\n" + rule(f"rate = {rate}")
    assert planned(document, 60) == planned(document, 60)


def test_another_seed_meets_others_at_about_the_same_rate() -> None:
    runs = [planned(f"seed = {seed}\n" + rule("rate = 0.3"), 500) for seed in range(3)]
    assert runs[0] != runs[1] != runs[2]
    assert all(100 < sum(hit is not None for hit in run) < 200 for run in runs)


def test_a_rule_draws_apart_from_the_others() -> None:
    alone = planned(rule("rate = 0.4"), 50)
    with_another = planned(rule("rate = 0.4") + rule("rate = 0.9\nmodel = 'none'"), 50)
    assert alone == with_another


def test_latencies_add_up_and_come_with_a_fault() -> None:
    plan = FaultPlan(
        parse_scenario(
            "[[rule]]\nfault = { kind = 'latency', seconds = 0.25 }\n"
            "[[rule]]\nfault = { kind = 'latency', low = 0.5, high = 0.5 }\n"
            "[[rule]]\nfault = { kind = 'error', code = '1302' }\n" + rule("")
        )
    )
    planned = plan.next(PATH, None, None)
    assert planned.delay == 0.75 and planned.kind == "error:1302"


@given(st.sampled_from(["median = 0.2, sigma = 0.3", "mean = 0.2", "low = 0.1, high = 0.3"]))
def test_latency_distributions_are_seeded_and_positive(words: str) -> None:
    document = f"[[rule]]\nfault = {{ kind = 'latency', {words} }}\n"
    runs = [
        [plan.next(PATH, None, None).delay for _ in range(200)]
        for plan in (FaultPlan(parse_scenario(document)), FaultPlan(parse_scenario(document)))
    ]
    assert runs[0] == runs[1] and len(set(runs[0])) == 200
    assert min(runs[0]) > 0 and 0.1 < sum(runs[0]) / 200 < 0.4


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("sede = 1", "sede"),
        ("[[rule]]\nfault = { kind = 'explode' }", "explode"),
        ("[[rule]]\nfault = { kind = 'hold', for = 3 }", "for"),
        ("[[rule]]\nrate = 1.5\nfault = { kind = 'hold' }", "rate"),
        ("[[rule]]\nfault = { kind = 'latency' }", "seconds"),
        ("[[rule]]\nfault = { kind = 'latency', low = 1 }", "together"),
        ("[[rule]]\nmodel = 'x'\nfault = { kind = 'slow_reader', bytes_per_second = 9 }", "path only"),
        ("[[rule]]\nstream = true\nfault = { kind = 'reset', when = 'request' }", "path only"),
        ("[[rule", "array"),
        ("{", "end of data"),
    ],
)
def test_what_a_scenario_does_not_know(document: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_scenario(document)
    assert words in caught.value.reason


def test_a_file_in_either_form(tmp_path: Path) -> None:
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text("seed = 3\n" + rule("count = 1"))
    json.write_text('{"seed": 3, "rule": [{"count": 1, "fault": {"kind": "hold"}}]}')
    assert read_scenario(toml) == read_scenario(json) != Scenario()
    with pytest.raises(ConfigurationError, match="Check the path"):
        read_scenario(tmp_path / "none.toml")
