"""A network of the lab as the PyTorch script that gives the numbers on the screen: data, weights, order, every step."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from headwater import __version__
from headwater.lab import data, modules
from headwater.lab.network import OPTIMIZERS, PENALTIES, Network, built, penalty_edits
from headwater.lab.plan import Plan, Shape, Task, planned
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec
from headwater.remedies.before_update import BeforeUpdate, WeightPenalty
from headwater.remedies.edits import Edit, as_code

FILE = "data.csv"
_LOADED = {
    "digits": "load_digits(return_X_y=True)",
    "breast_cancer": "load_breast_cancer(return_X_y=True)",
    "circles": "make_circles(1000, noise=0.05, factor=0.5, random_state=0)",
    "moons": "make_moons(1000, noise=0.15, random_state=0)",
}
_LOSSES: dict[Task, str] = {"classes": "cross_entropy", "curve": "mse_loss"}
_OWN: dict[str, tuple[Callable[..., Any], str]] = {
    "spirals": (data.spiral_points, ""),
    "curve": (data.curve_points, ", is_class=False"),
    "folds": (data.fold_points, ", is_class=False, is_scaled=False"),
    "surface": (data.surface_points, ", is_class=False, is_scaled=False"),
}
"""What makes the points of data of the lab's own, and how they are divided."""
_BATCHES = '''\
def batches(x, y, size):
    """Batches without end, each epoch in an order of its own."""
    generator = torch.Generator().manual_seed(SEED)
    while True:
        rows = list(torch.randperm(len(x), generator=generator).split(size))
        for chosen in rows[:-1] if len(rows) > 1 and len(rows[-1]) < size else rows:
            yield x[chosen], y[chosen]
'''
_READ = '''\
def read(name):
    """Rows of numbers without holes; the last column is the target."""
    with open(name, newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        rows = [row for row in csv.reader(file, delimiter=";" if first.count(";") > first.count(",") else ",") if row]
    holes = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
    rows = [row for row in rows[1:] if not any(cell.strip().lower() in holes for cell in row)]
    return [[float(cell) for cell in row[:-1]] for row in rows], [row[-1].strip() for row in rows]
'''


def script_of(slot: Slot) -> dict[str, Any]:
    """Name and text of the script; it prints the loss of each step up to where the network is now."""
    return {"name": "lab.py", "script": script(slot)}


def script(slot: Slot) -> str:
    """The script of a network and of what was changed while it trained."""
    spec = slot.begun_with
    patches: dict[str, str] = {}
    network = built(spec, slot.uploaded, patches)
    penalties = _penalties_from_the_start(network)
    if penalties:
        patches["penalty"] = as_code(penalties)
    elif any(name in PENALTIES for _, name, _ in slot.changes):
        patches["penalty"] = "\n\n".join(inspect.getsource(kind) for kind in (BeforeUpdate, WeightPenalty))
    lines = [
        *_heading(spec, slot),
        *_data_functions(spec),
        _BATCHES,
        "",
        *_module_classes(network.plan),
        *(_renamed(name, code) for name, code in patches.items()),
        *_data_lines(spec, slot),
        "",
        *_model_lines(spec, network.plan, patches),
        *_optimizer_lines(spec, patches, bool(penalties)),
        *_training_lines(slot, _LOSSES[network.plan.shape.task]),
        "",
        *_test_lines(network.plan.shape.task),
    ]
    return "\n".join(lines) + "\n"


def _penalties_from_the_start(network: Network) -> tuple[Edit, ...]:
    """What L1 and L2 do to the optimizer."""
    strengths = {name: getattr(network.spec, name) for name in PENALTIES}
    return tuple(
        edit for name, strength in strengths.items() if strength for edit in penalty_edits(network, name, strength)
    )


def _heading(spec: Spec, slot: Slot) -> list[str]:
    """What it is, what it imports, and its two constants."""
    return [
        f'"""A network of headwater\'s lab ({__version__}): the same data, weights and steps as on the screen."""',
        "",
        *(["import csv", ""] if spec.data == "csv" else []),
        "import torch",
        *(["from sklearn import datasets"] if spec.data in _LOADED else []),
        "from torch import Tensor, nn",
        "",
        f"SEED, STEPS = {spec.seed}, {slot.step}",
        "",
        "",
    ]


def _model_lines(spec: Spec, plan: Plan, patches: dict[str, str]) -> list[str]:
    """The network as it is before its first step."""
    return [
        "torch.manual_seed(SEED)",
        "model = nn.Sequential()",
        *(f"model.add_module({part.name!r}, {part.code})" for part in plan.parts),
        *(["model = init(model)"] if "init" in patches else []),
        *_scaling(spec),
        *(["model = remedies(model)"] if "remedies" in patches else []),
    ]


def _optimizer_lines(spec: Spec, patches: dict[str, str], penalised: bool) -> list[str]:
    """The optimizer, and what acts on it."""
    repaired = "def repair_optimizer" in patches.get("remedies", "")
    return [
        f"optimizer = {_optimizer(spec)}",
        *(["penalty_optimizer(model, optimizer)"] if penalised else []),
        *(["remedies_optimizer(model, optimizer)"] if repaired else []),
    ]


def _training_lines(slot: Slot, loss: str) -> list[str]:
    """Every step, with what was changed at it."""
    return [
        "model.train()",
        "torch.manual_seed(SEED)  # of dropout",
        f"stream = batches(x, y, {slot.begun_with.batch_size})",
        "for step in range(STEPS):",
        *_changes(slot),
        "    inputs, targets = next(stream)",
        "    optimizer.zero_grad()",
        f"    loss = nn.functional.{loss}(model(inputs), targets)",
        "    loss.backward()",
        "    optimizer.step()",
        '    print(step, f"{float(loss.detach()):.9g}")',
    ]


