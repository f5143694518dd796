"""What is promised of a logger."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headwater.api import check
from headwater.telling import SCALARS, Logger


def check_logger(kind: Any, make: Callable[[], Any], target: Any = None) -> Logger:
    """Fail unless a logger takes what it is told, NaN and Inf included, and a report with its files.

    Args:
        kind: The class that the entry point names.
        make: Gives one of them, for a run of its own.
        target: What ``log_to`` should make one of; by default nothing.

    Returns:
        The logger, so that the test can look at what has become of it: step 0 was told, step 1 with NaN and Inf, and a
        report at step 2.

    Raises:
        AssertionError: With the sentence that does not hold.
    """
    assert callable(getattr(kind, "of", None)), f"{kind.__name__} needs a class method of(target)"
    for strange in (object(), None, 3, "no such logger", []):
        assert kind.of(strange) is None, f"{kind.__name__}.of({strange!r}) takes what is not its own"
    if target is not None:
        assert isinstance(kind.of(target), Logger), f"{kind.__name__}.of does not know its own {type(target).__name__}"
    logger = make()
    assert isinstance(logger, Logger), f"{kind.__name__} has no scalars(step, values) or no report(step, report, files)"
    values = {f"headwater/{name}": 0.5 for name in SCALARS}
    logger.scalars(0, dict(values))
    logger.scalars(1, {**values, "headwater/log10_gradient": -math.inf, "headwater/gradient_cosine": math.nan})
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    report = check(net, torch.ones(4, 4), lambda model, batch: model(batch).square().mean())
    with tempfile.TemporaryDirectory() as folder:
        files = [report.save(Path(folder, f"headwater-report.{ending}")) for ending in ("html", "json")]
        logger.report(2, report, files)
    return logger
