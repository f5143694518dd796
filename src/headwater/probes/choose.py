"""Which sites are measured: by name, by type, by depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from headwater.probes.classify import module_type
from headwater.records import InputError

Sites = str | type[nn.Module] | int | Sequence[str | type[nn.Module]]
"""A glob of names such as ``"encoder.*"``, a class of modules, several of either, or a depth."""


@dataclass(frozen=True)
class Choice:
    """Says of each module and function whether it becomes a site.

    Attributes:
        globs: Patterns of site names, ``*`` and ``?`` as in a shell; a container that one matches becomes a site too.
        types: Classes of modules.
        depth: Number of dots in a name plus one, down to which modules are sites: a container there is one, and what
            it contains is not.
    """

    globs: tuple[str, ...] = ()
    types: tuple[type[nn.Module], ...] = ()
    depth: int | None = None

    def __str__(self) -> str:
        wanted = [*map(repr, self.globs), *(kind.__name__ for kind in self.types)]
        return f"sites={self.depth}" if self.depth is not None else f"sites={', '.join(wanted)}"

    @staticmethod
    def of(sites: Sites | None) -> Choice | None:
        """What the user asked for; ``None`` stands for every leaf module, function and join.

        Raises:
            InputError: If it is none of the ways to choose.
        """
        if sites is None:
            return None
        if isinstance(sites, int) and not isinstance(sites, bool) and sites > 0:
            return Choice(depth=sites)
        wanted = [sites] if isinstance(sites, (str, type)) else sites
        if isinstance(wanted, (list, tuple, set, frozenset)) and wanted:
            globs = tuple(item for item in wanted if isinstance(item, str))
            types = tuple(item for item in wanted if isinstance(item, type) and issubclass(item, nn.Module))
            if len(globs) + len(types) == len(wanted):
                return Choice(globs=globs, types=types)
        raise InputError(
            f"sites={sites!r} chooses nothing: give a pattern of names (sites='encoder.*'), a class of modules "
            "(sites=nn.Linear), a list of such, or a depth from 1 (sites=2)."
        )

    def module(self, name: str, module: nn.Module, is_leaf: bool) -> bool:
        """Whether a module is a site."""
        if self.depth is not None:
            level = name.count(".") + 1 if name else 0
            return level == self.depth or (is_leaf and level < self.depth)
        return self._named(name or type(module).__name__) or issubclass(module_type(module), self.types)

    def function(self, module_name: str, op: str) -> bool:
        """Whether a function called in a module's ``forward`` is a site."""
        if self.depth is not None:
            return (module_name.count(".") + 1 if module_name else 0) < self.depth
        return self._named(f"{module_name}/{op}" if module_name else op)

    def _named(self, name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in self.globs)
