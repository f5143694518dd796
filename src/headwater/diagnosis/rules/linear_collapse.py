"""Affine layers with nothing in between that bends: together they are one affine layer.

Read off the operations of the graph, so that a bend nobody thought of (a product of two signals, a maximum, attention)
counts as one. A narrow layer between two wide ones is no mistake: a low-rank map is what it is for.
"""

from collections.abc import Iterable

from headwater.diagnosis.prescribing import prescription
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.waterfall import affine_layers
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow

# Operations whose result is linear in the signal. A product counts as bending, for both factors may be signals.
# fmt: off
STRAIGHT = frozenset((
    "Addmm", "Mm", "Bmm", "Addbmm", "Baddbmm", "Addmv", "Mv", "Dot", "T", "Transpose", "Permute", "View",
    "Reshape", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Expand", "Clone", "Alias", "Slice",
    "Select", "Split", "SplitWithSizes", "Unbind", "Cat", "Stack", "Narrow", "Flip", "Roll", "Repeat",
    "AsStrided", "Index", "IndexSelect", "Gather", "Unfold", "Convolution", "MkldnnConvolution",
    "ConstantPadNd", "ReflectionPad2D", "ReplicationPad2D", "Add", "Sub", "Neg", "Scale", "Mean", "Sum",
    "AvgPool1D", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool1D", "AdaptiveAvgPool2D",
    "MkldnnAdaptiveAvgPool2D", "NativeDropout", "FusedDropout", "NativeBatchNorm", "Embedding",
    "EmbeddingBag", "ToCopy", "Detach",
))
# fmt: on
MIN_LAYERS = 2
SOURCE = "a product of matrices is a matrix: the layers together express one"


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    layers = _only_handed_on(_seen_layers(flow), flow)
    if len(layers) < MIN_LAYERS or _bends(flow) or _is_bottleneck(flow, layers) or _are_side_by_side(flow, layers):
        return
    yield Finding(
        symptom="linear_collapse",
        severity="warning",
        sites=tuple(row.site.name for row in layers),
        evidence=(
            Evidence("layers", len(layers), 1, source=SOURCE),
            Evidence("bending_operations", 0, 1, source=SOURCE),
        ),
        causes=(Cause("no_nonlinearity", None, Message("cause.no_nonlinearity.why", {"layers": len(layers)})),),
        prescriptions=(prescription("activation.relu_between", "init.he"),),
        message=Message(
            "finding.linear_collapse",
            {"site": layers[0].site.name, "last": layers[-1].site.name, "layers": len(layers)},
        ),
    )


def _seen_layers(flow: Flow) -> list[SiteFlow]:
    """The affine layers of which it is known what stands behind them.

    Behind a layer that is in no graph, as random features that nobody trains are, operations leave no trace. There it
    counts only if what follows reads its very numbers.
    """
    layers = [row for row in flow.sites if row.site.kind == "affine"]
    following = [*layers[1:], None][: len(layers)]
    return [
        row
        for row, after in zip(layers, following, strict=True)
        if row.activation_grad is not None or (after is not None and _hands_on(row, after))
    ]


def _only_handed_on(layers: list[SiteFlow], flow: Flow) -> list[SiteFlow]:
    """Those but the last whose output the loss does not take in itself: a code that is penalised is one of its own.

    So sparse coding is linear and no single map (Olshausen and Field 1996).
    """
    return [row for row in layers if row is layers[-1] or row.site.module not in flow.setup.loss_sites]


def _hands_on(row: SiteFlow, after: SiteFlow) -> bool:
    """Whether a layer reads what another gave as it is: as many numbers, between the same ends."""
    given, read = row.activation, after.input
    return read is not None and (given.count, given.min, given.max) == (read.count, read.min, read.max)


def _bends(flow: Flow) -> bool:
    """Whether any operation before the loss is not linear in the signal."""
    own = set(_on_the_way(flow))
    inside_loss = set(flow.setup.loss_operations)
    if any(row.site.activation is not None for row in flow.sites):
        return True
    return bool(own - STRAIGHT - inside_loss) or any(row.site.kind in ("recurrent", "attention") for row in flow.sites)


def _on_the_way(flow: Flow) -> dict[str, int]:
    """The operations that the signal goes through; all there are where a layer is in no graph that tells them apart."""
    seen = all(row.activation_grad is not None for row in flow.sites if row.site.kind == "affine")
    return flow.setup.signal_operations if seen and flow.setup.signal_operations is not None else flow.setup.operations


def _are_side_by_side(flow: Flow, layers: list[SiteFlow]) -> bool:
    """Whether none follows another: parts that are each linear and added up are a linear model, written so.

    The gradient's way from the first layer passes every layer that follows it, unless that gets no gradient.
    """
    if flow.path is None or any(row.activation_grad is None for row in layers):
        return False
    return affine_layers(flow.path) == 0


def _is_bottleneck(flow: Flow, layers: list[SiteFlow]) -> bool:
    """Whether some layer in between is narrower than what goes in and what comes out."""
    widths = [_inputs(flow, layers[0]), *(_outputs(flow, row) for row in layers)]
    return any(inner < min(widths[0], widths[-1]) for inner in widths[1:-1])


def _outputs(flow: Flow, row: SiteFlow) -> int:
    return _weight_shape(flow, row)[0]


def _inputs(flow: Flow, row: SiteFlow) -> int:
    return _weight_shape(flow, row)[1]


def _weight_shape(flow: Flow, row: SiteFlow) -> tuple[int, int]:
    shapes = {name: p.shape for p in flow.parameters for name in (p.name, *p.aliases)}
    shape = next((shapes[n] for n in row.site.parameters if len(shapes.get(n, ())) > 1), (1, 1))
    return shape[0], shape[1]


def _blocked(observation: Observation) -> Message | None:
    flow = observation.flow
    ran = {name for row in flow.sites for name in row.site.parameters}
    # Behind a place where the graph is cut, an argmax say, nobody sees what bends.
    cut = any(p.trainable and p.grad is None and p.name in ran for p in flow.parameters)
    return None if flow.setup.operations and not cut else Message("unchecked.no_operations")


RULE = Rule("linear_collapse", _look, _blocked)
