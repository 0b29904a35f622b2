"""The format of policies: what a document may hold, and every way in which it can be wrong.

All problems are found at once; each has its line, column, field, and the nearest valid word. Nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.specs import RecordSpec, parse_record_spec
from antivenom.core.documents import Document, Path, read_document
from antivenom.core.errors import InvalidInputError
from antivenom.core.policy.rules import GATES, TRIGGERS
from antivenom.core.policy.rules.base import Action, Hit, Rule, Trigger
from antivenom.core.policy.rules.parameters import ParameterError, kind_of, nearest, star_pattern

VERSION = 1
PROSE_CHARACTERS_MAX = 4000
RULES_MAX = 2000
FOREVER_MS = 1 << 62
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")

POLICY_KEYS = ("name", "version", "description", "rules", "allowlist")
RULE_KEYS = ("id", "gate", "trigger", "action", "params", "recommendation", "description")
ITEM_KEYS = ("id", "gate", "trigger_id", "owner", "reason", "expires_on", "match")


class AllowlistItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception: reasons of `gate` whose trigger_id fits are put aside until `expires_ms` (0 is never).

    `gate` and `trigger_id` may hold `*`. `match` is a match spec that narrows it to some records.
    """

    id: str
    gate: str
    trigger_id: str
    owner: str
    reason: str
    expires_ms: int = 0
    match: str = ""

    def excepts(self, hit: Hit, now_ms: int) -> bool:
        """Whether the item is not expired (it is when now >= expires) and fits the hit."""
        if self.expires_ms and now_ms >= self.expires_ms:
            return False
        if self.gate not in ("*", hit.reason.gate):
            return False
        fits = _pattern(self.trigger_id).match
        return any(fits(trigger_id.casefold()) for trigger_id in hit.trigger_ids)

    def fits_record(self, record: RecordFacts) -> bool:
        """Whether `match` matches the record; it does not match one that cannot be compared."""
        if not self.match:
            return True
        try:
            return _spec(self.match).matches(record)
        except InvalidInputError:
            return False


class Policy(msgspec.Struct, frozen=True):
    """A checked policy. `rules` and `allowlist` are in the order in which they were written; their ids are unique."""

    name: str
    rules: tuple[Rule, ...] = ()
    allowlist: tuple[AllowlistItem, ...] = ()
    description: str = ""

    def document(self) -> dict[str, Any]:
        """The policy as plain values, in the format's own words; written as YAML or JSON, it parses to this policy."""
        document: dict[str, Any] = {"name": self.name}
        if self.description:
            document["description"] = self.description
        document["rules"] = [_rule_document(rule) for rule in self.rules]
        if self.allowlist:
            document["allowlist"] = [_item_document(item) for item in self.allowlist]
        return document


def parse_policy(text: str) -> Policy:
    """Parse a policy from a YAML or JSON text.

    Raises:
        InvalidInputError: The policy is wrong. `data["problems"]` lists every problem (line, column, field, message,
            hint) in order of place; the message is the first.
    """
    document = read_document(text, "policy")
    reader = _Reader(document)
    policy = reader.policy(document.value)
    document.raise_problems("policy")
    return policy


def read_stored_policy(document: Mapping[str, Any]) -> Policy:
    """The policy that was stored as a document: what it was when it was checked, whatever is refused today.

    Args:
        document: What `Policy.document` made, by this release or an earlier one.
    """
    return Policy(
        name=document["name"],
        rules=tuple(msgspec.convert(rule | {"action": Action[rule["action"]]}, Rule) for rule in document["rules"]),
        allowlist=tuple(_stored_item(item) for item in document.get("allowlist", ())),
        description=document.get("description", ""),
    )


def _stored_item(item: Mapping[str, Any]) -> AllowlistItem:
    expires_on = item.get("expires_on")
    expires_ms = _since_1970_ms(datetime.fromisoformat(expires_on)) if expires_on else 0
    return msgspec.convert({**item, "expires_ms": expires_ms}, AllowlistItem)


