"""What happens behind the scenes goes on when a process there is killed."""

import asyncio
import json
import multiprocessing

from headwater.lab.backroom import Backroom
from headwater.lab.spec import Spec


def test_theory_is_told_also_after_its_process_was_killed() -> None:
    told: list[tuple[str, str]] = []

    async def predicted(behind: Backroom, depth: int) -> None:
        count = len(told)
        behind.predict("lab", "a", depth, Spec(depth=depth, width=8), None)
        while len(told) == count:
            await asyncio.sleep(0.05)

    async def course() -> None:
        behind = Backroom()
        behind.deliver = lambda _id, name, _slot, data: told.append((name, data))
        before = set(multiprocessing.active_children())
        behind.start()
        try:
            await asyncio.wait_for(predicted(behind, 2), 60)
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
            await asyncio.wait_for(predicted(behind, 3), 60)
        finally:
            behind.close()

    asyncio.run(course())
    assert [name for name, _ in told] == ["prediction", "prediction"]
    assert json.loads(told[-1][1])["version"] == 3


def test_nothing_is_worked_out_for_a_lab_that_has_been_left() -> None:
    told: list[str] = []

    async def course() -> None:
        behind = Backroom()
        behind.deliver = lambda id, _name, _slot, _data: told.append(id)
        behind.is_heard = lambda id: id == "there"
        behind.start()
        try:
            for number in range(5):
                behind.predict(f"left{number}", "a", 1, Spec(depth=2 + number, width=8), None)
                behind.try_out(f"left{number}", "a", 1, Spec(depth=2 + number, width=8), None, (("init.he",),))
            behind.predict("there", "a", 1, Spec(depth=7, width=8), None)
            while not told:
                await asyncio.sleep(0.05)
            await asyncio.gather(*behind._tasks)  # the trials too have had their turn
        finally:
            behind.close()
        assert len(behind._made) == 1

    asyncio.run(asyncio.wait_for(course(), 120))
    assert told == ["there"]
