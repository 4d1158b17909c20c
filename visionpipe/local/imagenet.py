"""How to speak of single ImageNet classes whose first name is not what people say, or needs no article.

The rule: data only. A class that is not listed here is spoken of by its first name with an article.
"""

from __future__ import annotations

ENGLISH: dict[int, str] = {}
CHINESE: dict[int, str] = {967: "浓缩咖啡"}
