"""Where the way from the loss to the input can be cut: tensors that the whole gradient passes through.

A node of the autograd graph is such a place if every path from the loss to the input leads through it. Paths are
counted: as many must come down to a node times lead on from it as there are in all. Between two cuts the gradient is
multiplied by one Jacobian, and the Jacobians multiply up to the whole gradient: the chain rule, layer by layer.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from headwater.tracing.capture import Capture, Operation


@dataclass(eq=False)
class Segment:
    """What lies between two cuts.

    Attributes:
        operation: The one that ends in it.
        inside: The others between the cuts.
        start: Where its input stands in the graph.
        end: Where its output does.
    """

    operation: Operation
    inside: list[Operation]
    start: GradientEdge
    end: GradientEdge


class Graph:
    """The autograd graph under a loss.

    Args:
        loss: A scalar with a graph.
    """

    def __init__(self, loss: Tensor) -> None:
        self.root: GradientEdge = get_gradient_edge(loss)
        self.order = _topological(self.root.node)
        self.place = {node: index for index, node in enumerate(self.order)}
        self._down_to = self._counted_from_root()

    def segments(self, start: GradientEdge, capture: Capture) -> list[Segment]:
        """The way cut wherever an operation's output is a cut, from the input to the loss.

        Args:
            start: Where the way ends: the input, or the output of an embedding.
            capture: Of the forward pass that made this graph.
        """
        on_from = self._counted_to(start.node)
        total = on_from.get(self.root.node, 0)
        if not total:
            return []
        cuts = [node for node in self.order if self._down_to[node] * on_from.get(node, 0) == total]
        labels = {operation.edge.node: operation for operation in capture.operations}
        used = self._outputs_used(on_from)
        kept = [
            labels[node].edge
            for node in cuts
            if node in labels and node is not start.node and used.get(node, set()) <= {labels[node].edge.output_nr}
        ]
        if not kept:
            return []
        return _between(start, kept[::-1], labels, capture, self.place, on_from)

    def cut_for(self, leaf: GradientEdge, segments: list[Segment]) -> int | None:
        """How many segments, from the loss, a leaf's whole gradient passes before it branches off; ``None`` for none.

        Args:
            leaf: A parameter.
            segments: Of :meth:`segments`.
        """
        on_from = self._counted_to(leaf.node)
        total = on_from.get(self.root.node, 0)
        if not total:
            return None
        passed = 0
        for index, segment in enumerate(reversed(segments)):
            node = segment.end.node
            if self._down_to[node] * on_from.get(node, 0) == total:
                passed = index + 1
        return passed

    def reached_beside(self, cut: GradientEdge, leaf: GradientEdge) -> bool:
        """Whether some path from the loss to a leaf does not lead through a cut, as a penalty on a weight does.

        Args:
            cut: Such as the output of the model.
            leaf: A parameter.
        """
        entered, waiting = {cut.node}, [self.root.node]
        while waiting:
            node = waiting.pop()
            if node is leaf.node:
                return True
            if node not in entered:
                entered.add(node)
                waiting += [source for source, _ in node.next_functions if source is not None]
        return False

    def _counted_from_root(self) -> dict[Any, int]:
        counts = dict.fromkeys(self.order, 0)
        counts[self.root.node] = 1
        for node in self.order:
            for source, _ in node.next_functions:
                if source is not None:
                    counts[source] += counts[node]
        return counts

    def _counted_to(self, end: Any) -> dict[Any, int]:
        counts: dict[Any, int] = {}
        for node in reversed(self.order):
            count = 1 if node is end else sum(counts.get(source, 0) for source, _ in node.next_functions)
            if count:
                counts[node] = count
        return counts

    def _outputs_used(self, on_from: dict[Any, int]) -> dict[Any, set[int]]:
        """Of each node on the way, the outputs that gradient arrives at; an operation may have several."""
        used: dict[Any, set[int]] = {}
        for consumer in on_from:
            for source, index in consumer.next_functions:
                if source in on_from:
                    used.setdefault(source, set()).add(index)
        return used


def _topological(root: Any) -> list[Any]:
    """Every node under the root, each before those it sends gradient to."""
    finished: list[Any] = []
    entered: set[Any] = {root}
    waiting: list[tuple[Any, int]] = [(root, 0)]
    while waiting:
        node, index = waiting.pop()
        sources = node.next_functions
        while index < len(sources) and (sources[index][0] is None or sources[index][0] in entered):
            index += 1
        if index < len(sources):
            waiting.append((node, index + 1))
            source = sources[index][0]
            entered.add(source)
            waiting.append((source, 0))
        else:
            finished.append(node)
    return finished[::-1]


def _between(
    start: GradientEdge,
    ends: list[GradientEdge],
    labels: dict[Any, Operation],
    capture: Capture,
    place: dict[Any, int],
    on_from: dict[Any, int],
) -> list[Segment]:
    """Segments from the input on; operations on the way that end in no cut lie inside the segment around them."""
    segments = [
        Segment(labels[end.node], [], before, end) for before, end in zip([start, *ends[:-1]], ends, strict=True)
    ]
    at = [-place[end.node] for end in ends]  # rising from the input to the loss
    cuts = {end.node for end in ends}
    for operation in capture.operations:
        node = operation.edge.node
        if node in on_from and node not in cuts and node is not start.node and node in place:
            index = bisect_right(at, -place[node])
            if index < len(segments):
                segments[index].inside.append(operation)
    return segments
