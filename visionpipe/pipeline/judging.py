"""The judge of a run: notes from the quality stage, and what a policy makes of them."""

from __future__ import annotations

from visionpipe.pipeline.answerer import Answer, Judge, Judgement
from visionpipe.pipeline.prompting import Prompt
from visionpipe.prompts.presets import Language, Preset
from visionpipe.stages.quality import assess
from visionpipe.stages.quality_policy import QualityPolicy, decide


def judge_by(policy: QualityPolicy, preset: Preset | None, lang: Language | None) -> Judge:
    """A judge that holds answers against ``preset`` (None: a question of the caller's own) and ``policy``.

    Args:
        lang: the language asked for; None where any will do.
    """

    def judge(answer: Answer, reasked: bool) -> Judgement:
        reply = answer.reply
        notes = assess(
            reply.text,
            finish_reason=reply.finish_reason,
            reasoning=reply.reasoning,
            structured=answer.data is not None,
            preset=preset,
            lang=lang,
        )
        action = decide((*reply.notes, *notes), policy, reasked)
        told = {note.kind for note in reply.notes}
        return Judgement(tuple(note for note in notes if note.kind not in told), action)

    return judge


def judge_of_job(
    policy: QualityPolicy | None, prompt: Prompt, preset_lang: Language, lang: Language | None
) -> Judge | None:
    """The judge of a job's answers; None where they are taken as they come.

    Args:
        prompt: what the job asks; a preset is held to its own checks.
        preset_lang: the language that a preset asks for.
        lang: the one that the job was told, for prompts of the caller's own.
    """
    if policy is None:
        return None
    preset = prompt if isinstance(prompt, Preset) else None
    return judge_by(policy, preset, preset_lang if preset is not None else lang)
