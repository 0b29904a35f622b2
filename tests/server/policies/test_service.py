"""Policies as revisions: saved once per text, looked up, compared; every change is in the audit trail."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from antivenom.core.errors import ForbiddenError, InvalidInputError, NotFoundError
from antivenom.core.policy.compile import Policy, parse_policy, read_stored_policy
from antivenom.server.context import LOCAL, Actor, Context, Resources
from antivenom.server.events.models import Event
from antivenom.server.policies import service
from antivenom.server.policies.models import PolicyRevision
from tests.server.test_pages import member_client, stranger  # noqa: F401  # fixtures

TEXT = """\
name: baseline
rules:
  - {id: exploited, gate: vulnerabilities, trigger: package, action: stop, params: {kev: true}}
"""
COOLDOWN = "  - {id: cooldown, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}\n"


async def test_a_first_save_makes_revision_one(ctx: Context) -> None:
    revision = await service.save_policy(ctx, TEXT)
    assert (revision.number, revision.text, revision.created_by) == (1, TEXT, "local")
    policy, latest = await service.get_policy(ctx, "baseline")
    assert (policy.name, latest.id) == ("baseline", revision.id)
    assert latest.document["rules"][0]["params"] == {"kev": True}


async def test_the_same_text_makes_no_new_revision(ctx: Context) -> None:
    first = await service.save_policy(ctx, TEXT)
    assert (await service.save_policy(ctx, TEXT)).id == first.id
    second = await service.save_policy(ctx, TEXT + COOLDOWN)
    assert second.number == 2
    assert (await service.save_policy(ctx, TEXT)).number == 3


async def test_a_revision_is_in_the_audit_trail_with_the_gates_that_changed(ctx: Context) -> None:
    await service.save_policy(ctx, TEXT)
    await service.save_policy(ctx, TEXT + COOLDOWN)
    await service.save_policy(ctx, TEXT + COOLDOWN)
    events = list(await ctx.session.scalars(select(Event).where(Event.kind == "policy.revised").order_by(Event.id)))
    assert [(e.subject, e.data["number"], e.data["gates"]) for e in events] == [
        ("policy:baseline", 1, ["vulnerabilities"]),
        ("policy:baseline", 2, ["metadata"]),
    ]


async def test_a_wrong_policy_keeps_nothing(ctx: Context) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await service.save_policy(ctx, TEXT.replace("package", "pakage"))
    assert caught.value.hint == "did you mean 'package'?"
    assert (await service.list_policies(ctx)).total == 0


async def test_policies_and_revisions_are_paged(ctx: Context) -> None:
    for name in ("b", "a", "c"):
        for extra in ("", COOLDOWN):
            await service.save_policy(ctx, TEXT.replace("baseline", name) + extra)
    found = await service.list_policies(ctx, page=1, page_size=2)
    assert [(policy.name, latest.number) for policy, latest in found.items] == [("a", 2), ("b", 2)]
    assert found.total == 3
    assert [p.name for p, _ in (await service.list_policies(ctx, q="C")).items] == ["c"]
    revisions = await service.list_revisions(ctx, "a")
    assert [r.number for r in revisions.items] == [2, 1]


async def test_policies_are_ordered_by_what_one_asks_for(ctx: Context) -> None:
    for name, extra in (("b", ("", COOLDOWN)), ("a", ("",))):
        for text in extra:
            await service.save_policy(ctx, TEXT.replace("baseline", name) + text)
    assert [p.name for p, _ in (await service.list_policies(ctx, sort="-revision")).items] == ["b", "a"]
    assert [p.name for p, _ in (await service.list_policies(ctx, sort="name")).items] == ["a", "b"]
    with pytest.raises(InvalidInputError, match="cannot sort by 'colour'"):
        await service.list_policies(ctx, sort="colour")


async def test_two_revisions_are_compared_by_rules_and_lines(ctx: Context) -> None:
    await service.save_policy(ctx, TEXT)
    await service.save_policy(ctx, TEXT.replace("action: stop", "action: warn") + COOLDOWN)
    diff = await service.diff_revisions(ctx, "baseline", 1, 2)
    assert (diff.added, diff.removed, diff.changed) == (["cooldown"], [], ["exploited"])
    assert diff.gates == ["metadata", "vulnerabilities"]
    assert f"+{COOLDOWN.rstrip()}" in diff.lines


async def test_what_does_not_exist_is_not_found(ctx: Context) -> None:
    with pytest.raises(NotFoundError):
        await service.get_policy(ctx, "nope")
    await service.save_policy(ctx, TEXT)
    for number in (2, 0, -1, 1 << 40):
        with pytest.raises(NotFoundError):
            await service.get_revision(ctx, "baseline", number)


async def test_a_reader_may_look_and_not_save(resources: Resources) -> None:
    async with resources.context(LOCAL) as local:
        await service.save_policy(local, TEXT)
    async with resources.context(Actor("token", "ci", "member")) as reader:
        assert (await service.get_policy(reader, "baseline"))[1].number == 1
        with pytest.raises(ForbiddenError):
            await service.save_policy(reader, TEXT + COOLDOWN)


async def test_two_who_save_at_once_get_different_revisions(resources: Resources) -> None:
    async def save(text: str) -> int:
        async with resources.context(LOCAL) as own:
            return (await service.save_policy(own, text)).number

    texts = [TEXT + f"# {n}\n" for n in range(6)]
    assert sorted(await asyncio.gather(*map(save, texts))) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["x'; DROP TABLE policy; --", "a" * 5000, "", "%", "\\"])
async def test_odd_names_are_looked_up_as_data(ctx: Context, name: str) -> None:
    with pytest.raises(NotFoundError):
        await service.get_policy(ctx, name)
    assert (await service.list_policies(ctx, q=name)).total == 0


SPELLED_OTHERWISE = '  - {id: old, gate: packages, trigger: match_spec, action: stop, params: {deny: ["foo <=1.2*"]}}\n'


async def keep_what_is_refused_today(ctx: Context) -> PolicyRevision:
    """A revision as an earlier release kept it, which read match specs otherwise."""
    revision = await service.save_policy(ctx, TEXT)
    document = {**revision.document, "rules": [*revision.document["rules"], parse_rule(SPELLED_OTHERWISE)]}
    old = PolicyRevision(
        policy_id=revision.policy_id, number=2, text=TEXT + SPELLED_OTHERWISE, document=document, created_at=ctx.now,
        created_by="ana",
    )  # fmt: skip
    ctx.session.add(old)
    await ctx.session.flush()
    with pytest.raises(InvalidInputError):
        await service.check_policy(ctx.resources, old.text)
    return old


def parse_rule(line: str) -> dict[str, Any]:
    [rule] = yaml.safe_load(line)
    return rule


async def test_a_text_that_is_refused_today_is_shown_compared_and_replaced(ctx: Context) -> None:
    old = await keep_what_is_refused_today(ctx)
    assert [rule.id for rule in service.read_revision(old).rules] == ["exploited", "old"]
    assert (await service.diff_revisions(ctx, "baseline", 1, 2)).added == ["old"]
    assert (await service.save_policy(ctx, TEXT + COOLDOWN)).number == 3
    events = await ctx.session.scalars(select(Event).where(Event.kind == "policy.revised").order_by(Event.id.desc()))
    event = next(iter(events))
    assert event.data["gates"] == ["metadata", "packages"]


async def test_pages_show_a_policy_that_is_refused_today(resources: Resources, member_client: Any) -> None:  # noqa: F811
    async with resources.context(LOCAL) as ctx:
        await keep_what_is_refused_today(ctx)
    for page in ("/policies/baseline", "/policies/baseline?compare=1", "/policies/baseline/edit"):
        answer = await member_client.get(page)
        assert (answer.status_code, "foo &lt;=1.2*" in answer.text) == (200, True), page


async def test_the_text_that_was_there_is_not_checked_while_others_wait(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.save_policy(ctx, TEXT)
    checked: list[str] = []
    check = service.check_policy

    async def counted(resources: Resources, text: str) -> Policy:
        checked.append(text)
        return await check(resources, text)

    monkeypatch.setattr(service, "check_policy", counted)
    await service.save_policy(ctx, TEXT + COOLDOWN)
    assert checked == [TEXT + COOLDOWN]


@pytest.mark.parametrize("expires", ["", ", expires_on: 2027-01-01", ", expires_on: '2027-01-01T08:00:00.5+02:00'"])
def test_what_is_stored_is_the_policy_that_was_checked(expires: str) -> None:
    item = (
        f"allowlist:\n  - {{id: a, gate: '*', trigger_id: 'x+*', owner: o, reason: r, match: 'x >=1'{expires}}}\n"
        "description: for all\n"
    )
    parsed = parse_policy(TEXT + COOLDOWN + item)
    assert read_stored_policy(json.loads(json.dumps(parsed.document()))) == parsed
