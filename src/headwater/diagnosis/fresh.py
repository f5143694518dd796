"""Frozen weights that nobody ever trained: they still are what an initialiser draws.

One matrix alone does not tell: the middle of a deep network hardly changes in a short training. So all that is frozen
has to look drawn, biases and normalisation too, and matrices by two marks of independent numbers: spread as PyTorch
draws them, and without a direction that stands out.
"""

import math
from collections import Counter

from headwater.records import Flow, ParameterFlow

MIN_COUNT = 64  # elements, to tell how they are spread
EVEN = 0.05  # of rms·√3 over the largest: 1 for numbers drawn evenly from an interval around 0
NEAR_EDGE = 0.8  # of it: the largest of 24 even numbers is below in 0.5 % of draws
FAR_MEAN = 4.0  # standard errors
NO_DIRECTION = 1.15  # times the Marchenko-Pastur edge: 0.87 to 1.05 as drawn, 1.38 to 1.67 after training
FEWEST_EXPECTED = 5.0  # of a chi-square test's cell (Cochran 1952)
LEAST_CELL = 0.01  # of all: generators of normal numbers are coarse near 0
ALIKE = 4.0  # standard deviations of chi-square, √(2k)
RMS_SPREAD = 0.447  # times 1/√n, of the rms of n even numbers: their squares have a spread of 2/√5 of the mean
TRUNCATED = 0.8796  # rms of a unit normal cut off at two, as truncated initialisers draw


def never_trained(flow: Flow) -> list[ParameterFlow]:
    """The frozen matrices that took part and are as they were drawn, none if anything frozen was trained.

    Not among them: tables that are looked up in, where random codes do; a matrix that a trained pair leads round (LoRA,
    adapters); and a target network (Mnih et al. 2015, Grill et al. 2020), which follows a trained twin.
    """
    ran = {name for row in flow.sites for name in row.site.parameters}
    tables = {name for row in flow.sites if row.input is None for name in row.site.parameters}
    frozen = [p for p in flow.parameters if not p.trainable and not ran.isdisjoint(_names(p))]
    matrices = [p for p in frozen if len(p.shape) > 1 and tables.isdisjoint(_names(p))]
    zero = [p for p in matrices if p.value.count and p.value.zero_count == p.value.count]
    rest = [p for p in matrices if p not in zero and p.value.min != p.value.max]  # one number is no draw, nor learnt
    small = _small_and_drawn([p for p in rest if p.value.count < MIN_COUNT], frozen)
    drawn = [p for p in rest if p in small or is_drawn(p)]
    surely = [p for p in drawn if is_even(p)]  # whatever stands beside them: training leaves no edges
    large = [p for p in rest if p.value.count >= MIN_COUNT]
    all_drawn = len(drawn) == len(large) + len(small) and not _was_trained(frozen)
    found = [*(drawn if all_drawn else surely), *zero]
    return [p for p in matrices if p in found and not has_adapter(p, flow) and not _is_of_a_twin(p, flow)]


def _names(parameter: ParameterFlow) -> tuple[str, ...]:
    return parameter.name, *parameter.aliases


def is_drawn(parameter: ParameterFlow) -> bool:
    """Whether a matrix is spread as an initialiser draws it, with no direction that stands out."""
    value, strongest = parameter.value, parameter.strongest_direction
    if value.count < MIN_COUNT or value.nonfinite_count or not value.rms:
        return False
    if abs(value.mean or 0.0) >= FAR_MEAN * value.rms / math.sqrt(value.count):
        return False
    if is_even(parameter):
        return True
    return strongest is not None and strongest < NO_DIRECTION and _is_normal(parameter)


def is_even(parameter: ParameterFlow) -> bool:
    """Whether it is spread evenly over an interval around 0, as PyTorch draws by default: training blurs the edges."""
    value = parameter.value
    rms, largest, mean = value.rms or 0.0, value.abs_max or 0.0, abs(value.mean or 0.0)
    if len(parameter.shape) < len("ab") or value.count < MIN_COUNT or not largest:
        return False
    return abs(rms * math.sqrt(3.0) / largest - 1.0) < EVEN and mean < FAR_MEAN * rms / math.sqrt(value.count)


def _small_and_drawn(small: list[ParameterFlow], frozen: list[ParameterFlow]) -> list[ParameterFlow]:
    """All of the matrices too small to tell one by one, if with their biases they are as PyTorch's layers draw them.

    Every number within ±1/√fan_in, some near that edge, and their rms as of even numbers: training grows weights of so
    few units beyond it.
    """
    owners = {p.name.rpartition(".")[0] for p in small}
    biases = [p for p in frozen if len(p.shape) == 1 and p.name.rpartition(".")[0] in owners]
    enough = sum(p.value.count for p in (*small, *biases)) >= MIN_COUNT
    all_so = all(_is_drawn_bias(p, small) for p in (*small, *biases))
    at_edge = all((p.value.abs_max or 0.0) > NEAR_EDGE / math.sqrt(math.prod(p.shape[1:])) for p in small)
    return small if small and enough and all_so and at_edge else []


