"""What headwater knows about an activation function."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Family = Literal["identity", "s_shaped", "rectifier", "smooth_rectifier"]
Initialisation = Literal["xavier", "he"]


@dataclass(frozen=True)
class Activation:
    """One activation function: φ, φ′ and the names torch programs call it by.

    Attributes:
        id: Its name here, such as ``leaky_relu``; also the last part of the remedy ``activation.leaky_relu``.
        phi: φ(x, **parameters), elementwise, any shape to the same shape.
        derivative: φ′(x, **parameters); at a kink, the value torch's backward gives.
        family: ``s_shaped`` saturates on both sides, ``rectifier`` is piecewise linear, ``smooth_rectifier`` is not.
        init: The initialisation lectures recommend: Xavier for S-shaped, He for the rectifiers and their relatives.
        modules: Class names that compute it.
        functions: Names of torch functions and tensor methods that compute it.
        parameters: Names and defaults of its parameters, in the order the torch function takes them.
        kinks: Where φ, φ′ or φ″ jumps, for the default parameters.
        kinks_at: The same for any parameters, where they move with them.
        arguments: Keyword arguments with which ``torch.nn.<first module>`` computes it.
    """

    id: str
    phi: Callable[..., Array]
    derivative: Callable[..., Array]
    family: Family
    init: Initialisation
    modules: tuple[str, ...]
    functions: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    kinks: tuple[float, ...] = ()
    kinks_at: Callable[..., tuple[float, ...]] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def is_homogeneous(self) -> bool:
        """Whether φ(a x) = a φ(x) for every a > 0: it is linear on either side of 0, whatever its slopes."""
        return self.family in ("identity", "rectifier") and self.kinks in ((), (0.0,))

    @property
    def constructor(self) -> str:
        """Python code that makes the module, such as ``nn.ReLU()``."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"nn.{self.modules[0]}({arguments})"

    def max_slope(self, **parameters: Any) -> float:
        """Largest |φ′| for these parameters, dimensionless; found on a grid of step 1e-3 over [-20, 20] and at 0."""
        grid = np.append(np.arange(-20.0, 20.0, 1e-3), 0.0)
        return float(np.max(np.abs(self.derivative(grid, **parameters))))
