"""How the cost of watching grows: with depth, with width, with the batch.

    python -m benchmarks.scaling [--quick] [--out FOLDER]

Plain networks of Linear and ReLU layers, one dimension varied at a time, headwater on every step and ``every="auto"``
against the bare loop. A site is a layer whose output is measured: two per Linear + ReLU.
"""

from dataclasses import replace
from typing import Any

from benchmarks import machine
from benchmarks.models import Mlp
from benchmarks.options import parser, save, say
from benchmarks.overhead import QUICK, workers
from benchmarks.peers import ARMS, AUTO
from benchmarks.rounds import Plan, every_step, in_total, race
from benchmarks.tables import scaling_table
from benchmarks.worker import Worker

BASE = Mlp(depth=20)
VARIED = {
    "depth": (10, 30, 100, 300, 1000),
    "width": (32, 128, 512, 2048),
    "batch": (8, 32, 128, 1024),
}
VARIED_QUICK = {"depth": (10, 30), "width": (32,), "batch": (8,)}
EVERY_STEP = Plan(rounds=6, block_s=0.3, most_steps=50)
IN_TOTAL = Plan(rounds=4, block_s=1.0, most_steps=100, fewest_steps=10)


def main(arguments: list[str] | None = None) -> None:
    """Go through all sizes with the same processes."""
    given = parser(__doc__).parse_args(arguments)
    every = {key: ARMS[key] for key in ("bare", "bare_again", "headwater")}
    result: dict[str, Any] = {"machine": machine.describe(given.threads), "quick": given.quick, "rows": []}
    with workers(every | {"auto": AUTO["auto"]}, given.threads) as there:
        for varied, values in (VARIED_QUICK if given.quick else VARIED).items():
            for value in values:
                case = replace(BASE, **{varied: value})
                result["rows"].append({"varied": varied, **row(case, there, given.quick)})
                say(f"scaling: {case.label}")
    save(given.out, "scaling", result)
    print(scaling_table(result), flush=True)


def row(case: Mlp, there: dict[str, Worker], quick: bool) -> dict[str, Any]:
    """One network: both ways of watching, and the noise.

    Args:
        case: The network.
        there: A process for each of "bare", "bare_again", "headwater" and "auto".
        quick: Too short to tell anything.
    """
    every = {key: ARMS[key] for key in ("bare", "bare_again", "headwater")}
    auto = {key: AUTO[key] for key in ("bare", "auto")}
    steps = every_step(race(there, case, every, QUICK if quick else EVERY_STEP, ignore))
    totals = in_total(race(there, case, auto, QUICK if quick else IN_TOTAL, ignore, same_steps=True))
    sites = 2 * case.depth
    watched = steps["headwater"]
    return {
        "depth": case.depth,
        "width": case.width,
        "batch": case.batch,
        "sites": sites,
        "per_site_us": None if watched["crash"] else 1e3 * watched["extra_ms"] / sites,
        "bare": steps["bare"],
        "bare_again": steps["bare_again"],
        "headwater": watched,
        "auto": totals["auto"],
    }


def ignore(text: str) -> None:
    """One line for each network is progress enough."""


if __name__ == "__main__":
    main()
