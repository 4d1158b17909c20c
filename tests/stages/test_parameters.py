"""Parameters out of range are errors that name range and cure; nothing is clamped."""

from __future__ import annotations

import pytest

from visionpipe.errors import ParameterError, UnsupportedError
from visionpipe.registry.records import ModelRecord, SamplingRules, ThinkingRules
from visionpipe.request import Parameters
from visionpipe.stages.check import check_parameters

MODEL = ModelRecord(
    id="m",
    max_output_tokens=1024,
    sampling=SamplingRules(max_stop=1),
    thinking=ThinkingRules(mode="switchable", efforts=("low", "high")),
)


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(),
        Parameters(temperature=0.0),
        Parameters(temperature=1.0),
        Parameters(top_p=0.0),
        Parameters(top_p=1.0),
        Parameters(max_tokens=1024),
        Parameters(thinking="off"),
        Parameters(thinking="on", reasoning_effort="low"),
        Parameters(user_id="user-1"),
        Parameters(stop=("###",)),
    ],
)
def test_what_is_in_range_passes(parameters: Parameters) -> None:
    check_parameters(parameters, MODEL)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (Parameters(temperature=1.01), "temperature: 1.01 is outside 0.0 to 1"),
        (Parameters(temperature=-0.1), "outside 0.0 to 1"),
        (Parameters(top_p=1.5), "top_p: 1.5 is outside"),
        (Parameters(temperature=float("nan")), "temperature: nan is outside"),
        (Parameters(temperature=0.5, top_p=0.5), "temperature, top_p: both are set"),
        (Parameters(max_tokens=1025), "over the 1024 that m can write"),
        (Parameters(max_tokens=0), "below 1"),
        (Parameters(user_id="u"), "Use 6 to 128"),
        (Parameters(stop=("a", "b")), "m takes 1"),
        (Parameters(temperature="0.5"), "temperature: '0.5' is not a number"),  # type: ignore[arg-type] # as untyped callers do
        (Parameters(top_p=True), "top_p: True is not a number"),
        (Parameters(max_tokens=1.5), "max_tokens: 1.5 is not a whole number"),  # type: ignore[arg-type] # as above
        (Parameters(max_tokens=True), "max_tokens: True is not"),
        (Parameters(stop="END"), "stop: 'END' is not a sequence of texts"),  # type: ignore[arg-type] # as above
        (Parameters(thinking="maybe"), "thinking: 'maybe' is not 'on' or 'off'"),  # type: ignore[arg-type] # as above
        (Parameters(user_id=1234567), "user_id: 1234567 is not a text"),  # type: ignore[arg-type] # as above
    ],
)
def test_what_is_out_of_range_is_refused(parameters: Parameters, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        check_parameters(parameters, MODEL)


@pytest.mark.parametrize(
    ("mode", "parameters"),
    [
        ("never", Parameters(thinking="on")),
        ("always", Parameters(thinking="off")),
        ("switchable", Parameters(reasoning_effort="low")),
    ],
)
def test_switches_a_model_does_not_have(mode: str, parameters: Parameters) -> None:
    model = ModelRecord.model_validate({"id": "m", "thinking": {"mode": mode}})
    with pytest.raises(UnsupportedError):
        check_parameters(parameters, model)


def test_two_sampling_parameters_pass_where_the_record_allows_it() -> None:
    model = ModelRecord(id="m", sampling=SamplingRules(temperature_max=2.0, exclusive=False))
    check_parameters(Parameters(temperature=1.7, top_p=0.5), model)
