"""A sentence that has not chosen its language yet: a message id and the values that go into it."""

from collections.abc import Callable
from dataclasses import dataclass, field

Value = str | int | float | None


@dataclass(frozen=True)
class Message:
    """A message id with its values; ``str()`` renders it in the current language once ``headwater.i18n`` is loaded."""

    id: str
    values: dict[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        try:
            return _renderer(self)
        except KeyError:  # a plugin's message, or one of another version: its id and values still say something
            return _plain(self)


def render_with(renderer: Callable[[Message], str]) -> None:
    """Let ``renderer`` turn messages into text; ``headwater.i18n`` calls this when it is imported."""
    global _renderer
    _renderer = renderer


def _plain(message: Message) -> str:
    values = ", ".join(f"{name}={value!r}" for name, value in message.values.items())
    return f"{message.id}({values})"


_renderer: Callable[[Message], str] = _plain
