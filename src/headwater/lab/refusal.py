"""What the lab does not do, said in both languages and with the control that is at fault."""

from __future__ import annotations

from headwater.i18n import has_text, speak
from headwater.lab.reasons import reason_of
from headwater.records import InputError, Message
from headwater.records.message import Value
from headwater.report.view.sentences import said
from headwater.report.words import Words

_TOLD_BY_ENGINE = {"reason", "error"}


class RefusedError(InputError):
    """Something that was asked of the lab and cannot be done.

    Args:
        key: Of the text, behind ``lab.engine.refused.``.
        values: What stands in it.
        control: Which control is at fault, ``None`` if it is none.
        status: The HTTP status it is answered with.
    """

    def __init__(
        self, key: str, values: dict[str, Value] | None = None, control: str | None = None, status: int = 400
    ) -> None:
        self.message = Message(f"lab.engine.refused.{key}", values or {})
        self.control = control
        self.status = status
        super().__init__(speak(self.message, "en"))

    def __reduce__(self) -> tuple[type[RefusedError], tuple[object, ...]]:
        key = self.message.id.removeprefix("lab.engine.refused.")
        return type(self), (key, self.message.values, self.control, self.status)

    @property
    def text(self) -> dict[str, str]:
        """What is said, by language."""
        both = said(self._sentence)
        return {"en": both.en, "ko": both.ko}

    def to_dict(self) -> dict[str, object]:
        """The JSON form of the answer."""
        return {"error": {"id": self.message.id, "text": self.text, "control": self.control}}

    def _sentence(self, words: Words) -> str:
        """The text with the control at fault called by its name, and a reason of the engine's in the lab's words."""
        values = dict(self.message.values)
        for name in _TOLD_BY_ENGINE & values.keys():
            values[name] = words(f"lab.engine.reason.{reason_of(str(values[name]))}")
        name = f"lab.engine.control.{values.get('control')}"
        if has_text(name):
            values["control"] = words(name)
        return words.say(Message(self.message.id, values))
