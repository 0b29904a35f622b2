"""`antivenom match` as people run it: against a whole server that knows one feed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from antivenom.cli.match import _rows
from antivenom.cli.match_explained import explanation_lines
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.component_text import parse_component

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
        "match", "pkg:pypi/requests@2.25.0", "pkg:pypi/requests@2.31.0", "conda:no-such=1", "--output", "json"
    )
    hit, fixed, unknown = json.loads(done.stdout)
    [finding] = hit["findings"]
    assert finding["ids"] == ["CVE-2023-32681", "PYSEC-2023-74"]
    assert (finding["severity"], finding["cvss"], finding["fixed_versions"]) == ("medium", 6.1, ["2.31.0"])
    assert finding["evidence"][0]["range"] == ">=2.3.0,<2.31.0"
    assert (fixed["assessed"], fixed["findings"]) == (True, [])
    assert not unknown["assessed"]


def test_the_table_shows_findings_and_says_of_the_others_why_there_are_none(knowing: Any) -> None:
    components = ("conda:requests=2.25.0", "conda:requests=2.31.0", "pkg:pypi/requests@2.31.0", "conda:no-such=1")
    done = knowing.cli("match", *components)
    assert "CVE-2023-32681" in done.stdout
    assert "2.31.0" in done.stdout
    assert "pkg:pypi/requests@2.31.0: no known vulnerability" in done.stderr
    assert "conda:requests=2.31.0: not assessed: only an equal name" in done.stderr  # no name map is loaded
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


def test_explained_it_shows_the_whole_way(knowing: Any) -> None:
    told = knowing.cli("match", "--explain", "pkg:pypi/requests@2.25.0", "conda:no-such=1").stdout
    assert "pkg:pypi/requests@2.25.0: 1 finding; 0 compared and not affected" in told
    assert "pypi requests (exact): 1 advisory names it" in told
    assert "2.25.0 is in >=2.3.0,<2.31.0, says an advisory of its own ecosystem" in told
    assert "heard: 1 osv" in told
    assert "conda:no-such=1: nothing is told of it" in told
    assert "only an equal name suggests it, and no advisory names it" in told


def test_explained_as_json_it_is_a_list_of_explanations(knowing: Any) -> None:
    arguments = ("pkg:pypi/requests@2.31.0", "--explain", "--advisory", "PYSEC-2023-74", "-o", "json")
    [found] = json.loads(knowing.cli("match", *arguments).stdout)
    assert found["considered"][0]["outcome"] == "not-affected"
    assert found["names"][0]["outcome"] == "heard"
    refused = knowing.cli("match", "conda:requests=2.31.0", "--advisory", "PYSEC-2023-74", check=False)
    assert (refused.returncode, "--explain" in refused.stderr) == (2, True)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_an_explanation_fits_the_terminal(width: int) -> None:
    comparison = {
        "advisory": "CVE-2026-0001", "source": "nvd", "name": "cpe/openssl:openssl", "rank": "NVD", "result": "outside",
        "ranges": [">=3.0.0,<3.0.8"] * 6, "ranges_total": 40, "why": "decides",
    }  # fmt: skip
    item = {
        "ids": ["CVE-2026-0001"], "severity": "high", "summary": "word " * 60, "outcome": "not-affected", "rule": "",
        "why": "3.1 is not in >=3.0.0,<3.0.8, says NVD", "fixed_versions": [], "comparisons": [comparison],
    }  # fmt: skip
    found = {
        "subdir": "linux-64", "depends_on": "", "assessed": True, "reason": "curated: conda openssl is openssl:openssl",
        "names": [], "feeds": [], "considered": [item],
        "counts": {"finding": 0, "set-aside": 0, "other-platform": 0, "undecided": 0, "withdrawn": 0, "not-affected": 1},
    }  # fmt: skip
    lines = list(explanation_lines("conda:openssl=3.1", found, width=width))
    assert max(map(len, lines[1:])) <= width
    assert "or 34 more: decides" in " ".join(line.strip() for line in lines)


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
