"""What watching every tensor of every step costs: headwater, its peers and the bare loop, in turn.

    python -m benchmarks.overhead [--only gpt2,resnet18,mlp] [--arms bare,headwater,wandb] [--quick] [--out FOLDER]

Each arm trains in a process of its own, from the same seed, and the processes take turns block by block (``rounds``
says how the figures are made). A second bare loop shows what this machine can tell apart. ``every="auto"`` is measured
in a race of its own, by total time over long blocks, because only some of its steps cost anything. Arms race in groups
of four beside a bare loop of their own, for memory's sake: five times GPT-2 needs about 14 GiB.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks import machine
from benchmarks.models import CASES, Case
from benchmarks.options import load, one_of, parser, save, say
from benchmarks.peers import ARMS, AUTO, Arm
from benchmarks.rounds import BARE, Plan, every_step, in_total, race
from benchmarks.tables import overhead_table
from benchmarks.worker import Worker

EVERY_STEP = Plan(rounds=8, block_s=1.0, most_steps=50)
IN_TOTAL = Plan(rounds=8, block_s=7.0, most_steps=150, fewest_steps=8)
GROUP = 4
QUICK = Plan(rounds=2, block_s=0.2, most_steps=3)


def main(arguments: list[str] | None = None) -> None:
    """Run the chosen cases and arms; print a table for each case and write the results as they come."""
    options = parser(__doc__)
    options.add_argument("--only", type=partial(one_of, CASES), default=list(CASES), help=", ".join(CASES))
    arms = {**ARMS, **AUTO}
    options.add_argument("--arms", type=partial(one_of, arms), default=list(arms), help=", ".join(arms))
    given = options.parse_args(arguments)
    for key in given.only:
        say(f"overhead: {CASES[key].label}")
        result = overhead(CASES[key], given.arms, given.quick, given.threads)
        # What was measured before stays, each case beside its own machine and date.
        cases = load(given.out, "overhead").get("cases", {}) | {key: result}
        save(given.out, "overhead", {"cases": {known: cases[known] for known in CASES if known in cases}})
        print(overhead_table(result), flush=True)


def overhead(case: Case, arms: list[str], quick: bool = False, threads: int | None = None) -> dict[str, Any]:
    """Both races on one case.

    Args:
        case: What to train.
        arms: Keys of ``ARMS`` and ``AUTO``; the bare loop takes part whether named or not.
        quick: Too short to tell anything, but everything runs.
        threads: Threads for arithmetic; torch's own default if ``None``.
    """
    plans = (QUICK, QUICK) if quick else (EVERY_STEP, IN_TOTAL)
    result: dict[str, Any] = {
        "label": case.label,
        "machine": machine.describe(threads),
        "quick": quick,
        "plans": {"every_step": asdict(plans[0]), "auto": asdict(plans[1])},
    }
    if chosen := [key for key in ARMS if key in arms and key != BARE]:
        result["every_step"] = in_groups(case, chosen, plans[0], threads)
    if "auto" in arms:
        sampling = {key: arm for key, arm in AUTO.items() if key in {BARE, "auto", *arms}}
        with workers(sampling, threads) as there:
            result["auto"] = in_total(race(there, case, sampling, plans[1], say, same_steps=True))
    return result


def in_groups(case: Case, chosen: list[str], plan: Plan, threads: int | None) -> dict[str, Any]:
    """What each arm costs on every step; the bare loop's own row is that of the first group."""
    rows: dict[str, Any] = {}
    for start in range(0, len(chosen), GROUP):
        group = {key: ARMS[key] for key in (BARE, *chosen[start : start + GROUP])}
        with workers(group, threads) as there:
            rows = every_step(race(there, case, group, plan, say)) | rows
    return {key: rows[key] for key in (BARE, *chosen)}


@contextmanager
def workers(arms: Mapping[str, Arm], threads: int | None) -> Iterator[dict[str, Worker]]:
    """A process for each arm, ended when the block is left."""
    with ExitStack() as stack:
        yield {key: stack.enter_context(Worker(threads)) for key in arms}


if __name__ == "__main__":
    main()
