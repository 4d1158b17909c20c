"""Check what the caller set against what the model takes. Nothing is clamped; a doubt is an error that
names the parameter, the range and the cure."""

from __future__ import annotations

from dataclasses import replace

from visionpipe.errors import ParameterError, UnsupportedError
from visionpipe.registry.records import ModelRecord
from visionpipe.request import Parameters
from visionpipe.values import Adjustment


def check_parameters(parameters: Parameters, model: ModelRecord) -> None:
    """Raise for the first parameter that ``model`` would refuse.

    Ranges are the platform FAQ's: temperature and top_p in [0.0, 1.0], not both at once.

    Raises:
        ParameterError: a value of another kind or out of its range, or two that exclude one another.
        UnsupportedError: the model has no such switch.
    """
    _check_kinds(parameters)
    _check_sampling(parameters, model)
    _check_output(parameters, model)
    _check_thinking(parameters, model)
    if parameters.user_id is not None and not 6 <= len(parameters.user_id) <= 128:
        raise ParameterError(
            f"user_id has {len(parameters.user_id)} characters",
            cure="Use 6 to 128 characters.",
            subject="user_id",
        )


def settle_thinking(parameters: Parameters, model: ModelRecord) -> tuple[Parameters, tuple[Adjustment, ...]]:
    """Leave the switch out where the model has none and does what is asked for anyway: the older ones do not
    know the field (docs.bigmodel.cn, 2026-04-23: GLM-4.5 and up)."""
    asked, mode = parameters.thinking, model.thinking.mode
    if (asked, mode) not in (("off", "never"), ("on", "always")):
        return parameters, ()
    note = Adjustment("dropped", "thinking", f"{model.id} {mode} thinks, so {asked!r} need not be sent")
    return replace(parameters, thinking=None), (note,)


def _check_kinds(parameters: Parameters) -> None:
    """Callers without a type checker: what Python or the service would misread is told by its name."""

    def number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def whole(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def text(value: object) -> bool:
        return isinstance(value, str)

    def texts(value: object) -> bool:
        return isinstance(value, tuple | list) and all(isinstance(part, str) for part in value)

    for name, value, fits, wanted in (
        ("temperature", parameters.temperature, number, "a number"),
        ("top_p", parameters.top_p, number, "a number"),
        ("max_tokens", parameters.max_tokens, whole, "a whole number"),
        ("stop", parameters.stop, texts, "a sequence of texts, such as ('END',)"),
        ("thinking", parameters.thinking, ("on", "off").__contains__, "'on' or 'off'"),
        ("user_id", parameters.user_id, text, "a text"),
    ):
        if value is not None and not fits(value):
            raise ParameterError(f"{value!r} is not {wanted}", cure=f"Give {wanted}.", subject=name)


def _check_sampling(parameters: Parameters, model: ModelRecord) -> None:
    rules = model.sampling
    for name, value, most in (
        ("temperature", parameters.temperature, rules.temperature_max),
        ("top_p", parameters.top_p, rules.top_p_max),
    ):
        if value is not None and not 0.0 <= value <= most:
            raise ParameterError(
                f"{value:g} is outside 0.0 to {most:g}",
                cure=f"Give a {name} within that range, or leave it out for the model's default.",
                subject=name,
            )
    if rules.exclusive and parameters.temperature is not None and parameters.top_p is not None:
        raise ParameterError(
            "both are set, and the service asks to adjust only one of them",
            cure="Leave out temperature or top_p.",
            subject="temperature, top_p",
        )
    if rules.max_stop is not None and len(parameters.stop) > rules.max_stop:
        raise ParameterError(
            f"{len(parameters.stop)} stop texts, and {model.id} takes {rules.max_stop}",
            cure=f"Give at most {rules.max_stop}.",
            subject="stop",
        )


def _check_output(parameters: Parameters, model: ModelRecord) -> None:
    asked, most = parameters.max_tokens, model.max_output_tokens
    if asked is None:
        return
    if asked < 1:
        raise ParameterError(f"{asked} is below 1", cure="Ask for at least one token.", subject="max_tokens")
    if most is not None and asked > most:
        raise ParameterError(
            f"{asked} is over the {most} that {model.id} can write",
            cure=f"Give {most} or less, or choose a model with a longer output.",
            subject="max_tokens",
        )


def _check_thinking(parameters: Parameters, model: ModelRecord) -> None:
    mode = model.thinking.mode
    if parameters.thinking == "on" and mode == "never":
        raise UnsupportedError(
            f"{model.id} does not think",
            cure="Leave thinking out, or choose a model that does (`visionpipe models`).",
            subject="thinking",
        )
    if parameters.thinking == "off" and mode == "always":
        raise UnsupportedError(
            f"{model.id} cannot stop thinking",
            cure="Leave thinking out, or choose a model that can switch it (`visionpipe models`).",
            subject="thinking",
        )
    effort, efforts = parameters.reasoning_effort, model.thinking.efforts
    if effort is not None and effort not in efforts:
        known = ", ".join(efforts)
        raise UnsupportedError(
            f"{model.id} knows no effort {effort!r}",
            cure=f"Use one of {known}." if efforts else "Leave reasoning_effort out.",
            subject="reasoning_effort",
        )
