"""What all the scripts have in common: their options, where results go, and what they say meanwhile."""

import argparse
import json
import sys
from pathlib import Path
from time import monotonic
from typing import Any

SCHEMA = "headwater/benchmark/1"
RESULTS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"

_STARTED = monotonic()


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options that every script takes.

    Args:
        description: The script's docstring; its first paragraph is shown.
    """
    options = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    options.add_argument("--quick", action="store_true", help="a few steps of everything: does it run?")
    options.add_argument("--out", type=Path, help="folder for the JSON results (default: nothing is written)")
    options.add_argument("--threads", type=int, help="threads for arithmetic (default: torch's own choice)")
    return options


def one_of(choices: dict[str, Any], text: str) -> list[str]:
    """A comma-separated choice among the keys of ``choices``.

    Raises:
        argparse.ArgumentTypeError: If one of them is not among them.
    """
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in choices]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose among {', '.join(choices)}")
    return names


def save(out: Path | None, name: str, payload: dict[str, Any], quiet: bool = False) -> None:
    """Write ``name.json`` into the folder, if there is one, and say so."""
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"schema": SCHEMA, "name": name, **payload}, indent=1, ensure_ascii=False)
    (out / f"{name}.json").write_text(text + "\n")
    if not quiet:
        say(f"written: {out / name}.json")


def load(out: Path | None, name: str) -> dict[str, Any]:
    """Results that were written before, nothing if there are none."""
    path = None if out is None else out / f"{name}.json"
    return json.loads(path.read_text()) if path and path.exists() else {}


def say(text: str) -> None:
    """A line of progress with the minutes gone by; on stderr, so that stdout holds the tables alone."""
    seconds = round(monotonic() - _STARTED)
    print(f"[{seconds // 60:2d}:{seconds % 60:02d}] {text}", file=sys.stderr, flush=True)
