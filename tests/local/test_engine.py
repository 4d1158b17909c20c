"""The engine on real photos: right or silent, the same in every thread."""

from __future__ import annotations

import hashlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from visionpipe.errors import BadImageError
from visionpipe.local.engine import LocalEngine
from visionpipe.local.facts import Facts
from visionpipe.local.networks import NetworkPool
from visionpipe.local.sentence import sentence

SAMPLES = Path(__file__).parent.parent.parent / "samples"
PHOTOS = sorted(path.name for path in SAMPLES.iterdir() if path.suffix in {".png", ".jpg"})


def photo(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine(reader=None)


@pytest.mark.parametrize(
    ("name", "english", "chinese"),
    [
        ("chelsea.png", "A photo of a cat", "一只猫"),
        ("coffee.png", "A photo of an espresso", "一杯浓缩咖啡"),
        ("astronaut.png", "A photo of a person", "一个人"),
        ("grace_hopper.jpg", "A photo of a person", "一个人"),
        ("camera.png", "A black-and-white photo of a person with a tripod", "一个人和一个三脚架"),
        ("rocket.jpg", "A photo of a rocket or missile", "火箭"),
        ("china.jpg", "A photo of a building", "一座建筑"),
        ("horse.png", "A black-and-white picture of a horse", "一匹马"),
        ("flower.jpg", "A photo whose subject the local analysis cannot name", "无法判断"),
        ("clock_motion.png", "A blurred, black-and-white photo whose subject the local analysis", "模糊"),
        ("page.png", "A black-and-white photo whose subject the local analysis cannot name", "黑白"),
    ],
)
def test_samples(engine: LocalEngine, name: str, english: str, chinese: str) -> None:
    facts = engine.analyse(photo(name))
    assert sentence(facts, "en").startswith(english)
    assert chinese in sentence(facts, "zh")


def test_every_sample_is_held_to_its_sentence() -> None:
    assert len(PHOTOS) == 11


def test_facts(engine: LocalEngine) -> None:
    facts = engine.analyse(photo("chelsea.png"))
    assert facts.sha256 == hashlib.sha256(photo("chelsea.png")).hexdigest()
    assert (facts.width, facts.height, facts.format, facts.shape) == (451, 300, "png", "landscape")
    assert facts.subject is not None
    assert facts.subject.family == "cat"
    assert facts.subject.probability > 0.9
    assert len(facts.guesses) == 3
    (cat,) = facts.objects
    assert (cat.label, cat.count) == ("cat", 1)
    assert cat.boxes[0].area > 0.9
    assert facts.look.colours[0].name == "brown"
    assert facts.text is None


def test_a_box_lies_where_the_thing_is(engine: LocalEngine) -> None:
    cat = Image.open(SAMPLES / "chelsea.png").convert("RGB").resize((226, 150))
    wide = Image.new("RGB", (600, 300), "grey")
    wide.paste(cat, (360, 140))
    encoded = io.BytesIO()
    wide.save(encoded, "PNG")
    (group,) = engine.analyse(encoded.getvalue()).objects
    box = group.boxes[0]
    assert box.left == pytest.approx(360 / 600, abs=0.05)
    assert box.top == pytest.approx(140 / 300, abs=0.05)


def test_several_images_one_sentence_each(engine: LocalEngine) -> None:
    answer = engine.describe([photo("chelsea.png"), photo("coffee.png")])
    first, second = answer.text.split("\n")
    assert first == "Image 1: A photo of a cat, mostly brown."
    assert second.startswith("Image 2: A photo of an espresso")
    assert len(answer.facts) == 2
    assert engine.describe([photo("chelsea.png")] * 2, lang="zh").text.startswith("图1：一张照片")


def test_a_bad_image_is_named_by_its_number(engine: LocalEngine) -> None:
    with pytest.raises(BadImageError) as caught:
        engine.describe([photo("chelsea.png"), photo("coffee.png")[:2000]])
    assert caught.value.subject == "image 2"
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 2000)])
def test_odd_sizes_are_analysed(engine: LocalEngine, size: tuple[int, int]) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", size, "teal").save(encoded, "PNG")
    facts = engine.analyse(encoded.getvalue())
    assert (facts.width, facts.height) == size
    assert facts.objects == ()


def test_eight_threads_say_what_one_says(engine: LocalEngine) -> None:
    pictures = [photo(name) for name in PHOTOS]
    alone: list[Facts] = [engine.analyse(data) for data in pictures]
    together = LocalEngine(pool_size=3, reader=None)
    with ThreadPoolExecutor(8) as threads:
        rounds = [list(threads.map(together.analyse, pictures)) for _ in range(2)]
    assert rounds == [alone, alone]


def test_a_pool_lends_no_more_pairs_than_it_has() -> None:
    pool = NetworkPool(1)
    second_has_it = threading.Event()

    def borrow_too() -> None:
        with pool.borrow():
            second_has_it.set()

    with pool.borrow() as pair:
        other = threading.Thread(target=borrow_too)
        other.start()
        assert not second_has_it.is_set()
    other.join()
    assert second_has_it.is_set()
    with pool.borrow() as again:
        assert again is pair
