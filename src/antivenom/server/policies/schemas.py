"""What the API takes and answers about policies."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from antivenom.core.policy import compile as core
from antivenom.server.policies.models import Policy, PolicyRevision
from antivenom.server.policies.service import RevisionDiff


class PolicyToCheck(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=2_000_000)  # core refuses more than 1 MiB, with a better message


class PolicyChecked(BaseModel):
    """A valid policy; another answers 422 with its problems."""

    valid: bool = True
    name: str
    rules: int
    allowlist: int
    gates: list[str]

    @classmethod
    def of(cls, policy: core.Policy) -> PolicyChecked:
        gates = sorted({rule.gate for rule in policy.rules})
        return cls(name=policy.name, rules=len(policy.rules), allowlist=len(policy.allowlist), gates=gates)


class PolicySummary(BaseModel):
    name: str
    revision: int
    rules: int
    allowlist: int
    created_at: datetime
    revised_at: datetime
    revised_by: str
    demo: bool

    @classmethod
    def of(cls, policy: Policy, latest: PolicyRevision) -> PolicySummary:
        return cls(
            name=policy.name,
            revision=latest.number,
            rules=len(latest.document.get("rules", ())),
            allowlist=len(latest.document.get("allowlist", ())),
            created_at=policy.created_at,
            revised_at=latest.created_at,
            revised_by=latest.created_by,
            demo=policy.is_demo,
        )


class PolicyView(PolicySummary):
    """A policy with the text of one revision."""

    text: str
    document: dict[str, Any]

    @classmethod
    def of(cls, policy: Policy, latest: PolicyRevision) -> PolicyView:
        summary = PolicySummary.of(policy, latest)
        return cls(**summary.model_dump(), text=latest.text, document=latest.document)


class RevisionView(BaseModel):
    number: int
    created_at: datetime
    created_by: str
    rules: int
    allowlist: int
    text: str

    @classmethod
    def of(cls, revision: PolicyRevision) -> RevisionView:
        return cls(
            number=revision.number,
            created_at=revision.created_at,
            created_by=revision.created_by,
            rules=len(revision.document.get("rules", ())),
            allowlist=len(revision.document.get("allowlist", ())),
            text=revision.text,
        )


class RevisionDiffView(BaseModel):
    name: str
    old: int
    new: int
    gates: list[str]
    added: list[str]
    removed: list[str]
    changed: list[str]
    lines: list[str]

    @classmethod
    def of(cls, diff: RevisionDiff) -> RevisionDiffView:
        return cls(**{field: getattr(diff, field) for field in cls.model_fields})
