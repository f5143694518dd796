"""Follow the gradient back to its source: measure, diagnose, repair and prove it, in any PyTorch network.

The names below load what they need when they are first used, so that ``import headwater`` costs milliseconds.
"""

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.api import apply as apply
    from headwater.api import assert_healthy as assert_healthy
    from headwater.api import check as check
    from headwater.api import fix as fix
    from headwater.api import predict as predict
    from headwater.api import prescribe as prescribe
    from headwater.api import prove as prove
    from headwater.api import trace as trace
    from headwater.recorded import Run as Run
    from headwater.recorded import open_run as open_run
    from headwater.records import Budget as Budget
    from headwater.records import Cause as Cause
    from headwater.records import Experiment as Experiment
    from headwater.records import Finding as Finding
    from headwater.records import Flow as Flow
    from headwater.records import InputError as InputError
    from headwater.records import Moments as Moments
    from headwater.records import Prescription as Prescription
    from headwater.records import Proof as Proof
    from headwater.report import Cure as Cure
    from headwater.report import Prediction as Prediction
    from headwater.report import Report as Report
    from headwater.report import Trace as Trace
    from headwater.sweeps import sweep as sweep
    from headwater.watching import watch as watch

__version__ = "0.1.0"

_HOMES = {
    "Budget": "headwater.records",
    "Cause": "headwater.records",
    "Cure": "headwater.report",
    "Experiment": "headwater.records",
    "Finding": "headwater.records",
    "Flow": "headwater.records",
    "InputError": "headwater.records",
    "Moments": "headwater.records",
    "Prediction": "headwater.report",
    "Prescription": "headwater.records",
    "Proof": "headwater.records",
    "Report": "headwater.report",
    "Run": "headwater.recorded",
    "Trace": "headwater.report",
    "apply": "headwater.api",
    "assert_healthy": "headwater.api",
    "check": "headwater.api",
    "fix": "headwater.api",
    "open_run": "headwater.recorded",
    "predict": "headwater.api",
    "prescribe": "headwater.api",
    "prove": "headwater.api",
    "sweep": "headwater.sweeps",
    "trace": "headwater.api",
    "watch": "headwater.watching",
}

__all__ = [
    "Budget",
    "Cause",
    "Cure",
    "Experiment",
    "Finding",
    "Flow",
    "InputError",
    "Moments",
    "Prediction",
    "Prescription",
    "Proof",
    "Report",
    "Run",
    "Trace",
    "__version__",
    "apply",
    "assert_healthy",
    "check",
    "fix",
    "open_run",
    "predict",
    "prescribe",
    "prove",
    "sweep",
    "trace",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headwater' has no attribute {name!r}; it has {', '.join(__all__)}.")
    drawn = random.getstate()  # a package that is loaded here draws from it, and a training goes on from it
    try:
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    finally:
        random.setstate(drawn)
    return value


def __dir__() -> list[str]:
    return __all__
