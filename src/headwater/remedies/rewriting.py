"""Change what one module's forward does, by its graph. Copied into patches as it stands: torch is all it needs."""

import torch


class OwnForward(torch.fx.Tracer):
    """Traces one forward; the modules it calls stand for themselves."""

    def is_leaf_module(self, m, module_qualified_name):
        """Each is."""
        return True


def graph_of(module):
    """The graph of a module's own forward, in which ``self.training`` stays a question.

    A forward that asks for more than it is given by tensors cannot be traced; one that does something else altogether
    in evaluation raises ``ValueError``.
    """
    mode = module.training
    graphs = []
    try:
        for training in (False, True):
            module.training = training
            graphs.append(OwnForward().trace(module))
    finally:
        module.training = mode
    evaluated, graph = graphs
    nodes = list(zip(graph.nodes, evaluated.nodes, strict=False))
    same = len(graph.nodes) == len(evaluated.nodes) and all(
        (a.op, str(a.target), a.name) == (b.op, str(b.target), b.name) for a, b in nodes
    )
    if not same:
        raise ValueError("it runs other operations in evaluation than in training")
    questions = []

    def asked(training, evaluation):
        if isinstance(training, (tuple, list)):
            return type(training)(map(asked, training, evaluation))
        if isinstance(training, dict):
            return {name: asked(value, evaluation[name]) for name, value in training.items()}
        if training is True and evaluation is False:
            if not questions:
                first = next(node for node in graph.nodes if node.op != "placeholder")
                with graph.inserting_before(first):
                    questions.append(graph.get_attr("training"))
            return questions[0]
        if str(training) != str(evaluation):
            raise ValueError(f"it uses {training!r} in training and {evaluation!r} in evaluation")
        return training

    for node, other in nodes:
        node.args, node.kwargs = asked(node.args, other.args), asked(node.kwargs, other.kwargs)
    return graph


def let_compute(module, graph):
    """Let a module compute a graph: its class becomes a subclass of what it was, with another forward.

    As with ``torch.nn.utils.parametrize``, save the ``state_dict`` of such a model, not the whole object.
    """
    code = graph.python_code("self")
    space = dict(code.globals)
    exec(code.src, space)
    kind = type(module)
    names = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    module.__class__ = type(kind.__name__, (kind,), {**names, "forward": space["forward"]})


def put_modules_for_functions(owner, places):
    """Let a forward call modules where it calls functions.

    places: for each, its place among the graph's nodes by name, what to call the module, the module, and whether the
    function changes its input in place.
    """
    graph = graph_of(owner)
    nodes = {node.name: node for node in graph.nodes}
    for node_name, name, module, in_place in places:
        owner.add_module(name, module.train(owner.training))
        node = nodes[node_name]
        x = node.args[0] if node.args else node.kwargs["input"]
        with graph.inserting_before(node):
            called = graph.call_module(name, (x,))
        node.replace_all_uses_with(called)
        graph.erase_node(node)
        if in_place:  # what read the input afterwards now reads what became of it
            later = set()
            for other in reversed(graph.nodes):
                if other is called:
                    break
                later.add(other)
            x.replace_all_uses_with(called, delete_user_cb=lambda user, later=later: user in later)
    let_compute(owner, graph)


def put_joins(owner, places):
    """Let a forward add to the result of some operations what they started from.

    places: for each, the names of the nodes of its first and last operation; name and module of a normalisation before
    the first, or None; name and module of what joins both.
    """
    graph = graph_of(owner)
    nodes = {node.name: node for node in graph.nodes}
    for first, last, norm, (name, join) in places:
        begin, end = nodes[first], nodes[last]
        x = begin.args[0] if begin.args else begin.kwargs["input"]
        if norm is not None:
            owner.add_module(norm[0], norm[1].train(owner.training))
            with graph.inserting_before(begin):
                begin.replace_input_with(x, graph.call_module(norm[0], (x,)))
        owner.add_module(name, join.train(owner.training))
        with graph.inserting_after(end):
            joined = graph.call_module(name, (x, end))
        end.replace_all_uses_with(joined, delete_user_cb=lambda user, joined=joined: user is not joined)
    let_compute(owner, graph)
