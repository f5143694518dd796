"""A place where all that a network knows of a sample goes through one number, or two."""

from itertools import pairwise

from headwater.records import Flow, Path, SiteFlow

MIN_INPUTS = 4  # numbers that are squeezed into one


def few_numbers(flow: Flow, most: int = 1) -> SiteFlow | None:
    """The first layer with weights whose few units are all that the next such layer sees, ``None`` if there is none.

    Only on a gradient's path that no other branch meets: beside a shortcut, or as a weight of an attention, one number
    is plenty.

    Args:
        flow: One measured step.
        most: Units that are few.
    """
    if flow.path is None or _meets_another_branch(flow.path):
        return None
    on_path = {step.site for step in flow.path.steps} | {flow.path.first}
    kinds = ("affine", "recurrent")
    on_way = [row for row in flow.sites if row.site.name in on_path and (row.site.kind in kinds or _is_embedding(row))]
    for row, following in pairwise(on_way):
        if _is_narrow(row, most) and following.input is not None and following.input.count == row.activation.count:
            return row
    return None


def _meets_another_branch(path: Path) -> bool:
    """Whether branches meet on it, other than those inside a recurrent layer."""
    inside = [step.site for step in path.steps]
    joins = [index for index, step in enumerate(path.steps) if step.part == "join"]
    return any(not {*inside[index + 1 :]} & {*inside[:index]} - {None} for index in joins)


def _is_embedding(row: SiteFlow) -> bool:
    return bool(row.site.parameters) and row.input is None


def _is_narrow(row: SiteFlow, most: int) -> bool:
    """Whether many numbers, or tokens of a vocabulary, become so few, the only ones of their sample or position."""
    squeezes = row.input is None or row.input.count >= MIN_INPUTS * row.activation.count
    return squeezes and len(row.site.shape) > 1 and row.site.shape[-1] <= most
