"""What to say when a target names something that is no experiment: each text ends in the corrected call."""

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.cli.asked import command
from headwater.cli.candidates import candidates

NEEDED = "{command} needs an Experiment, or a function that returns one."
NEEDED_FOR_MODEL = "{command} needs its data and loss too."
WRAPPED = """
    from headwater import Experiment

    experiment = Experiment(
        model={model},
        batches=lambda: train_loader,
        loss=lambda model, batch: cross_entropy(model(batch[0]), batch[1]),
    )

and run: headwater {command} {location}:experiment"""


def no_location(target: str) -> str:
    """``:experiment``, or nothing at all."""
    corrected = f"A target is FILE.py:NAME or MODULE:NAME: headwater {command()} train.py:experiment"
    return f"{target!r} names no file or module. {corrected}"


def no_name(location: str, name: str, path: Path) -> str:
    """``train.py``, ``train.py:`` or ``train.py:my-experiment``."""
    what = f"{name!r} is no name in Python." if name else f"which name in {location}?"
    target = f"A target is {location}:NAME, an Experiment or a function without arguments that returns one."
    return f"{what} {target}{_offer(location, candidates(path))}"


def no_such_name(location: str, name: str, namespace: Mapping[str, Any], path: Path) -> str:
    """The file is there, the name in it is not."""
    public = [key for key in namespace if not key.startswith("_")]
    near = difflib.get_close_matches(name, public, n=3)
    return f"there is no {name!r} in {location}.{_offer(location, near or candidates(path))}"


def not_an_experiment(location: str, name: str, value: Any) -> str:
    """A model, a class, a loader or anything else that was named in place of an experiment."""
    named = f"{location}:{name} is"
    if is_model(value):
        fresh = f"lambda: {type(value).__name__}(...)"
        return f"{named} {_kind(value)}: {NEEDED_FOR_MODEL.format(command=command())} {_wrapped(location, fresh)}"
    if isinstance(value, type):
        return f"{named} a class: {NEEDED.format(command=command())} {_wrapped(location, name)}"
    return f"{named} {_kind(value)}: {NEEDED.format(command=command())} {_wrapped(location, 'Net')}"


def needs_arguments(location: str, name: str, missing: list[str]) -> str:
    """A function that no command can call, as it knows no arguments for it."""
    arguments = ", ".join(f"{argument}=..." for argument in missing)
    return (
        f"{location}:{name} needs arguments ({', '.join(missing)}), and {command()} calls it with none. "
        f"Give them defaults, or add to {location}\n\n    def experiment():\n        return {name}({arguments})\n\n"
        f"and run: headwater {command()} {location}:experiment"
    )


def returned_something_else(location: str, name: str, value: Any) -> str:
    """A function that was called and gave back no experiment."""
    returned = f"{location}:{name} returned"
    if value is None:
        return f"{returned} None: let it end in `return Experiment(...)`. Then: headwater {command()} {location}:{name}"
    if is_model(value):
        return f"{returned} {_kind(value)}: {NEEDED_FOR_MODEL.format(command=command())} {_wrapped(location, name)}"
    return f"{returned} {_kind(value)}: {NEEDED.format(command=command())} {_wrapped(location, 'Net')}"


def is_model(value: Any) -> bool:
    """Whether ``value`` is an ``nn.Module``; nothing is one before torch is loaded, so this need not load it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _kind(value: Any) -> str:
    name = type(value).__name__
    if is_model(value):
        return f"a model ({name})"
    return f"an {name}" if name[0] in "aeiouAEIO" else f"a {name}"


def _offer(location: str, names: list[str]) -> str:
    if not names:
        return f" {_wrapped(location, 'Net')}"
    calls = "".join(f"\n    headwater {command()} {location}:{name}" for name in names)
    return f" Did you mean:{calls}"


def _wrapped(location: str, model: str) -> str:
    return f"Add to {location}\n{WRAPPED.format(model=model, location=location, command=command())}"
