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
from benchmarks.overhead import QUICK
from benchmarks.paired import Plan, every_step, in_total
from benchmarks.peers import ARMS, AUTO
from benchmarks.tables import scaling_table
from benchmarks.worker import Worker

BASE = Mlp(depth=20)
VARIED = {
    "depth": (10, 30, 100, 300, 1000),
    "width": (32, 128, 512, 2048),
    "batch": (8, 32, 128, 1024),
}
VARIED_QUICK = {"depth": (10, 30), "width": (32,), "batch": (8,)}
PLAN = Plan(rounds=6, block_s=0.3, most_steps=50, stretch_s=4.0, stretch_steps=(40, 400))


def main(arguments: list[str] | None = None) -> None:
    """Go through all sizes in one process."""
    given = parser(__doc__).parse_args(arguments)
    plan = QUICK if given.quick else PLAN
    result: dict[str, Any] = {"machine": machine.describe(given.threads), "quick": given.quick, "rows": []}
    with Worker(given.threads) as worker:
        for varied, values in (VARIED_QUICK if given.quick else VARIED).items():
            for value in values:
                case = replace(BASE, **{varied: value})
                result["rows"].append({"varied": varied, **row(case, worker, plan)})
                say(f"scaling: {case.label}")
    save(given.out, "scaling", result)
    print(scaling_table(result), flush=True)


def row(case: Mlp, worker: Worker, plan: Plan) -> dict[str, Any]:
    """One network: both ways of watching, and what the machine cannot tell apart."""
    sites = 2 * case.depth
    watched = every_step(worker, case, ARMS["headwater"], plan)
    return {
        "depth": case.depth,
        "width": case.width,
        "batch": case.batch,
        "sites": sites,
        "per_site_us": None if watched["crash"] else 1e3 * watched["extra_ms"] / sites,
        "bare": every_step(worker, case, ARMS["bare"], plan),
        "headwater": watched,
        "auto": in_total(worker, case, AUTO["auto"], plan),
    }


if __name__ == "__main__":
    main()
