"""Which vulnerabilities of a project are not of a package that is only a part of it: libpq of PostgreSQL.

Descriptions are read when the index is compiled; the index has no room for them. Only those of advisories on products
that have such packages are kept until all aliases are known.

Source: the rows of src/antivenom/knowledge/parts.tsv.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from antivenom.core.matching.advisories import Advisory
from antivenom.core.matching.identity import spellings
from antivenom.core.matching.knowledge import Knowledge, Words


class PartsOfProjects:
    """The packages that are parts, by what their projects are called; and what was read of these projects."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._by_key: dict[str, list[str]] = {}
        for name in sorted(knowledge.parts):
            alias = knowledge.names.get(name)
            if alias is None:
                continue
            keys = [
                f"cpe/{product}" for product in dict.fromkeys((*alias.products, *alias.wholes, *spellings(name, alias)))
            ]
            for key in (*keys, *(f"{ecosystem}/{title}" for ecosystem, title in alias.packages)):
                self._by_key.setdefault(key, []).append(name)
        self._rules = {
            name: (Words(part.own) if part.own else None, Words(part.others) if part.others else None, part)
            for name, part in knowledge.parts.items()
        }
        self._texts: dict[str, dict[str, None]] = {}  # advisory → its descriptions
        self._parts: dict[str, set[str]] = {}  # advisory → packages that are parts of what it is about

    @property
    def keys(self) -> Set[str]:
        """The packages ("ecosystem/name") whose advisories' descriptions are read."""
        return self._by_key.keys()

    def note(self, advisory: Advisory, key: str) -> None:
        """Keep what an advisory tells, if it is about a project that has parts. `key`: of one package that it names."""
        names = self._by_key.get(key)
        if names is None or advisory.withdrawn:
            return
        self._parts.setdefault(advisory.id, set()).update(names)
        self._texts.setdefault(advisory.id, {})[f"{advisory.summary}\n{advisory.details}"] = None

    def other_parts(self, ids: Iterable[str], summary: str) -> tuple[str, ...]:
        """The packages, sorted, that the vulnerability of these ids is not of, though it is of their project.

        Args:
            summary: That of all its entries: one that names other products may be the only one that tells anything.
        """
        known = [i for i in ids if i in self._parts]
        if not known:
            return ()
        text = "\n".join((summary, *(text for i in known for text in self._texts[i])))
        return tuple(sorted({n for i in known for n in self._parts[i] if self._is_of_another(n, text)}))

    def _is_of_another(self, name: str, text: str) -> bool:
        own, others, part = self._rules[name]
        if own is not None and own.found_in(text):
            return False
        return (others is not None and others.found_in(text)) or part.is_rest_other
