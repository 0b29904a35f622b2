"""A scan as JUnit XML: a test suite for each snapshot, a test case for each component, failed where it has findings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from antivenom.core.reports.advice import advise_component
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot, component_fails, reasons_of
from antivenom_client.report import fails

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class JunitReport:
    """One document with a test suite for each snapshot.

    Args:
        fail_on: Which findings make a component fail; others are listed in its output.
    """

    def __init__(self, *, fail_on: Sequence[str] = ("any",)) -> None:
        self._fail_on = fail_on
        self._next = '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="antivenom scan">\n'

    def add(self, snapshot: ScannedSnapshot) -> str:
        before, self._next = self._next, ""
        cases = [_case(assessed, self._fail_on) for assessed in snapshot.components]
        if snapshot.error:
            cases.append(_unreadable(snapshot))
        counts = {
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": str(sum(case.find("error") is not None for case in cases)),
            "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        }
        suite = Element("testsuite", {"name": _text(snapshot.title), **counts})
        suite.extend(cases)
        if told := [f"{what} is left out: {why}" for what, why in snapshot.skipped]:
            SubElement(suite, "system-out").text = _text("\n".join(told))
        ElementTree.indent(suite)
        return f"{before}{ElementTree.tostring(suite, encoding='unicode')}\n"

    def end(self) -> str:
        return f"{self._next}</testsuites>\n"


def _unreadable(snapshot: ScannedSnapshot) -> Element:
    case = Element("testcase", classname=_text(snapshot.kind or "file"), name=_text(snapshot.target))
    SubElement(case, "error", type="unreadable", message=_text(snapshot.error))
    return case


def _case(assessed: AssessedComponent, fail_on: Sequence[str]) -> Element:
    component = assessed.component
    case = Element("testcase", classname=_text(component.type), name=_text(f"{component.name} {component.version}"))
    if not assessed.assessed:
        SubElement(case, "skipped", message=_text(f"not assessed: {assessed.reason}"))
    told = [f"{finding.ids[0]} {finding.severity}: {finding.summary}".strip() for finding in assessed.findings]
    told += [f"set aside: {finding.ids[0]}: {statement.sentence}" for finding, statement in assessed.set_aside]
    told += [f"{name}: {statement.sentence}" for name, statement in assessed.statements]
    told += [f"policy: {reason.action}: {reason.message}" for reason in reasons_of(assessed)]
    if component_fails(assessed, fail_on):
        is_of_policy = not any(fails(finding, fail_on) for finding in assessed.findings)
        message = next((r.message for r in reasons_of(assessed)), "") if is_of_policy else advise_component(assessed)
        failure = SubElement(
            case, "failure", type="policy" if is_of_policy else "vulnerability", message=_text(message)
        )
        failure.text = _text("\n".join(told))
    elif told:
        SubElement(case, "system-out").text = _text("\n".join(told))
    return case


def _text(text: str) -> str:
    """Text that XML can hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