class _Reader:
    """Walks a document and reports what is wrong; its results count only when nothing is reported."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def policy(self, value: Any) -> Policy:
        if not isinstance(value, dict):
            self._document.report((), f"a policy is a mapping, this is {kind_of(value)}", "begin with: name: my-policy")
            return Policy("")
        self._keys((), value, POLICY_KEYS, ("name", "rules"))
        version = value.get("version", VERSION)
        if version not in (VERSION, str(VERSION)) or isinstance(version, bool):
            self._document.report(
                ("version",), f"unknown version {version!r} of the format", f"this is version {VERSION}"
            )
        return Policy(
            name=self._word(("name",), value.get("name"), _NAME),
            rules=tuple(self._rule(path, item) for path, item in self._items(("rules",), value.get("rules"))),
            allowlist=tuple(self._item(p, item) for p, item in self._items(("allowlist",), value.get("allowlist"))),
            description=self._prose(("description",), value.get("description")),
        )

    def _items(self, path: Path, value: Any) -> list[tuple[Path, dict[str, Any]]]:
        """The mappings of a list, each with its path. Reports repeated ids."""
        if value is None:
            return []
        if not isinstance(value, list):
            self._document.report(path, f"expected a list, found {kind_of(value)}", "begin each item with '- '")
            return []
        if len(value) > RULES_MAX:
            self._document.report(path, f"more than {RULES_MAX} items")
            return []
        found: list[tuple[Path, dict[str, Any]]] = []
        seen: dict[str, int] = {}
        for index, item in enumerate(value):
            here: Path = (*path, index)
            if not isinstance(item, dict):
                self._document.report(here, f"expected a mapping, found {kind_of(item)}", "such as {id: …, gate: …}")
                continue
            if isinstance(item.get("id"), str) and seen.setdefault(item["id"], index) != index:
                self._document.report((*here, "id"), f"the id {item['id']!r} is used twice", "give each its own id")
            found.append((here, item))
        return found

    def _rule(self, path: Path, value: dict[str, Any]) -> Rule:
        self._keys(path, value, RULE_KEYS, ("id", "gate", "trigger", "action"))
        gate = self._choice((*path, "gate"), value.get("gate"), list(GATES), "gate")
        trigger = self._trigger(path, gate, value.get("trigger"))
        action = self._choice((*path, "action"), value.get("action"), [a.name for a in Action], "action")
        return Rule(
            id=self._word((*path, "id"), value.get("id"), _ID),
            gate=gate,
            trigger=trigger.name if trigger else "",
            action=Action[action] if action else Action.stop,
            params=self._params((*path, "params"), value.get("params"), trigger),
            recommendation=self._prose((*path, "recommendation"), value.get("recommendation")),
            description=self._prose((*path, "description"), value.get("description")),
        )

    def _trigger(self, path: Path, gate: str, value: Any) -> Trigger | None:
        if not gate:
            return None
        names = [name for of, name in TRIGGERS if of == gate]
        return TRIGGERS.get((gate, self._choice((*path, "trigger"), value, names, f"trigger of gate {gate}")))

    def _params(self, path: Path, value: Any, trigger: Trigger | None) -> dict[str, Any]:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self._document.report(path, f"expected a mapping, found {kind_of(value)}", "such as {severity: '>= high'}")
            return {}
        if trigger is None:
            return value
        if trigger.needs_parameter and not value:
            needed = ", ".join(trigger.parameters)
            self._document.report(path, f"trigger {trigger.name} needs a parameter", f"one of: {needed}")
        for name, other in trigger.needs.items():
            if name in value and other not in value:
                message = f"{name!r} means nothing without {other!r}"
                self._document.report((*path, name), message, f"add {other}: …", at_key=True)
        for name, item in value.items():
            parameter = trigger.parameters.get(name)
            if parameter is None:
                hint = nearest(name, list(trigger.parameters)) if trigger.parameters else "it takes none"
                message = f"unknown parameter {name!r} of trigger {trigger.name}"
                self._document.report((*path, name), message, hint, at_key=True)
                continue
            try:
                parameter.read(item)
            except ParameterError as error:
                here = (*path, name) if error.index is None else (*path, name, error.index)
                self._document.report(here, error.message, error.hint, offset=error.offset)
        return value

    def _item(self, path: Path, value: dict[str, Any]) -> AllowlistItem:
        self._keys(path, value, ITEM_KEYS, ("id", "gate", "trigger_id", "owner", "reason"))
        gate = self._choice((*path, "gate"), value.get("gate"), [*GATES, "closure", "*"], "gate")
        trigger_id = self._prose((*path, "trigger_id"), value.get("trigger_id"))
        if trigger_id and "+" not in trigger_id and "*" not in trigger_id:
            hint = "such as CVE-2024-0001+libfoo; antivenom channel withheld --output json shows each trigger_id"
            self._document.report((*path, "trigger_id"), f"{trigger_id!r} is not a trigger_id", hint)
        match = self._prose((*path, "match"), value.get("match"))
        if match:
            try:
                _spec(match)
            except InvalidInputError as error:
                self._document.report((*path, "match"), error.message, error.hint)
        return AllowlistItem(
            id=self._word((*path, "id"), value.get("id"), _ID),
            gate=gate,
            trigger_id=trigger_id,
            owner=self._prose((*path, "owner"), value.get("owner")),
            reason=self._prose((*path, "reason"), value.get("reason")),
            expires_ms=self._instant((*path, "expires_on"), value.get("expires_on")),
            match=match,
        )

    def _keys(self, path: Path, value: dict[str, Any], known: tuple[str, ...], required: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                self._document.report((*path, key), f"unknown key {key!r}", nearest(key, known), at_key=True)
        for key in required:
            found = value.get(key)
            if found is None or (isinstance(found, str) and not found.strip()):
                self._document.report((*path, key), f"{key!r} is missing", f"add {key}: …", at_key=True)

    def _choice(self, path: Path, value: Any, words: list[str], what: str) -> str:
        if value is None or value == "":
            return ""
        if not isinstance(value, str) or value not in words:
            hint = nearest(value, words) if isinstance(value, str) else nearest("", words)
            self._document.report(path, f"unknown {what} {value!r}", hint)
            return ""
        return value

    def _word(self, path: Path, value: Any, pattern: re.Pattern[str]) -> str:
        # An id such as 12 is a number to YAML; people mean the text.
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if text is None or (isinstance(text, str) and not text.strip()):
            return ""
        if not isinstance(text, str) or not pattern.fullmatch(text):
            hint = "letters, digits, '-', '_' and '.'; begin with a letter or digit"
            self._document.report(path, f"{value!r} cannot be {'an id' if path[-1] == 'id' else 'a name'}", hint)
            return ""
        return text

    def _prose(self, path: Path, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            self._document.report(path, f"expected a text, found {kind_of(value)}", "put it in quotes")
            return ""
        if len(value) > PROSE_CHARACTERS_MAX:
            self._document.report(path, f"the text is longer than {PROSE_CHARACTERS_MAX} characters")
        if "\x00" in value:
            self._document.report(path, "the text holds a zero character")
        return value.strip()

    def _instant(self, path: Path, value: Any) -> int:
        if value is None:
            return 0
        hint = "such as 2027-01-01T00:00:00Z or 2027-01-01 (UTC)"
        text = value.strip() if isinstance(value, str) else str(value)
        try:
            if not isinstance(value, str) or not re.match(r"\d{4}-\d{2}-\d{2}", text):
                raise ValueError
            at = datetime.fromisoformat(text)
        except ValueError:
            self._document.report(path, f"{text!r} is not a date and time", hint)
            return 0
        expires_ms = _since_1970_ms(at)
        if expires_ms <= 0:
            self._document.report(path, f"{text!r} is before 1970", hint)
        return expires_ms


def _since_1970_ms(at: datetime) -> int:
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _rule_document(rule: Rule) -> dict[str, Any]:
    document: dict[str, Any] = {"id": rule.id, "gate": rule.gate, "trigger": rule.trigger, "action": rule.action.name}
    if rule.params:
        document["params"] = rule.params
    if rule.recommendation:
        document["recommendation"] = rule.recommendation
    if rule.description:
        document["description"] = rule.description
    return document


def _item_document(item: AllowlistItem) -> dict[str, Any]:
    document = {key: getattr(item, key) for key in ("id", "gate", "trigger_id", "owner", "reason")}
    if item.expires_ms:
        at = datetime.fromtimestamp(item.expires_ms / 1000, UTC)
        document["expires_on"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z").replace(".000Z", "Z")
    if item.match:
        document["match"] = item.match
    return document


@lru_cache(maxsize=4096)
def _pattern(trigger_id: str) -> re.Pattern[str]:
    """Only `*` is a wildcard: trigger_ids of match specs hold brackets."""
    return star_pattern(trigger_id.casefold())


@lru_cache(maxsize=4096)
def _spec(text: str) -> RecordSpec:
    return parse_record_spec(text)
