"""What watching every tensor of every step costs: headwater, its peers and the bare loop, in turn.

    python -m benchmarks.overhead [--only gpt2,resnet18,mlp] [--arms bare,headwater,wandb] [--quick] [--out FOLDER]

Each arm is measured in a process of its own, against the bare loop of that process (``paired`` says how the figures are
made). The arm "bare" attaches nothing, so its figure is what this machine cannot tell apart.
"""

from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks import machine
from benchmarks.models import CASES, Case
from benchmarks.options import load, one_of, parser, save, say
from benchmarks.paired import Plan, every_step, in_total
from benchmarks.peers import ARMS, AUTO
from benchmarks.tables import overhead_table, percent
from benchmarks.worker import Worker

PLAN = Plan(rounds=8, block_s=0.6, most_steps=50, stretch_s=30.0, stretch_steps=(200, 1000))
PLANS = {"gpt2": Plan(rounds=5, block_s=0.6, most_steps=50, stretch_s=60.0, stretch_steps=(48, 1000))}
QUICK = Plan(rounds=2, block_s=0.2, most_steps=3, stretch_s=0.2, stretch_steps=(12, 12))


def main(arguments: list[str] | None = None) -> None:
    """Run the chosen cases and arms; print a table for each case and write the results as they come."""
    options = parser(__doc__)
    options.add_argument("--only", type=partial(one_of, CASES), default=list(CASES), help=", ".join(CASES))
    arms = {**ARMS, **AUTO}
    options.add_argument("--arms", type=partial(one_of, arms), default=list(arms), help=", ".join(arms))
    given = options.parse_args(arguments)
    for key in given.only:
        plan = QUICK if given.quick else PLANS.get(key, PLAN)
        result = {"quick": given.quick, **overhead(CASES[key], given.arms, plan, given.threads)}
        # What was measured before stays, each case beside its own machine and date.
        cases = load(given.out, "overhead").get("cases", {}) | {key: result}
        save(given.out, "overhead", {"cases": {known: cases[known] for known in CASES if known in cases}})
        print(overhead_table(result), flush=True)


def overhead(case: Case, arms: list[str], plan: Plan, threads: int | None = None) -> dict[str, Any]:
    """What each arm costs on one case.

    Args:
        case: What to train.
        arms: Keys of ``ARMS`` and ``AUTO``.
        plan: For how long.
        threads: Threads for arithmetic; torch's own default if ``None``.
    """
    result: dict[str, Any] = {
        "label": case.label,
        "machine": machine.describe(threads),
        "plan": asdict(plan),
        "every_step": {},
        "auto": {},
    }
    for key in (key for key in ARMS if key in arms):
        with Worker(threads) as worker:
            row = result["every_step"][key] = every_step(worker, case, ARMS[key], plan)
        say(f"{case.label}: {row['label']}: {row['crash'] or percent(row['overhead_pct'])}")
    for key in (key for key in AUTO if key in arms and "auto" in arms):
        with Worker(threads) as worker:
            row = result["auto"][key] = in_total(worker, case, AUTO[key], plan)
        say(f"{case.label}: {row['label']}: {row['crash'] or percent(row['total_pct'])}")
    return result


if __name__ == "__main__":
    main()
