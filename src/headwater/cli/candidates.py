"""What in a file could be checked, read off its source: nothing is run to write an error message."""

import ast
from pathlib import Path


def candidates(path: Path) -> list[str]:
    """Top-level names that look like a target: Experiments, functions that return one, then any without arguments."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and not _needs_arguments(node.args)]
    likely = [node.name for node in functions if _makes_experiment(node)]
    rest = [node.name for node in functions if node.name not in likely and not node.name.startswith("_")]
    return _assigned_experiments(body) + likely + rest


def _assigned_experiments(body: list[ast.stmt]) -> list[str]:
    names = []
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and _is_experiment_call(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def _makes_experiment(function: ast.FunctionDef) -> bool:
    if function.returns is not None and "Experiment" in ast.unparse(function.returns):
        return True
    return any(isinstance(node, ast.Return) and _is_experiment_call(node.value) for node in ast.walk(function))


def _is_experiment_call(node: ast.expr | None) -> bool:
    """Whether ``node`` reads ``Experiment(...)``, ``hw.Experiment(...)`` or the like."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Experiment"


def _needs_arguments(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional > len(arguments.defaults) or None in arguments.kw_defaults
