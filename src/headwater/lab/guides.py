"""The guided pages, by lesson."""

from __future__ import annotations

from headwater.lab.guide import Guide

_ALL: tuple[Guide, ...] = ()
GUIDES: dict[str, Guide] = {guide.lesson: guide for guide in _ALL}
