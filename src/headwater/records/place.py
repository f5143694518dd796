"""Where one process stands among those that train a model together."""

from dataclasses import dataclass
from typing import Literal

Wrapper = Literal["ddp", "fsdp", "tensor", "none"]


@dataclass(frozen=True)
class Place:
    """Of one process, which is called a rank.

    Attributes:
        rank: Its number, from 0.
        world_size: How many there are.
        replicas: How many see data of their own, over which gradients are averaged; 0 if nobody says so.
        replica: Which of those this one is; ranks that share a model's pieces among them see the same data.
        wrapper: What joins them: ``ddp``, ``fsdp`` (FSDP2), ``tensor`` (parallel within layers), or ``none`` known.
    """

    rank: int = 0
    world_size: int = 1
    replicas: int = 1
    replica: int = 0
    wrapper: Wrapper = "none"


ALONE = Place()
