"""`antivenom correction` as people run it, against a whole server that knows one feed."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.test_match import knowing  # noqa: F401  # fixture

RANGE = ("range", "conda:requests=2.25.0", "CVE-2023-32681")
WHY = ("--affected", "2.3.0..2.20.0", "--reason", "the change log says 2.20")


def test_it_is_previewed_proposed_applied_exported_and_taken_back(knowing: Any) -> None:  # noqa: F811
    previewed = knowing.cli("correction", "preview", *RANGE, *WHY).stdout
    assert "requests\tCVE-2023-32681\t2.3.0..2.20.0\tthe change log says 2.20\tcorrected here" in previewed
    assert "the component: 1 go" in previewed
    assert (
        "goes: CVE-2023-32681 medium of requests 2.25.0, kept as ignored by affected/requests/CVE-2023-32681"
        in previewed
    )
    assert "no channel has a finding that changes" in previewed
    proposed = json.loads(knowing.cli("correction", "propose", *RANGE, *WHY, "-o", "json").stdout)
    number = str(proposed["id"])
    assert "applied, it changes" in knowing.cli("correction", "show", number).stdout
    assert json.loads(knowing.cli("correction", "apply", number, "--yes", "-o", "json").stdout)["state"] == "applied"
    assert knowing.cli("correction", "export").stdout.startswith("# antivenom knowledge\n")
    listed = json.loads(knowing.cli("correction", "list", "requests", "--state", "applied", "-o", "json").stdout)
    assert [row["id"] for row in listed] == [proposed["id"]]
    assert "reverted" in knowing.cli("correction", "revert", number, "--yes").stdout
    refused = knowing.cli("correction", "decline", number, check=False)
    assert (refused.returncode, "is reverted" in refused.stderr) == (2, True)


def test_what_is_wrong_is_said_with_its_hint(knowing: Any) -> None:  # noqa: F811
    refused = knowing.cli("correction", "preview", *RANGE, "--reason", "no range", check=False)
    assert (refused.returncode, "name the releases that are affected" in refused.stderr) == (2, True)
    purl = knowing.cli("correction", "preview", "ignore", "pkg:pypi/requests@2.25.0", "--reason", "x", check=False)
    assert (purl.returncode, "about a conda package" in purl.stderr) == (2, True)


def test_an_explanation_says_how_to_correct_it(knowing: Any) -> None:  # noqa: F811
    told = knowing.cli("match", "--explain", "conda:requests=2.25.0").stdout
    assert "antivenom correction preview KIND conda:requests=2.25.0" in " ".join(told.split())
