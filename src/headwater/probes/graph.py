"""Follow the gradient through the autograd graph from the loss to the first layer."""

from __future__ import annotations

import math
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from headwater.kernels.ledger import Ledger
from headwater.probes.classify import node_kind
from headwater.probes.site_record import SiteRecord
from headwater.records import Path, PathStep

_CHECKPOINT = "CheckpointFunctionBackward"  # of torch.utils.checkpoint with use_reentrant=True
_JOIN_TOLERANCE = 1e-9  # decades; below, two ways of adding up the same numbers differ by rounding


# Behind these, an activation no longer follows the affine map before them.
_ENDS_THE_SEARCH = ("affine", "recurrent", "attention", "embedding")

_Edge = tuple[Any, int]
"""A node that sends gradient, and through which of its inputs; below 0 stand the roots of the graph in a checkpoint."""


@dataclass(frozen=True)
class _Strength:
    """Rms (as log₁₀) and size of a gradient somewhere in the graph."""

    log10_rms: float
    count: int

    @property
    def log10_energy(self) -> float:
        """log₁₀ of the sum of squares."""
        return 2 * self.log10_rms + math.log10(self.count) if self.count else -math.inf

    def plus(self, other: _Strength) -> _Strength:
        """Both gradients as one set of numbers."""
        logs = [s.log10_energy for s in (self, other) if s.log10_energy > -math.inf]
        count = self.count + other.count
        if not logs:
            return _Strength(-math.inf, count)
        energy = max(logs) + math.log10(sum(10.0 ** (log - max(logs)) for log in logs))
        return _Strength((energy - math.log10(count)) / 2, count)


_NOTHING = _Strength(-math.inf, 0)