def _test_lines(task: Task) -> list[str]:
    """How well it does on samples that it was not trained on."""
    right = "print('test accuracy', float((output.argmax(1) == test_y).double().mean()))"
    return [
        "model.eval()",
        "with torch.no_grad():",
        "    output = model(test_x)",
        f"    loss = nn.functional.{_LOSSES[task]}(output, test_y)",
        "print('test loss', f'{float(loss):.9g}')",
        *([right] if task == "classes" else []),
    ]


def _data_functions(spec: Spec) -> list[str]:
    functions: list[Callable[..., Any]] = [data.standardised, data.divided]
    if spec.data in _OWN:
        functions.append(_OWN[spec.data][0])
    sources = [inspect.getsource(one) + "\n" for one in functions]
    return [*sources, *([_READ, ""] if spec.data == "csv" else [])]


def _data_lines(spec: Spec, slot: Slot) -> list[str]:
    if spec.data == "csv":
        assert slot.uploaded is not None
        is_class = slot.uploaded.task == "classes"
        lines = [f"inputs, targets = read({FILE!r})  # the file that was given to the lab"]
        if is_class:
            lines.append("names = sorted(set(targets))")
        numbers = "names.index(value)" if is_class else "float(value)"
        lines.append(f"targets = torch.tensor([float({numbers}) for value in targets])")
        lines.append(f"x, y, test_x, test_y = divided(torch.tensor(inputs), targets, is_class={is_class})")
    elif spec.data in _LOADED:
        lines = [
            f"inputs, targets = map(torch.tensor, datasets.{_LOADED[spec.data]})",
            "x, y, test_x, test_y = divided(inputs, targets)",
        ]
    else:
        points, how = _OWN[spec.data]
        lines = [f"x, y, test_x, test_y = divided(*{points.__name__}(){how})"]
    return [*lines, *([f"x, y = x[:{spec.samples}], y[:{spec.samples}]"] if spec.samples else [])]


def _module_classes(plan: Plan) -> list[str]:
    kinds = {part.kind for part in plan.parts}
    return [inspect.getsource(getattr(modules, kind)) + "\n" for kind in ("Residual", "LastStep") if kind in kinds]


def _renamed(name: str, code: str) -> str:
    """A patch without its imports, its functions called after what it is for."""
    body = code.replace("import torch\nfrom torch import nn\n", "", 1).strip("\n")
    body = re.sub(r"^def repair\(", f"def {name}(", body, flags=re.MULTILINE)
    body = re.sub(r"^def repair_optimizer\(", f"def {name}_optimizer(", body, flags=re.MULTILINE)
    return body + "\n\n"


def _scaling(spec: Spec) -> list[str]:
    lines = []
    if spec.scale != 1.0:
        lines += [
            "    for weight in model.parameters():",
            "        if weight.dim() > 1:",
            f"            weight.mul_({spec.scale!r})",
        ]
    if spec.bias:
        lines += [
            "    for layer in [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))][:-1]:",
            f"        layer.bias.fill_({spec.bias!r})",
        ]
    return ["with torch.no_grad():", *lines] if lines else []


def _optimizer(spec: Spec) -> str:
    kind, settings = OPTIMIZERS[spec.optimizer]
    more = "".join(f", {name}={value!r}" for name, value in settings.items())
    return f"torch.optim.{kind}(model.parameters(), lr={spec.learning_rate!r}{more})"


def _changes(slot: Slot) -> list[str]:
    """What was changed while it trained, at the step it was changed at."""
    lines: list[str] = []
    spec = slot.begun_with
    for step, name, value in slot.changes:
        if step >= slot.step:
            continue
        before, spec = spec, spec.changed({name: value})
        lines += [
            f"    if step == {step}:",
            *(f"        {line}" for line in _change(name, before, spec, slot.network.plan.shape)),
        ]
    return lines


def _change(name: str, before: Spec, spec: Spec, shape: Shape) -> list[str]:
    if name == "learning_rate":
        return ["for group in optimizer.param_groups:", f'    group["lr"] = {spec.learning_rate!r}']
    if name == "batch_size":
        return [f"stream = batches(x, y, {spec.batch_size})"]
    if name == "dropout":
        return [
            "for module in model.modules():",
            "    if isinstance(module, nn.Dropout):",
            f"        module.p = {spec.dropout!r}",
        ]
    if name in ("activation", "activations"):
        return _new_activations(before, spec, shape)
    lines = [f"optimizer = {_optimizer(spec)}"] if name == "optimizer" else []
    return [*lines, *_penalties(spec)]


def _new_activations(before: Spec, spec: Spec, shape: Shape) -> list[str]:
    old, new = planned(before, shape).places(), planned(spec, shape).places()
    return [f"model.set_submodule({name!r}, {part.code})" for name, part in new.items() if part != old[name]]


def _penalties(spec: Spec) -> list[str]:
    """Both penalties anew, in the place of those there were."""
    lines = ["optimizer._optimizer_step_pre_hooks.clear()"]
    for power, strength in ((1, spec.l1), (2, spec.l2)):
        if strength:
            lines += [
                "weights = [weight for weight in model.parameters() if weight.dim() > 1]",
                f"optimizer.register_step_pre_hook(WeightPenalty(weights, {strength!r}, power={power}))",
            ]
    return lines
