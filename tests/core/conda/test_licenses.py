"""Licence texts: the SPDX expressions and families they are read as."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from antivenom.core.conda.licenses import FAMILIES, LicenseExpression, read_license, spdx_ids


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("MIT AND (ISC OR Apache-2.0)", "MIT AND (ISC OR Apache-2.0)"),
        ("MIT OR ISC AND Apache-2.0", "MIT OR (ISC AND Apache-2.0)"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("GPL-3.0+", "GPL-3.0-or-later"),
        ("GPL-3.0-with-GCC-exception", "GPL-3.0-only WITH GCC-exception-3.1"),
        ("Apache-2.0 with llvm-exception", "Apache-2.0 WITH LLVM-exception"),
        ("GPL (>= 2)", "GPL-2.0-or-later"),
        ("GPL (>= 2) | file LICENSE", "GPL-2.0-or-later"),
        ("GPL-2 | GPL-3 | file LICENSE", "GPL-2.0-only OR GPL-3.0-only"),
        ("MIT + file LICENSE", "MIT"),
        ("BSD_3_clause + file LICENSE", "BSD-3-Clause"),
        ("LGPLv2+ and (LGPLv2+ or MPLv1.1)", "LGPL-2.0-or-later AND (LGPL-2.0-or-later OR MPL-1.1)"),
        ("GNU General Public License v2 or later (GPLv2+)", "GPL-2.0-or-later"),
        ("GPL", "GPL-1.0-or-later"),
        ("BSD", "LicenseRef-BSD"),
        ("LicenseRef-Public-Domain", "LicenseRef-Public-Domain"),
        ("None", "NONE"),
        ("UNKNOWN", "NONE"),
        ("", "NONE"),
        ("  ", "NONE"),
        ("NOASSERTION", "NONE"),
        ("some words nobody knows", "LicenseRef-some-words-nobody-knows"),
    ],
)
def test_a_licence_text_is_read_as_an_expression(text: str, expression: str) -> None:
    assert read_license(text).text == expression


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("MIT", {"mit", "permissive"}),
        ("LGPL-2.1-only", {"lgpl", "weak_copyleft"}),
        ("GPL-3.0-or-later", {"gpl", "gpl3", "copyleft"}),
        ("AGPL-3.0-only", {"agpl", "copyleft"}),
        ("CC0-1.0", {"cc", "public_domain"}),
        ("BUSL-1.1", {"proprietary", "source_available"}),
        ("PSF-2.0", {"psf", "permissive"}),
        ("MPL-2.0", {"mpl", "weak_copyleft"}),
        ("ISC", {"other", "permissive"}),
        ("LicenseRef-NVIDIA-End-User-License-Agreement", {"proprietary"}),
        ("Proprietary", {"proprietary"}),
        ("BSD-like", {"bsd", "permissive"}),
        ("custom", {"other"}),
        ("None", {"none"}),
    ],
)
def test_a_licence_belongs_to_families(text: str, families: set[str]) -> None:
    (found,) = read_license(text).licenses
    assert found.families == families
    assert families <= set(FAMILIES)


def test_every_spdx_id_reads_as_itself_with_a_family() -> None:
    for today, _ in spdx_ids().values():
        expression = read_license(today)
        assert expression.license is not None, today
        assert expression.license.families, today
        assert read_license(expression.text) == expression


@pytest.mark.parametrize("text", ["WITH WITH WITH", "MIT WITH", ") MIT ("])
def test_hostile_text_is_read(text: str) -> None:
    assert read_license(text).licenses


@pytest.mark.parametrize("part", ["(", "MIT AND ", "GPL (", "|", "a"])
def test_endless_text_is_read(part: str) -> None:
    """It takes milliseconds; a reading that were not bounded would not come to an end."""
    assert read_license(part * 300_000).licenses


def test_the_real_texts_of_channels_are_read(shared_data: Path) -> None:
    with (shared_data / "data/licences/conda-licence-strings.tsv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == 340
    unread, records, read_records = [], 0, 0
    for row in rows:
        expression = read_license(row["license"])
        records += int(row["records"])
        if all(f.id.startswith("LicenseRef-") and f.families == {"other"} for f in expression.licenses):
            unread.append(row["license"])
        else:
            read_records += int(row["records"])
        if row["kind"].startswith("spdx"):
            assert not any(f.id.startswith("LicenseRef-") for f in expression.licenses), row["license"]
        if row["kind"] == "spdx-id":
            assert expression.text == row["license"]
    print(f"{len(rows) - len(unread)} of 340 texts, {read_records} of {records} records; unread: {unread}")
    assert len(unread) <= 26
    assert read_records / records >= 0.995


SLASHES = [
    ("MIT/GPL-2.0", "MIT OR GPL-2.0-only"),
    ("GPL-3.0+/MIT", "GPL-3.0-or-later OR MIT"),
    ("GPLv2/LGPLv2.1", "GPL-2.0-only OR LGPL-2.1-only"),
    ("BSD-3-Clause/GPL-2.0-only/MIT", "BSD-3-Clause OR GPL-2.0-only OR MIT"),
    ("MIT / GPLv2", "MIT OR GPL-2.0-only"),
    ("Dual GPL/BSD", "GPL-1.0-or-later OR LicenseRef-BSD"),
    ("Apache/MIT", "LicenseRef-Apache OR MIT"),
    ("MIT and/or GPL-2.0", "MIT OR GPL-2.0-only"),
    ("MIT/GPL-2.0 AND BSD-3-Clause", "(MIT OR GPL-2.0-only) AND BSD-3-Clause"),
    ("BSD-3-Clause and MIT/GPLv2", "BSD-3-Clause AND (MIT OR GPL-2.0-only)"),
    ("GPL v2/v3", "GPL-2.0-only OR GPL-3.0-only"),
    ("GPL-2.0/3.0", "GPL-2.0-only OR GPL-3.0-only"),
    ("LGPL-2.1/3.0+", "LGPL-2.1-only OR LGPL-3.0-or-later"),
    ("GPL 2 or 3", "GPL-2.0-only OR GPL-3.0-only"),
    ("Dual licensed under MIT and GPL-2.0", "MIT OR GPL-2.0-only"),
    ("MIT and GPLv3 (dual-licensed)", "MIT OR GPL-3.0-only"),
    ("MIT/GPL dual license", "MIT OR GPL-1.0-or-later"),
    ("tri-licensed: MPL 1.1, GPL 2.0 and LGPL 2.1", "MPL-1.1 OR GPL-2.0-only OR LGPL-2.1-only"),
    ("zlib/libpng", "zlib-acknowledgement"),
    ("MIT/X11", "MIT"),
    ("Tcl/Tk", "TCL"),
]


@pytest.mark.parametrize(("text", "expression"), SLASHES)
def test_a_slash_is_a_choice_unless_it_is_part_of_a_name(text: str, expression: str) -> None:
    assert read_license(text).text == expression


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("Lesser GPL", "LGPL-2.0-or-later"),
        ("GNU Lesser GPL v2.1", "LGPL-2.1-only"),
        ("Library GPL", "LGPL-2.0-or-later"),
        ("Affero GPL", "AGPL-1.0-or-later"),
        ("GNU Affero GPL v3", "AGPL-3.0-only"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
        ("same terms as Perl", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
        ("Perl_5", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
    ],
)
def test_a_gnu_licence_is_known_by_its_short_prose_name(text: str, expression: str) -> None:
    assert read_license(text).text == expression


@pytest.mark.parametrize(
    "name", ["GPL", "LGPL", "AGPL", "GPLv3", "GPL-3.0", "GPL-2", "GNU GPL", "proprietary", "copyleft"]
)
@pytest.mark.parametrize(
    "prose",
    [
        "non-{}",
        "Not {}",
        "no {} code",
        "anti-{}",
        "non{}",
        "not under {}",
        "not licensed under the {}",
        "anything but {}",
        "other than {}",
        "except {}",
        "{}-compatible",
        "{} compatible",
        "{}-free",
        "compatible with the {}",
    ],
)
def test_a_licence_that_a_text_only_speaks_of_is_not_its_own(prose: str, name: str) -> None:
    families = {family for license in read_license(prose.format(name)).licenses for family in license.families}
    assert families == {"other"}


def test_a_licence_for_use_without_gain_is_not_called_proprietary() -> None:
    assert "proprietary" not in read_license("CC-BY-NC-4.0").licenses[0].families
    assert "proprietary" in read_license("free for non-commercial use").licenses[0].families


def _is_kept(expression: LicenseExpression, stopped: set[str]) -> bool:
    if expression.license is not None:
        return not expression.license.families & stopped
    kept = [_is_kept(part, stopped) for part in expression.parts]
    return any(kept) if expression.operator == "OR" else all(kept)


def test_the_shared_cases_are_judged_as_they_say(shared_data: Path) -> None:
    rows = [line.rsplit("\t", 1) for line in (shared_data / "cases" / "licences.tsv").read_text().splitlines()]
    wrong = [
        text
        for text, kept in (row for row in rows if len(row) == 2 and not row[0].startswith("#"))
        if _is_kept(read_license(text), {"gpl", "agpl", "proprietary"}) != (kept == "1")
    ]
    assert wrong == []
