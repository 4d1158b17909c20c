"""The words for what the networks know, in English and Chinese.

Data only. English words stand with their article, Chinese ones with their measure word, so that a
sentence is put together and never guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thing:
    """A countable thing: "knife", "knives", "刀", "把"."""

    english: str
    plural: str
    chinese: str
    measure: str


def _thing(row: str) -> Thing:
    english, plural, chinese, measure = (cell.strip() for cell in row.split("|"))
    return Thing(english, plural or f"{english}s", chinese, measure)


COCO: tuple[Thing, ...] = tuple(
    _thing(row)
    for row in """
person|people|人|个
bicycle||自行车|辆
car||汽车|辆
motorcycle||摩托车|辆
airplane||飞机|架
bus|buses|公交车|辆
train||火车|列
truck||卡车|辆
boat||船|艘
traffic light||红绿灯|个
fire hydrant||消防栓|个
stop sign||停车标志|个
parking meter||停车计时器|个
bench|benches|长椅|张
bird||鸟|只
cat||猫|只
dog||狗|只
horse||马|匹
sheep|sheep|羊|只
cow||牛|头
elephant||大象|头
bear||熊|头
zebra||斑马|匹
giraffe||长颈鹿|只
backpack||背包|个
umbrella||伞|把
handbag||手提包|个
tie||领带|条
suitcase||行李箱|个
frisbee||飞盘|个
pair of skis|pairs of skis|滑雪板|副
snowboard||单板滑雪板|块
ball||球|个
kite||风筝|只
baseball bat||棒球棒|根
baseball glove||棒球手套|只
skateboard||滑板|块
surfboard||冲浪板|块
tennis racket||网球拍|支
bottle||瓶子|个
wine glass|wine glasses|酒杯|个
cup||杯子|个
fork||叉子|把
knife|knives|刀|把
spoon||勺子|把
bowl||碗|个
banana||香蕉|根
apple||苹果|个
sandwich|sandwiches|三明治|个
orange||橙子|个
head of broccoli|heads of broccoli|西兰花|颗
carrot||胡萝卜|根
hot dog||热狗|个
pizza||披萨|个
donut||甜甜圈|个
cake||蛋糕|个
chair||椅子|把
couch|couches|沙发|张
potted plant||盆栽|盆
bed||床|张
dining table||餐桌|张
toilet||马桶|个
television||电视|台
laptop||笔记本电脑|台
computer mouse|computer mice|鼠标|个
remote control||遥控器|个
keyboard||键盘|个
mobile phone||手机|部
microwave||微波炉|台
oven||烤箱|台
toaster||烤面包机|台
sink||水槽|个
refrigerator||冰箱|台
book||书|本
clock||钟|个
vase||花瓶|个
pair of scissors|pairs of scissors|剪刀|把
teddy bear||泰迪熊|只
hair dryer||吹风机|个
toothbrush|toothbrushes|牙刷|支
""".strip().splitlines()
)
"""The detector's 80 classes in index order."""

BY_LABEL: dict[str, Thing] = {thing.english: thing for thing in COCO}


@dataclass(frozen=True, slots=True)
class Family:
    """ImageNet classes that share one everyday word, and the COCO label for the same thing."""

    thing: Thing
    indices: frozenset[int]
    coco: str | None
    animal: bool


def _family(row: str) -> Family:
    english, plural, chinese, measure, spans, coco = (cell.strip() for cell in row.split("|"))
    indices: set[int] = set()
    for span in spans.split():
        first, _, last = span.partition("-")
        indices.update(range(int(first), int(last or first) + 1))
    return Family(
        Thing(english, plural or f"{english}s", chinese, measure),
        frozenset(indices),
        coco or None,
        animal=max(indices) <= LAST_ANIMAL,
    )


LAST_ANIMAL = 397
"""ImageNet classes 0 to 397 are animals, the rest are not."""

FAMILIES: tuple[Family, ...] = tuple(
    _family(row)
    for row in """
dog||狗|只|151-268|dog
cat||猫|只|281-285|cat
big cat||大型猫科动物|只|286-293|
bird||鸟|只|7-24 80-100 127-146|bird
butterfly|butterflies|蝴蝶|只|321-326|
insect||昆虫|只|300-320|
fish|fish|鱼|条|0 1 389-397|
shark||鲨鱼|条|2-4|
frog||青蛙|只|30-32|
turtle||龟|只|33-37|
lizard||蜥蜴|只|38-48|
snake||蛇|条|52-68|
spider||蜘蛛|只|72-77|
wolf|wolves|狼|只|269-271|
fox|foxes|狐狸|只|277-280|
bear||熊|头|294-297|bear
rabbit||兔子|只|330-332|
monkey||猴子|只|369-382|
ape||猿|只|365-368|
elephant||大象|头|101 385 386|elephant
whale||鲸|头|147 148|
crab||螃蟹|只|118-121|
piece of fruit|pieces of fruit|水果|个|948-957|
mushroom||蘑菇|个|947 992-994 996 997|
flower||花|朵|985 986|
car||汽车|辆|436 468 511 609 627 656 661 751 817|car
truck||卡车|辆|555 569 717 864 867|truck
boat||船|艘|472 554 576 625 724 780 814 871 914|boat
rocket or missile|rockets or missiles|火箭或导弹|枚|657 744|
building||建筑|座|425 442 449 483 497 538 663 668 698 832|
clock||钟|个|409 530 892|clock
laptop||笔记本电脑|台|620 681|laptop
""".strip().splitlines()
)
"""Families of ImageNet classes; no class is in two."""

FAMILY_OF: dict[str, Family] = {family.thing.english: family for family in FAMILIES}

COLOURS: dict[str, str] = {
    "black": "黑色",
    "grey": "灰色",
    "white": "白色",
    "red": "红色",
    "orange": "橙色",
    "yellow": "黄色",
    "green": "绿色",
    "turquoise": "青色",
    "blue": "蓝色",
    "purple": "紫色",
    "pink": "粉色",
    "brown": "棕色",
    "beige": "米色",
}

KIN: dict[int, str] = {
    339: "horse",
    340: "zebra",
    345: "cow",
    348: "sheep",
    349: "sheep",
    404: "airplane",
    414: "backpack",
    429: "ball",
    430: "ball",
    440: "bottle",
    466: "train",
    487: "mobile phone",
    504: "cup",
    508: "keyboard",
    532: "dining table",
    547: "train",
    574: "ball",
    589: "hair dryer",
    651: "microwave",
    654: "bus",
    664: "television",
    665: "motorcycle",
    670: "motorcycle",
    671: "bicycle",
    673: "computer mouse",
    703: "bench",
    704: "parking meter",
    722: "ball",
    737: "bottle",
    738: "potted plant",
    752: "tennis racket",
    760: "refrigerator",
    761: "remote control",
    768: "ball",
    779: "bus",
    805: "ball",
    809: "bowl",
    820: "train",
    829: "train",
    831: "couch",
    850: "teddy bear",
    851: "television",
    852: "ball",
    859: "toaster",
    861: "toilet",
    874: "bus",
    879: "umbrella",
    883: "vase",
    890: "ball",
    895: "airplane",
    898: "bottle",
    906: "tie",
    907: "bottle",
    920: "traffic light",
    934: "hot dog",
    937: "head of broccoli",
    950: "orange",
    954: "banana",
    963: "pizza",
    968: "cup",
    981: "person",
    982: "person",
    983: "person",
}
"""The detector's label for a single ImageNet class."""
