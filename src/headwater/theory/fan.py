"""How many inputs a unit sums over, and how many units an input reaches."""

import math
from collections.abc import Sequence

from headwater.records import InputError


def fans(
    shape: Sequence[int], *, groups: int = 1, transposed: bool = False, stride: int | Sequence[int] = 1
) -> tuple[float, float]:
    """fan_in and fan_out of a weight of torch's layout: terms per output, and outputs per input.

    Linear weights are (out, in); convolutions (out, in/groups, *kernel), transposed ones (in, out/groups, *kernel). A
    stride s spreads the kernel: a convolution's input then meets kernel/s taps on average, a transposed one's output.
    ``torch.nn.init`` leaves out groups, stride and transposition; what counts for a signal does not.

    Args:
        shape: Of the weight, at least two dimensions.
        groups: Of the convolution.
        transposed: Whether it is a transposed convolution.
        stride: Of the convolution, one number or one per dimension of the kernel.

    Returns:
        fan_in and fan_out, dimensionless; away from the edges of an image.

    Raises:
        InputError: If the shape has one dimension, or the groups or stride do not fit it.

    Example:
        >>> fans((256, 64, 3, 3))
        (576.0, 2304.0)
        >>> fans((256, 1, 3, 3), groups=256)  # depthwise
        (9.0, 9.0)
    """
    if len(shape) < 2 or any(size < 1 for size in shape):
        raise InputError(
            f"a weight of shape {tuple(shape)} has no fan_in: pass that of a matrix (out, in) or of a convolution "
            "(out, in/groups, *kernel); biases and scales have none."
        )
    strides = [stride] * (len(shape) - 2) if isinstance(stride, int) else list(stride)
    if len(strides) != len(shape) - 2 or any(step < 1 for step in strides):
        raise InputError(f"stride {stride!r} does not fit a kernel of shape {tuple(shape[2:])}: one number ≥ 1 each.")
    if groups < 1 or shape[0] % groups:
        raise InputError(f"groups={groups!r} does not divide the {shape[0]} channels of shape {tuple(shape)}.")
    taps, spread = math.prod(shape[2:]), math.prod(strides)
    first, second = float(shape[0] // groups * taps), float(shape[1] * taps)
    return (first / spread, second) if transposed else (second, first / spread)
