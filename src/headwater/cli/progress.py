"""Progress of long work on stderr, where a person is watching it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headwater.i18n import text
from headwater.records import Message

Progress = Callable[[str, int, int], None]
"""``progress(message_id, done, total)``: what is being done, and how far it is."""


Tell = Callable[[Message], None]
"""``tell(message)``: where the work stands, in a line that stays."""


@contextmanager
def progress_on_stderr() -> Iterator[Progress | None]:
    """Bars that go away when the block ends, one per message id; ``None`` where stderr is no terminal."""
    with standing_on_stderr() as (progress, _):
        yield progress


@contextmanager
def standing_on_stderr() -> Iterator[tuple[Progress | None, Tell | None]]:
    """The same, and lines above the bars; neither where stderr is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None, None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def advance(message_id: str, done: int, total: int) -> None:
            if message_id not in tasks:
                tasks[message_id] = bars.add_task(text(message_id), total=total)
            bars.update(tasks[message_id], completed=done, total=total)

        def tell(message: Message) -> None:
            bars.console.print(str(message), style="dim", highlight=False, markup=False)

        yield advance, tell
