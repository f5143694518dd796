"""The results as Markdown, and as the page docs/abyss.md."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.abyss import picture
from benchmarks.options import RESULTS, say
from benchmarks.tables import between, machine_line, number, table

PAGE = RESULTS.parent / "abyss.md"
LABELS = {
    "relu": "ReLU, untouched",
    "relu-he": "ReLU, He",
    "relu-orthogonal": "ReLU, orthogonal × √2",
    "relu-lsuv": "ReLU, LSUV",
    "relu-mirrored": "ReLU, **mirrored orthogonal**",
    "sigmoid": "sigmoid, untouched",
    "sigmoid-xavier": "sigmoid, Xavier",
    "sigmoid-lsuv": "sigmoid, LSUV",
    "sigmoid-tailored": "sigmoid, **tailored**",
    "fix-relu": "1,000 × ReLU",
    "fix-sigmoid": "1,000 × sigmoid",
    "deep": "10,000 × ReLU, mirrored orthogonal",
    "four": "4 × ReLU",
    "linear": "no hidden layer",
}
THOUSAND = [name for name in LABELS if name.startswith(("relu", "sigmoid"))]
HEADS = {
    "thousand": [
        *("1,000 layers of 64", "gradient, first layer", "last layer", "mean \\|cos\\|", "effective rank"),
        *("test accuracy", "CPU s of a training"),
    ],
    "fix": [
        *("network", "verdict", "the cure", "test accuracy", "95 % interval of the gain", "placebo", "random remedy"),
        *("s of a training", "CPU s in all", "s in all"),
    ],
    "deep": ["network", "test accuracy", "training accuracy", "CPU s", "s", "peak memory, GiB"],
}

Result = dict[str, Any]


def write(result: Result) -> None:
    """Rewrite what stands between the page's markers, and draw."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in sections(result).items():
        text = between(text, name, content)
    PAGE.write_text(text, encoding="utf-8")
    picture.draw(result["parts"], RESULTS / "abyss.svg", LABELS)
    say(f"written: {PAGE}")


def sections(result: Result) -> dict[str, str]:
    """What stands between the markers of the page, by their names."""
    parts = result["parts"]
    thousand = table(HEADS["thousand"], [thousand_row(name, parts[name]) for name in THOUSAND if name in parts])
    fixes = table(HEADS["fix"], [fix_row(name, parts[name]) for name in ("fix-relu", "fix-sigmoid") if name in parts])
    deep = table(HEADS["deep"], [deep_row(name, parts[name]) for name in ("deep", "four", "linear") if name in parts])
    return {
        "thousand": "\n\n".join([machine_line(result), thousand]),
        "fix": "\n\n".join([fixes, *left_out(parts)]),
        "deep": "\n\n".join([deep, *shallow(parts)]),
    }


def thousand_row(name: str, part: Result) -> list[str]:
    """One kind of network: what was seen before its training, and the kindest of its rates or each of its seeds."""
    first, last = part["before"][0], part["before"][-1]
    seen = [f"{first['gradient_rms']:.1e}", f"{last['gradient_rms']:.1e}", f"{last['abs_cosine']:.4f}"]
    seconds = statistics.median(run["cpu_s"] for run in part["runs"])
    return [LABELS[name], *seen, number(last["effective_rank"]), scores(part), number(seconds)]


def scores(part: Result) -> str:
    """Test accuracy: of each seed; or, where rates were tried, the best of them."""
    runs = part["runs"]
    if len({run["rate"] for run in runs}) > 1:
        return f"{max(run['test'] for run in runs):.3f} at the best of {len(runs)} rates"
    return f"{', '.join(format(run['test'], '.3f') for run in runs)} at {runs[0]['rate']:g}"


def fix_row(name: str, part: Result) -> list[str]:
    """What ``headwater fix`` came to."""
    if part["interval"] is None:
        told = [part["verdict"].replace("_", " "), *["-"] * 6]
    else:
        low, high = part["interval"]
        told = [
            part["verdict"].replace("_", " "),
            " + ".join(f"`{remedy}`" for remedy in part["remedies"]) or "-",
            f"{part['before']:.3f} → {part['after']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{part['placebo']:.3f}",
            f"{part['random_remedy']:.3f}",
            number(part["training_s"]),
        ]
    return [LABELS[name], *told, number(part["cpu_s"]), number(part["wall_s"])]


def left_out(parts: Result) -> list[str]:
    """Which prescriptions theory kept it from trying."""
    told = []
    for name in ("fix-relu", "fix-sigmoid"):
        for note in parts.get(name, {}).get("left_out", ()):
            told.append(
                f"{LABELS[name]}: not tried, for by theory it merges all inputs within {note['after']:,} layers: "
                f"{note['remedies']}."
            )
    return ["\n".join(f"- {line}" for line in told)] if told else []


def deep_row(name: str, part: Result) -> list[str]:
    """One network over its seeds."""
    runs = part["runs"]
    test, training = (", ".join(f"{run[key]:.3f}" for run in runs) for key in ("test", "training"))
    seconds = [statistics.median(run[key] for run in runs) for key in ("cpu_s", "wall_s")]
    return [LABELS[name], test, training, *map(number, seconds), f"{max(run['peak_gib'] for run in runs):.2f}"]


def shallow(parts: Result) -> list[str]:
    """What depth is worth here, in figures of the same run."""
    if not {"four", "deep", "relu-mirrored"} <= parts.keys():
        return []
    means = {
        name: statistics.fmean(run["test"] for run in parts[name]["runs"]) for name in ("four", "relu-mirrored", "deep")
    }
    seconds = {name: statistics.median(run["cpu_s"] for run in parts[name]["runs"]) for name in means}
    times = seconds["relu-mirrored"] / max(seconds["four"], 1e-3)
    cost = number(seconds["four"])
    return [
        f"**A network of four layers scores as well**: {means['four']:.3f} on average, after {cost} s of CPU time; "
        f"a thousand layers score {means['relu-mirrored']:.3f} for {number(times)} times as much, ten thousand "
        f"{means['deep']:.3f}. What is shown is that such depth can be trained, not that it helps."
    ]


def told(part: Result) -> str:
    """In a line."""
    if "runs" not in part:
        if part["after"] is None:
            return f"{part['verdict']} in {part['cpu_s']:.0f} CPU s"
        cure = " + ".join(part["remedies"])
        return f"{part['verdict']} {cure}, {part['before']:.3f} → {part['after']:.3f}, {part['cpu_s']:.0f} CPU s"
    return f"{scores(part)}, {statistics.median(run['cpu_s'] for run in part['runs']):.0f} CPU s each"
