"""A scan as JUnit XML: a test suite for each snapshot, a test case for each component, failed where it has findings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from antivenom.core.reports.advice import advise
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot, fails

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(snapshots: Sequence[ScannedSnapshot], *, fail_on: Sequence[str] = ("any",)) -> str:
    """The scan as one document.

    Args:
        fail_on: Which findings make a component fail; others are listed in its output.
    """
    root = Element("testsuites", name="antivenom scan")
    for snapshot in snapshots:
        cases = [_case(assessed, fail_on) for assessed in snapshot.components]
        suite = SubElement(
            root,
            "testsuite",
            name=_text(snapshot.title),
            tests=str(len(cases)),
            failures=str(sum(case.find("failure") is not None for case in cases)),
            skipped=str(sum(case.find("skipped") is not None for case in cases)),
        )
        suite.extend(cases)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(assessed: AssessedComponent, fail_on: Sequence[str]) -> Element:
    component = assessed.component
    case = Element("testcase", classname=_text(component.type), name=_text(f"{component.name} {component.version}"))
    if not assessed.assessed:
        SubElement(case, "skipped", message=_text(f"not assessed: {assessed.reason}"))
    told = "\n".join(f"{finding.ids[0]} {finding.severity}: {finding.summary}".strip() for finding in assessed.findings)
    if any(fails(finding, fail_on) for finding in assessed.findings):
        failure = SubElement(case, "failure", type="vulnerability", message=_text(advise(assessed.findings)))
        failure.text = _text(told)
    elif told:
        SubElement(case, "system-out").text = _text(told)
    return case


def _text(text: str) -> str:
    """Text that XML can hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
