"""Where and from what a report came."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunInfo:
    """What a reader needs to reproduce a report; no paths, no environment, no data.

    Attributes:
        headwater: Version of headwater.
        torch: Version of PyTorch.
        python: Version of Python.
        created: UTC time, ISO 8601, to the second.
        model: Class name of the model.
        parameters: Number of weights.
        trainable: Number of weights that ask for a gradient.
        device: Such as ``cpu`` or ``cuda:0``.
        seed: Seed the measurement ran under, ``None`` if it was left alone.
        wall_time_s: Seconds the measurement took.
    """

    headwater: str
    torch: str
    python: str
    created: str
    model: str
    parameters: int
    trainable: int
    device: str
    seed: int | None
    wall_time_s: float
