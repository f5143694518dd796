"""How the ranks of a training are."""

from dataclasses import dataclass
from typing import Literal

from headwater.records.message import Message

RankStateName = Literal["running", "ended", "lost", "missing", "behind", "slow"]


@dataclass(frozen=True)
class RankState:
    """How one rank is.

    Attributes:
        rank: Which.
        name: ``running`` and ``ended`` are as they should be. ``lost``: no end was written, and nobody writes any more;
            ``missing``: it should be there, and has recorded nothing; ``behind``: it runs, but at an earlier step than
            the others; ``slow``: the others wait for it at every step.
        last_step: The last step it was heard at, counted from 0; ``None`` if it never was.
        behind: Steps between that and the foremost rank.
        heartbeat: When it was last known to live, seconds since 1970.
        message: What is wrong in a sentence, ``None`` if nothing is.
    """

    rank: int
    name: RankStateName
    last_step: int | None = None
    behind: int = 0
    heartbeat: float | None = None
    message: Message | None = None