def _is_normal(parameter: ParameterFlow) -> bool:
    """Whether magnitudes are distributed as those of normal numbers, cut off at two deviations or not."""
    value = parameter.value
    rms = value.rms or 0.0
    return _fits(parameter, rms, math.inf) or _fits(parameter, rms / TRUNCATED, 2.0)


def _fits(parameter: ParameterFlow, sigma: float, cut: float) -> bool:
    """Pearson's chi-square over the powers of two that magnitudes lie between."""
    count, histogram = parameter.value.count, dict(parameter.value.log2_histogram)
    top = math.floor(math.log2(sigma)) + 4
    chi, cells, seen, expected_below = 0.0, 0, 0, 0.0
    for exponent in range(top, top - 40, -1):
        expected = count * (_within(2.0 ** (exponent + 1) / sigma, cut) - _within(2.0**exponent / sigma, cut))
        seen, expected_below = seen + histogram.get(exponent, 0), expected_below + expected
        if expected_below >= max(FEWEST_EXPECTED, LEAST_CELL * count):
            chi, cells = chi + (seen - expected_below) ** 2 / expected_below, cells + 1
            seen, expected_below = 0, 0.0
    return cells > 1 and chi < (cells - 1) + ALIKE * math.sqrt(2.0 * (cells - 1))


def _within(limit: float, cut: float) -> float:
    """Share of magnitudes of a unit normal, cut off at ``cut``, that are below a limit."""
    return math.erf(min(limit, cut) / math.sqrt(2.0)) / math.erf(cut / math.sqrt(2.0))


def _was_trained(frozen: list[ParameterFlow]) -> bool:
    """Whether a frozen vector is neither of one number nor spread evenly, as biases and gains start."""
    vectors = [p for p in frozen if len(p.shape) == 1 and p.value.count >= len("ab")]
    matrices = [p for p in frozen if len(p.shape) > 1]
    return any(p.value.min != p.value.max and not _is_drawn_bias(p, matrices) for p in vectors)


def _is_drawn_bias(bias: ParameterFlow, matrices: list[ParameterFlow]) -> bool:
    """Whether a bias is spread evenly up to ±1/√fan_in of a matrix beside it, as PyTorch's layers draw theirs."""
    owner, value = bias.name.rpartition(".")[0], bias.value
    rms, largest = value.rms or 0.0, value.abs_max or 0.0
    edges = [1.0 / math.sqrt(math.prod(p.shape[1:])) for p in matrices if p.name.rpartition(".")[0] == owner]
    near = 4.0 * RMS_SPREAD / math.sqrt(value.count)
    return any(largest <= 1.01 * edge and abs(rms * math.sqrt(3.0) / edge - 1.0) < near for edge in edges)


def has_adapter(parameter: ParameterFlow, flow: Flow) -> bool:
    """Whether a way round it through a narrow place is trained in the same part of the model, as in LoRA.

    That takes two matrices: one from the inputs to the narrow place, one from there to the outputs.
    """
    part = parameter.name.rpartition(".")[0].rpartition(".")[0]
    beside = [p.shape[:2] for p in flow.parameters if p.trainable and len(p.shape) > 1 and _is_in(p.name, part)]
    outputs, inputs = parameter.shape[:2]
    narrow = Counter(min(shape) for shape in beside if max(shape) in (inputs, outputs))
    ends = {(min(shape), max(shape)) for shape in beside}
    return any(
        count > 1 and rank <= min(outputs, inputs) // 2 and {(rank, inputs), (rank, outputs)} <= ends
        for rank, count in narrow.items()
    )


def _is_of_a_twin(parameter: ParameterFlow, flow: Flow) -> bool:
    """Whether it belongs to a part, all frozen, beside which stands another that is all trained and built alike.

    Numbered parts are layers of a stack, and no twins.
    """
    pieces = parameter.name.split(".")
    for depth in range(1, len(pieces)):
        part, parent = pieces[depth - 1], ".".join(pieces[: depth - 1])
        if part.isdigit():
            continue
        parts: dict[str, dict[str, tuple[tuple[int, ...], bool]]] = {}
        for p in flow.parameters:
            inside = p.name.removeprefix(f"{parent}." if parent else "")
            name, _, rest = inside.partition(".")
            if rest and _is_in(p.name, parent) and not name.isdigit():
                parts.setdefault(name, {})[rest] = (p.shape, p.trainable)
        own = {rest: shape for rest, (shape, trained) in parts[part].items() if not trained}
        others = [{rest: shape for rest, (shape, trained) in other.items() if trained} for other in parts.values()]
        if own and len(own) == len(parts[part]) and own in others:
            return True
    return False


def _is_in(name: str, part: str) -> bool:
    return not part or name.startswith(f"{part}.")


def only_reads_out(flow: Flow) -> bool:
    """Whether all that is trained of the matrices belongs to the last layer: random features under a readout."""
    owners = [row for row in flow.sites if row.site.kind in ("affine", "recurrent") and row.site.parameters]
    trained = {p.name for p in flow.parameters if p.trainable and len(p.shape) > 1}
    with_trained = [row for row in owners if not trained.isdisjoint(row.site.parameters)]
    return len(owners) > 1 and bool(with_trained) and with_trained == owners[-1:]