class BackwardGraph:
    """Measures the gradient at every node between the first site and the loss, and finds the way it took.

    Going from the first layer towards the loss, at each tensor that several operations consume the way continues
    through the one that sends back most of the gradient's energy (its sum of squares). The ratios of rms from node to
    node telescope exactly, whichever way is taken.

    Args:
        roots: The node of the loss; or, where the loss is not known, those of the model's outputs.
        sites: With their nodes.
        ledger: Takes the statistics; the gradients' rms are read from it when the backward pass is over.
    """

    def __init__(self, roots: list[Any], sites: list[SiteRecord], ledger: Ledger) -> None:
        self._sites = sites
        self._ledger = ledger
        self._consumers: dict[Any, list[_Edge]] = {}
        self._alias: dict[Any, Any] = {}  # inputs of a checkpoint's own graph, to what made them outside
        self._inside: dict[Any, list[Any]] = defaultdict(list)  # roots of a checkpoint's own graph, by its node
        self._on_the_way: set[Any] = set()  # from the sites to the loss, the sites' own nodes included
        self._owner: dict[Any, SiteRecord] = {}
        self._rows_at_node: dict[Any, list[int]] = defaultdict(list)
        self._rows_at_edge: dict[_Edge, list[int]] = defaultdict(list)
        self._at_node: dict[Any, _Strength] = {}
        self._at_edge: dict[_Edge, _Strength] = {}
        self._handles: list[RemovableHandle] = []
        self._follow(roots)
        self._hook_the_way()

    @property
    def leaves(self) -> list[Tensor]:
        """The leaf tensors whose ``.grad`` the backward pass adds to, the model's parameters among them."""
        return [node.variable for node in self._consumers if hasattr(node, "variable")]

    def enter(self, roots: list[Any]) -> None:
        """A reentrant checkpoint has run its forward again, in the backward pass: the way leads through that graph.

        Args:
            roots: Nodes of what the module returned that ran again.
        """
        checkpoint = torch._C._current_autograd_node()
        if checkpoint not in self._consumers:
            return
        new = self._follow(roots)
        inside = self._inside[checkpoint]
        for index, root in enumerate(inside):
            if len(self._consumers[root]) > 1:  # the checkpoint's function went on from there
                self._consumers[root].remove((checkpoint, -1 - index))
        for root in roots:
            if root in new:
                inside.append(root)
                self._consumers[root].append((checkpoint, -len(inside)))
        self._connect_input(checkpoint, new)
        self._hook_the_way()

    def close(self) -> None:
        """Take the hooks off and let the graph go."""
        for handle in self._handles:
            handle.remove()
        for known in (self._consumers, self._owner, self._alias, self._inside):
            known.clear()
        self._on_the_way.clear()
        for found in (self._rows_at_node, self._rows_at_edge, self._at_node, self._at_edge):
            found.clear()
        for site in self._sites:
            site.out_nodes, site.in_nodes = (), ()

    def path(self, names: dict[int, str]) -> Path | None:
        """The gradient's way back to the first site that has one, ``None`` if none has.

        Args:
            names: Site names by ``id`` of their records.
        """
        self._read()
        self._owner = _owners(self._sites)
        by_node = {node: site for site in self._sites for node in site.out_nodes}
        first = next((site for site in self._sites if any(map(self._is_alive, site.out_nodes))), None)
        if first is None:
            return None
        nodes, edges = self._walk(max(first.out_nodes, key=lambda node: self._at_node.get(node, _NOTHING).log10_energy))
        # What follows the last site belongs to the loss, whose scale is no property of the network.
        end = max(index for index, node in enumerate(nodes) if node in by_node)
        last = by_node[nodes[end]]
        steps: list[PathStep] = []
        for node, edge in zip(nodes[:end], edges[:end], strict=True):
            _append(steps, self._join_step(node, edge))
            _append(steps, self._operation_step(edge, names))
        return Path(
            first=names[id(first)],
            last=names[id(last)],
            log10_first=self._at_node[nodes[0]].log10_rms,
            log10_last=self._at_node[nodes[end]].log10_rms,
            steps=tuple(reversed(steps)),
        )

    def _follow(self, roots: list[Any]) -> set[Any]:
        """Note for each node under the roots which ones send it gradient; gives those that were not known before."""
        waiting = [root for root in dict.fromkeys(roots) if root not in self._consumers]
        new = set(waiting)
        self._consumers.update({root: [] for root in waiting})
        while waiting:
            node = waiting.pop()
            for index, source in self._sources(node):
                if source not in self._consumers:
                    self._consumers[source] = []
                    new.add(source)
                    waiting.append(source)
                self._consumers[source].append((node, index))
        return new

    def _sources(self, node: Any) -> list[tuple[int, Any]]:
        """What a node sends gradient to, by index of its inputs."""
        sources = ((index, source) for index, (source, _) in enumerate(node.next_functions))
        return [(index, self._alias.get(source, source)) for index, source in sources if source is not None]

    def _connect_input(self, checkpoint: Any, new: set[Any]) -> None:
        """A checkpoint detaches its input: join both ends again, if there is one only."""
        outside = self._sources(checkpoint)
        cut = [node for node in new if hasattr(node, "variable") and not isinstance(node.variable, nn.Parameter)]
        if len(outside) != 1 or len(cut) != 1:
            return
        index, source = outside[0]
        self._alias[cut[0]] = source
        consumers = self._consumers[source]
        consumers[:] = [edge for edge in consumers if edge != (checkpoint, index)]
        consumers.extend(self._consumers.pop(cut[0]))

    def _hook_the_way(self) -> None:
        """Measure at every node that a site's gradient passes through on its way from the loss."""
        for node in self._way() - self._on_the_way:
            self._on_the_way.add(node)
            self._handles.append(node.register_hook(self._hook(node)))

    def _way(self) -> set[Any]:
        seen: set[Any] = set()
        waiting = [node for site in self._sites for node in site.out_nodes if node in self._consumers]
        waiting += [node for node in self._consumers if _node_name(node) == _CHECKPOINT]  # sites may turn up inside
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            waiting.extend(consumer for consumer, _ in self._consumers.get(node, ()))
        return seen

    def _hook(self, node: Any) -> Any:
        """Measures what arrives at a node, and what it sends to those that others send to as well."""

        def measure(grad_inputs: tuple[Tensor | None, ...], grad_outputs: tuple[Tensor | None, ...]) -> None:
            self._measure(self._rows_at_node[node], grad_outputs)
            for index, source in self._sources(node):
                if source in self._on_the_way and len(self._consumers[source]) > 1:
                    self._measure(self._rows_at_edge[node, index], grad_inputs[index : index + 1])

        return measure

    def _measure(self, rows: list[int], gradients: tuple[Tensor | None, ...]) -> None:
        """Never raises into the backward pass: what cannot be measured is missing, and the path goes another way."""
        for gradient in gradients:
            if gradient is not None:
                with suppress(Exception):
                    rows.append(self._ledger.measure(gradient))

    def _read(self) -> None:
        for rows_at, found in ((self._rows_at_node, self._at_node), (self._rows_at_edge, self._at_edge)):
            for key, rows in rows_at.items():
                for row in rows:
                    found[key] = found.get(key, _NOTHING).plus(self._strength(row))

    def _strength(self, row: int) -> _Strength:
        count, nonfinite = self._ledger.counts(row)
        return _Strength(self._ledger.log10_rms(row), count - nonfinite)

    def followers(self) -> dict[int, tuple[int, ...]]:
        """The activations each affine site's output reaches before another affine map, by place among the sites.

        Of an affine site that is not in the graph nothing is known, and it is left out.
        """
        places = {node: index for index, site in enumerate(self._sites) for node in site.out_nodes}
        known = {
            index: site
            for index, site in enumerate(self._sites)
            if site.kind == "affine" and any(node in self._consumers for node in site.out_nodes)
        }
        return {index: self._reached(site, places) for index, site in known.items()}

    def _reached(self, start: SiteRecord, places: dict[Any, int]) -> tuple[int, ...]:
        found: set[int] = set()
        seen: set[Any] = set(start.out_nodes)
        waiting = list(start.out_nodes)
        while waiting:
            for consumer, _ in self._consumers.get(waiting.pop(), ()):
                if consumer in seen:
                    continue
                seen.add(consumer)
                place = places.get(consumer)
                if place is not None and self._sites[place].kind == "activation":
                    found.add(place)
                elif place is None or self._sites[place].kind not in _ENDS_THE_SEARCH:
                    waiting.append(consumer)
        return tuple(sorted(found))

    def shortcut_share(self, site: SiteRecord) -> float | None:
        """Of the gradient's energy where shortcut and branch part, the share that came back along the shortcut.

        Known after :meth:`path`, for a join whose shortcut is the very tensor its branch started from.
        """
        for join in site.out_nodes:
            for index, source in self._sources(join):
                others = [edge for edge in self._consumers.get(source, ()) if edge[0] is not join]
                if others and (join, index) in self._at_edge:
                    logs = [self._sent(edge).log10_energy for edge in [(join, index), *others]]
                    top = max(logs)
                    if top > -math.inf:
                        return 10.0 ** (logs[0] - top) / sum(10.0 ** (log - top) for log in logs)
        return None

    def _is_alive(self, node: Any) -> bool:
        return self._at_node.get(node, _NOTHING).log10_rms > -math.inf

    def _walk(self, node: Any) -> tuple[list[Any], list[_Edge]]:
        nodes: list[Any] = [node]
        edges: list[_Edge] = []
        while True:
            candidates = [edge for edge in self._consumers.get(nodes[-1], ()) if self._energy(edge) > -math.inf]
            if not candidates:
                return nodes, edges
            edges.append(max(candidates, key=self._energy))
            nodes.append(edges[-1][0])

    def _energy(self, edge: _Edge) -> float:
        return self._sent(edge).log10_energy

    def _sent(self, edge: _Edge) -> _Strength:
        """The gradient that went along an edge; the only one to a node is all that arrives there."""
        if edge in self._at_edge:
            return self._at_edge[edge]
        source = self._source(edge)
        return self._at_node.get(source, _NOTHING) if len(self._consumers[source]) == 1 else _NOTHING

    def _source(self, edge: _Edge) -> Any:
        node, index = edge
        if index < 0:
            return self._inside[node][-1 - index]
        source = node.next_functions[index][0]
        return self._alias.get(source, source)

    def _join_step(self, node: Any, edge: _Edge) -> PathStep | None:
        gain = self._at_node[node].log10_rms - self._sent(edge).log10_rms
        if abs(gain) < _JOIN_TOLERANCE:
            return None
        count_gain = _log10_ratio(self._at_node[node].count, self._sent(edge).count)
        return PathStep(None, _node_name(node), "other", "join", gain, log10_count_gain=count_gain)

    def _operation_step(self, edge: _Edge, names: dict[int, str]) -> PathStep | None:
        consumer = edge[0]
        gain = self._sent(edge).log10_rms - self._at_node[consumer].log10_rms
        count_gain = _log10_ratio(self._sent(edge).count, self._at_node[consumer].count)
        owner = self._owner.get(consumer)
        kind = node_kind(_node_name(consumer))
        if owner is None:
            step = PathStep(None, _node_name(consumer), kind, "operation", gain, log10_count_gain=count_gain)
            return step if abs(gain) >= _JOIN_TOLERANCE or count_gain else None
        kind = kind if owner.kind == "other" else owner.kind
        return PathStep(names[id(owner)], owner.op, kind, "operation", gain, owner.weight_gain, count_gain)


def _append(steps: list[PathStep], step: PathStep | None) -> None:
    """Add a step; neighbouring steps of one operation (a view, a product, a view) become one."""
    if step is None:
        return
    before = steps[-1] if steps else None
    if before and before.part == step.part == "operation" and before.site is not None and before.site == step.site:
        steps[-1] = replace(
            before,
            log10_gain=before.log10_gain + step.log10_gain,
            log10_count_gain=before.log10_count_gain + step.log10_count_gain,
        )
    else:
        steps.append(step)


def _log10_ratio(after: int, before: int) -> float:
    return math.log10(after / before) if after != before else 0.0


def _owners(sites: list[SiteRecord]) -> dict[Any, SiteRecord]:
    """The site each node belongs to: the nodes between a site's output and its inputs; inner sites come first."""
    owners: dict[Any, SiteRecord] = {}
    for site in sites:
        stop = set(site.in_nodes)
        waiting = list(site.out_nodes)
        while waiting:
            node = waiting.pop()
            if node is None or node in stop or node in owners:
                continue
            owners[node] = site
            waiting.extend(source for source, _ in node.next_functions)
    return owners


def _node_name(node: Any) -> str:
    name: str = node.name()
    return name.rsplit("::", 1)[-1]
