"""What of a conversation is sent: whole exchanges, the newest first, within the room there is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.media import Image, LinkedImage, LinkedVideo, MemoryContent, Part, Text
from visionpipe.registry.estimates import Calibration
from visionpipe.registry.lookup import Registry
from visionpipe.request import Message, Parameters, ToolCall
from visionpipe.stages.history import Transcript, Turn, exchanges, fit_history, trim

REGISTRY = Registry.load()
FLASH = REGISTRY.model("glm-4v-flash").model_copy(update={"context_tokens": 16_384})
# 16,384 of context, 1,024 of output, one image
FIVE = REGISTRY.model("glm-4v-plus-0111")
TOOLS = REGISTRY.model("glm-4.6v")
PICTURE = Image("cat.png", MemoryContent(b"\x89PNG"), "png", 56, 56)


def user(text: str, *media: Part) -> Message:
    return Message("user", (*media, Text(text)))


def said(text: str) -> Message:
    return Message("assistant", (Text(text),))


def words(count: int) -> str:
    return "word " * count


sizes = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(sizes, st.integers(0, 60), st.integers(0, 900), st.builds(Calibration, st.floats(1.0, 2.0)))
def test_trimming_keeps_the_newest_whole_exchanges_and_no_more(
    turns: list[tuple[int, int]], newest: int, room: int, calibration: Calibration
) -> None:
    history = tuple(m for q, a in turns for m in (user(words(q)), said(words(a))))
    last = user(words(newest + 1))
    kept, notes = trim(history, last, FLASH, room=room, calibration=calibration)
    assert kept == history[len(history) - len(kept) :]
    assert len(kept) % 2 == 0
    assert calibration.tokens((*kept, last), FLASH) <= room or not kept
    assert bool(notes) == (len(kept) < len(history))
    if notes:
        one_more = history[len(history) - len(kept) - 2 :]
        assert calibration.tokens((*one_more, last), FLASH) > room
        gone = (len(history) - len(kept)) // 2
        assert notes[0].detail.startswith(f"{gone} of {len(turns)} earlier exchanges left out")
        assert notes[0].kind == "trimmed"


def test_without_a_known_limit_nothing_goes() -> None:
    history = (user(words(9000)), said(words(9000)))
    assert trim(history, user("More?"), FLASH, room=None) == (history, ())


def test_a_function_call_goes_with_its_question() -> None:
    call = ToolCall("c1", "weather", '{"city": "Oslo"}')
    history = (
        user(words(100)),
        Message("assistant", (), tool_calls=(call,)),
        Message("tool", (Text("rain"),), tool_call_id="c1"),
        said("It rains."),
        user("And now?"),
        said("Still."),
    )
    assert [len(run) for run in exchanges(history)] == [4, 2]
    kept, notes = trim(history, user("Why?"), FLASH, room=40)
    assert kept == history[4:]
    assert "1 of 2" in notes[0].detail


def test_older_images_give_way_to_the_newest() -> None:
    history = (
        user("What?", PICTURE, LinkedImage("https://e.com/b.jpg")),
        said("Two."),
        user("And?"),
        said("Yes."),
    )
    fitted = fit_history(Transcript(history), Turn("More?"), FLASH, Parameters())
    first = fitted.messages[0].parts
    assert first[0] == Text("[Image 1 of this conversation is not shown again.]")
    assert first[1] == LinkedImage("https://e.com/b.jpg")
    (note,) = fitted.adjustments
    assert (note.kind, note.subject) == ("left_out", "cat.png")
    assert "glm-4v-flash takes 1 in one request" in note.detail
    again = fit_history(Transcript(history), Turn("More?", (PICTURE,)), FLASH, Parameters(), "zh")
    assert again.messages[0].parts[:2] == (
        Text("[本次对话的第1张图片不再显示。]"),
        Text("[本次对话的第2张图片不再显示。]"),
    )
    assert fit_history(Transcript(history), Turn("More?", (PICTURE,)), FIVE, Parameters()).messages == history


def test_one_kind_of_media_a_request() -> None:
    clip = LinkedVideo("https://e.com/a.mp4")
    history = (user("What?", clip), said("A clip."), user("And?", PICTURE), said("A cat."))
    fitted = fit_history(Transcript(history), Turn("More?"), FIVE, Parameters())
    assert fitted.messages[0].parts[0] == Text("[Video 1 of this conversation is not shown again.]")
    assert fitted.messages[2].parts[0] == PICTURE
    assert "beside the other media" in fitted.adjustments[0].detail
    other = fit_history(Transcript(history), Turn("More?", (clip,)), FIVE, Parameters())
    assert (other.messages[0].parts[0], type(other.messages[2].parts[0])) == (clip, Text)


def test_calls_are_left_out_for_a_model_without_functions() -> None:
    call = ToolCall("c1", "weather", "{}")
    history = (
        user("Weather?"),
        Message("assistant", (), tool_calls=(call,)),
        Message("tool", (Text("rain"),), tool_call_id="c1"),
        said("It rains."),
    )
    fitted = fit_history(Transcript(history), Turn("More?"), FLASH, Parameters())
    assert fitted.messages == (history[0], history[3])
    assert "1 function calls" in fitted.adjustments[0].detail
    assert fit_history(Transcript(history), Turn("More?"), TOOLS, Parameters()).messages == history


def test_system_text_and_tools_take_their_room() -> None:
    history = (user(words(5000)), said("Yes."))
    turn = Turn("More?")
    assert fit_history(Transcript(history), turn, FLASH, Parameters()).messages == history
    heavy = Turn("More?", system=words(7000))
    assert fit_history(Transcript(history), heavy, FLASH, Parameters()).messages == ()
    tooled = Turn("More?", tools_tokens=9000)
    assert fit_history(Transcript(history), tooled, FLASH, Parameters()).messages == ()


def test_the_services_own_count_corrects_the_estimate() -> None:
    learnt = Calibration().after(100, 0, 150)
    assert learnt == Calibration(1.5)
    assert learnt.after(100, 0, None) == learnt
    assert learnt.after(100, 0, 80) == Calibration(1.0)
    assert learnt.after(100, 2, 2150) == Calibration(1.5, per_medium=1000)
    shown = user("word", PICTURE)
    assert Calibration(1.5, 1000).tokens([shown, shown], FLASH) == 2006
    assert Calibration(1.5, 1000).tokens([], FLASH) == 0


def test_a_model_without_images_is_shown_none_of_the_earlier_ones() -> None:
    model = TOOLS.model_copy(update={"images": None})
    earlier = Transcript((user("This?", PICTURE), said("A cat.")), Calibration())
    fitted = fit_history(earlier, Turn("And its fur?", ()), model, Parameters())
    assert not any(isinstance(part, Image) for message in fitted.messages for part in message.parts)
    assert "left_out" in [note.kind for note in fitted.adjustments]


def test_a_room_that_is_filled_to_the_last_token_is_room_enough() -> None:
    history = (user(words(40)), said(words(40)), user(words(40)), said(words(40)))
    last = user(words(3))
    exact = Calibration().tokens((*history[2:], last), FLASH)
    assert trim(history, last, FLASH, room=exact)[0] == history[2:]
    assert trim(history, last, FLASH, room=exact - 1)[0] == ()
