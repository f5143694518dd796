"""What a change is."""

from collections.abc import Callable
from dataclasses import dataclass

from headwater.intervening.branch import Branch
from headwater.records import Message


class CannotChangeError(Exception):
    """The branch has nothing that this change could change; ``why`` says what it looked for."""

    def __init__(self, why: Message) -> None:
        super().__init__(why.id)
        self.why = why


@dataclass(frozen=True)
class Change:
    """One thing to change.

    Attributes:
        id: Its own name; a cause may have several changes, such as a step ten and a hundred times longer.
        cause: What is to blame if the change restores what failed.
        make: Alters a branch that has not been trained yet.
        cancels: A symptom that the rules still see although the change takes its effect away, since they read what is
            computed; the unchanged branch's loss is then computed as the changed one's is.

    ``make`` raises ``CannotChangeError`` or ``NotApplicableError`` where there is nothing to change.
    """

    id: str
    cause: str
    make: Callable[[Branch], None]
    cancels: str = ""

    @property
    def what(self) -> Message:
        return Message(f"change.{self.id}")


def nothing_to_change(looked_for: str) -> CannotChangeError:
    """That what the change would alter is not there."""
    return CannotChangeError(Message(f"untried.{looked_for}"))
