"""`antivenom match` as people run it: against a whole server that knows one feed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from antivenom.cli.match import _rows, parse_component
from antivenom.core.errors import InvalidInputError

ADVISORY = {
    "id": "PYSEC-2023-74",
    "aliases": ["CVE-2023-32681"],
    "modified": "2023-06-01T00:00:00Z",
    "summary": "Requests leaks Proxy-Authorization headers",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:N/A:N"}],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "requests"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "2.3.0"}, {"fixed": "2.31.0"}]}],
        }
    ],
}


@pytest.fixture(scope="module")
def knowing(up_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("feed")
    folder.parent.chmod(0o755)
    feed = folder / "osv.jsonl"
    feed.write_text(json.dumps(ADVISORY))
    up_server.cli("feed", "add", "osv", feed)
    return up_server


def test_a_match_right_after_a_feed_was_added_knows_it(knowing: Any) -> None:
    done = knowing.cli(
        "match", "pkg:pypi/requests@2.25.0", "conda:requests=2.31.0", "conda:no-such=1", "--output", "json"
    )
    hit, fixed, unknown = json.loads(done.stdout)
    [finding] = hit["findings"]
    assert finding["ids"] == ["CVE-2023-32681", "PYSEC-2023-74"]
    assert (finding["severity"], finding["cvss"], finding["fixed_versions"]) == ("medium", 6.1, ["2.31.0"])
    assert finding["evidence"][0]["range"] == ">=2.3.0,<2.31.0"
    assert (fixed["assessed"], fixed["findings"]) == (True, [])
    assert not unknown["assessed"]


def test_the_table_shows_findings_and_says_of_the_others_why_there_are_none(knowing: Any) -> None:
    done = knowing.cli("match", "conda:requests=2.25.0", "conda:requests=2.31.0", "conda:no-such=1")
    assert "CVE-2023-32681" in done.stdout
    assert "2.31.0" in done.stdout
    assert "conda:requests=2.31.0: no known vulnerability" in done.stderr
    assert "conda:no-such=1: not assessed: no advisory source knows" in done.stderr


def test_components_come_from_standard_input_too(knowing: Any) -> None:
    import sys

    command = [sys.executable, "-m", "antivenom", "match", "-", "-o", "json"]
    given = "# a lock file's worth\nconda:requests=2.25.0=pyhd8ed1ab_0\n\npkg:pypi/requests@2.31.0\n"
    done = subprocess.run(command, env=knowing.environment, input=given, capture_output=True, text=True, check=True)
    assert [len(a["findings"]) for a in json.loads(done.stdout)] == [1, 0]


def test_what_is_no_component_is_an_input_error(tmp_path: Path, up_server: Any) -> None:
    done = up_server.cli("match", "openssl", check=False)
    assert done.returncode == 2
    assert "conda:openssl=3.0.7" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("conda:openssl=3.0.7", {"type": "conda", "name": "openssl", "version": "3.0.7"}),
        ("conda:openssl==3.0.7", {"type": "conda", "name": "openssl", "version": "3.0.7"}),
        ("conda:zlib=1.2.13=h1_0", {"type": "conda", "name": "zlib", "version": "1.2.13", "build": "h1_0"}),
        ("pkg:conda/zlib@1.2.13", {"purl": "pkg:conda/zlib@1.2.13"}),
    ],
)
def test_components_as_people_write_them(text: str, body: dict[str, str]) -> None:
    assert parse_component(text) == body
    assert parse_component(text, "bioconda") == {**body, "channel": "bioconda"}


@pytest.mark.parametrize("text", ["", "openssl", "openssl=1", "conda:", "conda:openssl", "conda:a=b=c=d", "npm:x=1"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_component(text)


def test_an_ignored_finding_is_shown_with_the_row_that_sets_it_aside() -> None:
    finding = {
        "ids": ["CVE-2024-0001"], "severity": "high", "cvss": 7.5, "kev": False, "epss": None, "risk": 1.0,
        "fixed_versions": [], "status": "ignored", "confidence": "low",
        "evidence": [{"source": "CVE-2024-0001 (nvd)", "via": "a part of mysql", "range": "<8.1"}],
        "ignored_by": {"rule": "ignore/server-side", "reason": "It is of the server."},
    }  # fmt: skip
    [row] = _rows("conda:mysql-libs=8.0", {"findings": [], "ignored": [finding]})
    assert row["status"] == "ignored"
    assert row["evidence"].endswith("a part of mysql; ignored by ignore/server-side: It is of the server.")
