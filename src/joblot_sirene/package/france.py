"""A coarse outline of metropolitan France, in kilometres east and north of its middle, for maps the size of a hand.

The points are capes, mouths of rivers, towns on the border: facts of geography, right to about ten kilometres.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

MIDDLE: Final = (2.5, 46.5)
_KM: Final = 111.32
_NARROW: Final = math.cos(math.radians(MIDDLE[1]))

# longitude and latitude in hundredths of a degree, clockwise from Dunkirk
_MAINLAND: Final = """
255 5109 280 5072 315 5079 327 5053 365 5046 402 5035 416 5014 415 4998 445 4994 468 5000 483 5016 487 4979 530 4963 547 4950 582 4954
637 4946 656 4942 673 4917 710 4914 742 4917 765 4905 800 4903 823 4897 795 4870 781 4850 768 4815 758 4795 758 4759 738 4743 698 4745
695 4729 664 4700 645 4692 643 4675 612 4658 606 4641 616 4630 597 4614 614 4614 630 4625 624 4638 652 4646 680 4639 680 4613 704 4592
687 4583 700 4564 718 4540 710 4522 685 4513 663 4510 675 4490 702 4482 690 4455 696 4430 700 4424 740 4412 770 4415 765 4398 753 4379
730 4370 713 4354 693 4347 672 4332 664 4318 636 4309 615 4303 593 4308 567 4318 537 4327 505 4333 485 4340 460 4336 440 4346 412 4355
395 4353 370 4340 350 4328 325 4320 306 4306 305 4290 303 4260 317 4243 295 4248 265 4235 225 4243 198 4237 173 4250 172 4261 144 4260
132 4272 95 4280 66 4284 66 4269 30 4268 -5 4270 -32 4284 -55 4278 -75 4295 -110 4300 -130 4309 -143 4305 -150 4328 -178 4336 -153 4353
-144 4390 -130 4440 -125 4465 -118 4510 -110 4555 -105 4565 -122 4580 -106 4600 -117 4616 -140 4633 -180 4648 -205 4675 -198 4703
-216 4714 -215 4727 -253 4729 -245 4745 -280 4750 -312 4748 -315 4760 -337 4770 -370 4778 -398 4785 -437 4780 -460 4802 -473 4804
-430 4810 -455 4818 -462 4828 -445 4833 -478 4836 -475 4853 -435 4867 -398 4872 -360 4875 -345 4883 -310 4887 -295 4877 -270 4853
-230 4868 -203 4865 -180 4868 -150 4863 -160 4884 -160 4910 -180 4937 -194 4972 -162 4965 -126 4970 -130 4955 -118 4936 -85 4937
-25 4928 23 4943 10 4950 19 4971 60 4987 108 4993 145 5010 158 5025 155 5045 158 5073 158 5087 185 5097 220 5103
"""
_CORSICA: Final = """
940 4301 948 4280 945 4268 955 4240 955 4210 940 4185 928 4160 922 4138 895 4148 880 4160 878 4175 860 4190 857 4215 855 4237 873 4257
900 4264 922 4273 933 4295
"""


def plane(longitude: float, latitude: float) -> tuple[float, float]:
    """Kilometres east and north of the middle."""
    return (longitude - MIDDLE[0]) * _NARROW * _KM, (latitude - MIDDLE[1]) * _KM


def east(longitude: pl.Expr) -> pl.Expr:
    """The first number of `plane`, of a column."""
    return (longitude - MIDDLE[0]) * (_NARROW * _KM)


def north(latitude: pl.Expr) -> pl.Expr:
    """The second number of `plane`, of a column."""
    return (latitude - MIDDLE[1]) * _KM


def outline() -> list[list[tuple[float, float]]]:
    """The mainland and Corsica."""
    shapes = []
    for text in (_MAINLAND, _CORSICA):
        numbers = [int(word) / 100 for word in text.split()]
        shapes.append([plane(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)])
    return shapes
