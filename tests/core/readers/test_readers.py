"""Every kind of file that a scan reads: what is in it, how its kind is told, and what is refused."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers import environment_yml, manifests, pixi_lock, python_locks, requirements
from antivenom.core.readers.parsing import DEPTH_MAX
from antivenom.core.readers.prefix import Distribution, read_distributions, read_records
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.registry import KINDS, read_file, recognize
from antivenom.core.readers.snapshot import Component, Snapshot
from tests.core.readers import samples

ALL = samples.BOTH + samples.PYTHON


def only(data: str, name: str, kind: str = "") -> Snapshot:
    [snapshot] = read_file(data.encode(), name, kind)[1]
    return snapshot


@pytest.mark.parametrize(
    ("kind", "name", "text"), samples.BOTH, ids=[f"{k}-{n}-{i}" for i, (k, n, _) in enumerate(samples.BOTH)]
)
def test_a_file_with_conda_and_pypi_packages_is_read(kind: str, name: str, text: str) -> None:
    snapshot = only(text, name)
    found = {(c.type, c.name, c.version): c for c in snapshot.components}
    assert set(found) == {("conda", "openssl", "3.0.7"), ("pypi", "requests", "2.25.0")}
    openssl = found["conda", "openssl", "3.0.7"]
    assert (openssl.build, snapshot.wanted, snapshot.skipped) == ("h0b41bf4_2", (), ())
    assert openssl.subdir == ("" if kind == "environment" else "linux-64")
    if kind in ("explicit", "conda-lock", "pixi-lock"):
        assert (openssl.channel, snapshot.platform) == ("https://conda.example/conda-forge", "linux-64")
        assert openssl.md5 == samples.MD5 or openssl.sha256 == samples.SHA256


@pytest.mark.parametrize(("kind", "name", "text"), samples.PYTHON)
def test_a_file_of_pythons_own_tools_is_read(kind: str, name: str, text: str) -> None:
    [component] = only(text, name).components
    assert component[:3] == ("pypi", "requests", "2.25.0")


@pytest.mark.parametrize(("kind", "name", "text"), ALL)
def test_the_kind_is_told_by_the_name_and_by_the_content(kind: str, name: str, text: str) -> None:
    assert recognize(name, text.encode()) == kind
    assert recognize("anything", text.encode()) == kind
    assert read_file(text.encode(), "anything", kind)[0] == kind


@pytest.mark.parametrize(("kind", "name", "text"), ALL)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_read(kind: str, name: str, text: str, encoding: str) -> None:
    assert read_file(text.encode(encoding), name)[1] == read_file(text.encode(), name, kind)[1]


# -- what each format has of its own -----------------------------------------------------------------------------------


def test_the_address_of_an_artifact_shows_no_secret() -> None:
    text = "@EXPLICIT\nhttps://ana:hunter2@conda.example/t/tk-1234567890abcdef/main/linux-64/a-1-0.conda\n"
    [component] = only(text, "list.txt").components
    assert (component.channel, component.url) == (
        "https://conda.example/t/***/main",
        "https://conda.example/t/***/main/linux-64/a-1-0.conda",
    )


def test_a_platform_of_pixi_may_have_a_name_of_its_own() -> None:
    text = samples.PIXI_7.replace("- name: linux-64", "- name: gpu\n  subdir: linux-64").replace(
        "      linux-64:", "      gpu:"
    )
    assert only(text, "pixi.lock").platform == "linux-64"


def test_packages_from_source_are_told_apart_or_left_out() -> None:
    text = """version: 6
environments:
  default:
    channels: []
    packages:
      win-64:
      - conda: ../pkg
        build: second
      - conda: ../other
packages:
- conda: ../pkg
  name: pkg
  version: "0.1"
  build: first
- conda: ../pkg
  name: pkg
  version: "0.1"
  build: second
- conda: ../other
  name: other
"""
    snapshot = only(text, "pixi.lock")
    assert [(c.name, c.version, c.build) for c in snapshot.components] == [("pkg", "0.1", "second")]
    assert [what for what, _ in snapshot.skipped] == ["other"]


def test_versions_are_texts_and_no_numbers() -> None:
    text = samples.CONDA_LOCK.replace("3.0.7\n", "3.10\n").replace("openssl-3.0.7", "openssl-3.10")
    assert [c.version for c in only(text, "conda-lock.yml").components] == ["3.10", "2.25.0"]


@pytest.mark.parametrize("version", ["0", "8", "1000", "'2.0'"])
def test_a_lock_file_of_a_later_version_says_which_are_known(version: str) -> None:
    with pytest.raises(InvalidInputError, match=r"known are 1, 2, 3, 4, 5, 6, 7"):
        pixi_lock.read(samples.PIXI_6.replace("version: 6", f"version: {version}", 1).encode(), "pixi.lock")
    with pytest.raises(InvalidInputError, match=r"known is 1"):
        python_locks.read(samples.PYLOCK.replace('"1.0"', '"2.0"').encode(), "pylock.toml")


@pytest.mark.parametrize(
    ("kind", "text", "known"),
    [
        ("python-lock", samples.UV.replace("version = 1\n", "version = 2\n", 1), "known is 1"),
        ("python-lock", samples.POETRY.replace('"2.1"', '"3.0"'), "known are 1, 2"),
        ("python-lock", samples.UV.replace("version = 1\n", "", 1) + '[metadata]\nlock_version = "5.0"\n', "known are 1, 2, 3, 4"),
        ("python-lock", samples.PYLOCK.replace('"1.0"', '"2.0"'), "known is 1"),
        ("conda-lock", samples.CONDA_LOCK.replace("version: 1", "version: 9", 1), "known are 1, 2, 3"),
        ("cyclonedx", samples.CYCLONEDX.replace("1.6", "2.0"), "known is 1.0 to 1.7"),
        ("cyclonedx", samples.CYCLONEDX_XML.replace("bom/1.4", "bom/2.0"), "known is 1.0 to 1.7"),
        ("spdx", samples.SPDX_2.replace("SPDX-2.3", "SPDX-4.0"), "known are SPDX-2.0"),
        ("spdx", samples.SPDX_TAGS.replace("SPDX-2.2", "SPDX-4.0"), "known are SPDX-2.0"),
        ("spdx", samples.SPDX_3.replace('{"type": "SpdxDocument"', '{"type": "CreationInfo", "specVersion": "4.0.0"}, {"type": "SpdxDocument"'), "known is 3.0"),
    ],
)  # fmt: skip
def test_a_file_of_a_later_form_is_refused_and_not_read_as_empty(kind: str, text: str, known: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"^file: it is of version .*; {re.escape(known)}"):
        read_file(text.encode(), "file", kind)


def test_a_wheel_in_a_conda_channel_is_pypis_wherever_it_is_told_of() -> None:
    url = "https://conda.example/wheels/noarch/requests-2.25.0-py3-none-any.whl"
    record = {"name": "requests", "version": "2.25.0", "build": "py3_none_any_0", "url": url, "subdir": "noarch"}
    of_prefix = read_records({"conda-meta/requests.json": json.dumps(record).encode()}).components
    of_list = only(json.dumps([record]), "list.json", "conda-list").components
    of_pixi = only(samples.PIXI_6.replace(samples.URL, url), "pixi.lock").components[:1]
    of_lock = only(
        samples.CONDA_LOCK.replace(samples.URL, url).replace("openssl", "requests").replace("3.0.7", "2.25.0"),
        "conda-lock.yml",
    ).components[:1]
    of_explicit = only(f"@EXPLICIT\n{url}\n", "list.txt").components
    for [component] in (of_prefix, of_list, of_pixi, of_lock, of_explicit):
        assert component[:3] == ("pypi", "requests", "2.25.0")


def test_two_versions_of_one_package_are_two_components() -> None:
    twice = {f"conda-meta/a-{v}.json": json.dumps({"name": "a", "version": v}).encode() for v in ("1.0", "2.0")}
    assert [c.version for c in read_records(twice).components] == ["1.0", "2.0"]
    text = f"@EXPLICIT\n{samples.URL}\n{samples.URL.replace('3.0.7', '3.0.8')}\n"
    assert [c.version for c in only(text, "list.txt").components] == ["3.0.7", "3.0.8"]


def test_what_is_not_resolved_is_wanted_and_nothing_of_it_is_lost() -> None:
    text = "dependencies:\n- python >=3.10\n- numpy=1.26\n- pip:\n  - requests\n  - flask==2.0\n  - -e .\n"
    [snapshot] = environment_yml.read(text.encode(), "environment.yml")
    assert snapshot.wanted == ("python >=3.10", "numpy=1.26", "requests (of pip)")
    assert [c.name for c in snapshot.components] == ["flask"]
    assert [what for what, _ in snapshot.skipped] == ["."]
    text = '[workspace]\nname="w"\n[dependencies]\nnumpy="1.*"\n[feature.test.target.linux-64.pypi-dependencies]\nflask={version=">=2"}\n'
    assert manifests.read(text.encode(), "pixi.toml")[0].wanted == ("numpy 1.*", "flask >=2 (of pip)")


def test_pixi_installs_what_the_project_itself_depends_on() -> None:
    text = '[project]\ndependencies=["requests==2.19.0", "a @ https://u:secret@x.example/a.whl"]\n'
    found = manifests.read(f'{text}[tool.pixi.dependencies]\nopenssl="3.*"\n'.encode(), "pyproject.toml")[0].wanted
    assert found == ("openssl 3.*", "requests==2.19.0 (of pip)", "a @ https://x.example/a.whl (of pip)")
    odd = b'[project]\ndependencies="requests"\n[tool.pixi.dependencies]\n'
    assert manifests.read(odd, "pyproject.toml")[0].wanted == ()


def test_requirements_are_pinned_wanted_or_left_out() -> None:
    text = (
        "a==1.0 ; python_version < '3.9'\nB.c ===2!1.0+x  # why\nd>=1\ne\n-r more.txt\n-e git+https://x.example/y#egg=y\n"
        "f @ https://w.example/f-3.1-py3-none-any.whl\n./local/g-1.2.tar.gz\n--index-url https://i.example/simple\n"
    )
    [snapshot] = requirements.read(text.encode(), "requirements.txt")
    pinned = [("a", "1.0"), ("B.c", "2!1.0+x"), ("f", "3.1"), ("g", "1.2")]
    assert [(c.name, c.version) for c in snapshot.components] == pinned
    assert (snapshot.wanted, len(snapshot.skipped)) == (("d>=1", "e"), 2)
    with pytest.raises(InvalidInputError, match=r"requirements.txt, line 2: '!!' is no requirement"):
        requirements.read(b"a==1\n!!\n", "requirements.txt")


def test_the_project_itself_is_left_out() -> None:
    text = samples.UV + '[[package]]\nname = "mine"\nversion = "0.1"\nsource = { editable = "." }\n'
    snapshot = only(text, "uv.lock")
    assert ([c.name for c in snapshot.components], [s.what for s in snapshot.skipped]) == (["requests"], ["mine"])


# -- installed environments --------------------------------------------------------------------------------------------

RECORD = b"""{"name": "Requests", "version": "2.31.0", "build": "py_0", "subdir": "noarch",
"channel": "https://conda.example/conda-forge/noarch", "url": "https://conda.example/conda-forge/noarch/requests-2.31.0-py_0.conda",
"depends": ["python"], "files": ["lib/python3.12/site-packages/requests-2.31.0.dist-info/METADATA"]}"""


def test_what_conda_and_pip_both_list_is_one_component() -> None:
    conda = read_records({"conda-meta/requests-2.31.0-py_0.json": RECORD})
    [component] = conda.components
    assert component[:6] == ("conda", "requests", "2.31.0", "py_0", "noarch", "https://conda.example/conda-forge")
    listed = [
        Distribution("requests-2.31.0.dist-info", b"Name: requests\nVersion: 2.31.0\n"),
        Distribution("flask-2.0.dist-info", b"Metadata-Version: 2.1\r\nName: Flask\r\nVersion: 2.0\r\n\r\nName: no\n"),
        Distribution(
            "mine.egg-info",
            b"Name: mine\nVersion: 1\n",
            b'{"url": "file:///home/ana/mine", "dir_info": {"editable": true}}',
        ),
        Distribution("odd.dist-info", b""),
    ]
    found, skipped = read_distributions(listed, conda)
    assert [(c.name, c.version, c.url) for c in found] == [("Flask", "2.0", ""), ("mine", "1", "file:///home/ana/mine")]
    assert [s.what for s in skipped] == ["odd.dist-info"]


@pytest.mark.parametrize("name", ["flask-2.0-py3.7.egg", "flask.egg-link"])
def test_an_egg_of_a_conda_package_is_condas(name: str) -> None:
    path = f"lib/python3.12/site-packages/{name}".encode()
    conda = read_records({"r.json": RECORD.replace(b'"files": [', b'"files": ["' + path + b'", ')})
    egg = Distribution(name, b"Name: flask\nVersion: 2.0\n")
    assert read_distributions([egg], conda) == ([], [])
    assert [c.name for c in read_distributions([egg._replace(folder="x" + name)], conda)[0]] == ["flask"]


def test_a_newer_one_of_pip_beside_condas_is_another_component() -> None:
    conda = read_records({"r.json": RECORD.replace(b'"files": [', b'"files": [], "x": [')})
    same = Distribution("requests-2.31.0.dist-info", b"Name: requests\nVersion: 2.31.0\n")
    newer = Distribution("requests-2.32.0.dist-info", b"Name: requests\nVersion: 2.32.0\n")
    assert [c.version for c in read_distributions([same, newer], conda)[0]] == ["2.32.0"]


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"[]", b'{"name": 1}', b'{"name": "a"}', b"\xff\xfe{", b'{"name": "", "version": "1"}']
)
def test_a_broken_record_among_good_ones_is_left_out(broken: bytes) -> None:
    found = read_records({"conda-meta/a.json": RECORD, "conda-meta/b.json": broken})
    assert (len(found.components), [s.what for s in found.skipped]) == (1, ["conda-meta/b.json"])


@pytest.mark.parametrize("name", ["/", "//", " ", "..", "\x85", "a/b", "#?@%"])
def test_every_name_has_a_package_url(name: str) -> None:
    for kind in ("conda", "pypi"):
        assert purl_of(Component(kind, name, "1.0", "0")).startswith(f"pkg:{kind}/")


# -- hostile input -----------------------------------------------------------------------------------------------------

HOSTILE = {
    "deep flow": b"package: " + b"[" * 5_000,
    "deep braces": b"environments: " + b"{a: " * 5_000,
    "deep indentation": b"".join(b" " * n + b"a:\n" for n in range(1, 2_000)),
    "deep dashes": b"package:\n" + b"- " * 5_000 + b"a\n",
    "deep json": b'{"bomFormat": "CycloneDX", "components": ' + b"[" * 100_000,
    "deep toml": b"[[package]]\nname = " + b"[" * 5_000,
    "laughs": b"a: &a [x, x]\n" + b"".join(b"k%d: &k%d [*%s, *%s]\n" % (n, n, p, p) for n, p in ((n, b"k%d" % (n - 1) if n else b"a") for n in range(60))),
    "itself": b"package: &p\n- *p\n",
    "entities": b'<!DOCTYPE x [<!ENTITY a "b">]><bom xmlns="http://cyclonedx.org/schema/bom/1.4">&a;</bom>',
    "no utf-8": b"@EXPLICIT\n\xff\xfe\xfd\n",
    "nul": b"\0" * 100,
    "tag": b"package: !!python/object/apply:os.system ['true']\n",
    "long line": b"a" * 1_000_000,
}  # fmt: skip


def attempt(data: bytes, kind: str) -> tuple[str, list[Snapshot]]:
    """Why a file is refused, or what is in it."""
    try:
        return "", read_file(data, "file", kind)[1]
    except InvalidInputError as error:
        return error.message, []


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_input_is_refused_or_read_as_nothing(kind: str, data: bytes) -> None:
    refusal, snapshots = attempt(data, kind)
    assert len(refusal) < 500
    assert sum(len(snapshot.components) for snapshot in snapshots) <= 1


@given(st.sampled_from(ALL), st.data())
def test_a_damaged_file_is_refused_with_its_name_or_read(sample: tuple[str, str, str], data: st.DataObject) -> None:
    kind, _, text = sample
    raw = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    _, snapshots = attempt(bytes(raw[:cut]), kind)
    assert all(c.name and c.version for snapshot in snapshots for c in snapshot.components)


@pytest.mark.parametrize(
    ("kind", "text", "place"),
    [
        ("conda-lock", "version: 1\npackage:\n- name: a\n- 5\n", r"line 4: package\[1\]"),
        ("conda-lock", "version: 1\npackage:\n- name: [a]\n", r"line 3: package\[0\]\.name"),
        ("pixi-lock", "version: 6\nenvironments:\n  default:\n    packages:\n      linux-64: 5\n", "line 3"),
        ("python-lock", "[[package]]\nname = 5\n", "name"),
        ("python-lock", "[[package]]\nname = \n", "line 2"),
        ("cyclonedx", '{"bomFormat": "CycloneDX",\n"components": [5]}', "components"),
        ("explicit", "@EXPLICIT\nhttps://conda.example/x/linux-64/nothing\n", "line 2"),
        ("environment", "dependencies:\n- a:\n  - b\n- [c]\n", "is no dependency"),
    ],
)
def test_a_refusal_says_where(kind: str, text: str, place: str) -> None:
    with pytest.raises(InvalidInputError, match=place):
        read_file(text.encode(), "file", kind)


def test_deep_but_real_nesting_is_read() -> None:
    nested = "".join(f"{'  ' * n}k{n}:\n" for n in range(1, 60))
    assert only(f"x:\n{nested}{'  ' * 60}v: 1\ndependencies:\n- a\n", "environment.yml", "environment").wanted == ("a",)
    assert DEPTH_MAX > 60


def test_references_are_followed_as_conda_follows_them() -> None:
    text = "x: &tools\n- a=1=0\ndependencies: *tools\n"
    assert [c.name for c in only(text, "environment.yml").components] == ["a"]


# -- real files --------------------------------------------------------------------------------------------------------


@pytest.mark.quality
def test_real_sboms_are_read(shared_data: Path) -> None:
    read = refused = 0
    for archive in ("cyclonedx", "spdx"):
        data = zstandard.ZstdDecompressor().stream_reader(
            (shared_data / "data" / "sbom" / f"{archive}.tar.zst").open("rb")
        )
        with tarfile.open(fileobj=data, mode="r|") as files:
            for member in files:
                if (
                    not member.isfile()
                    or not member.name.endswith((".json", ".xml", ".spdx"))
                    or "/content/" in member.name
                ):
                    continue
                content = files.extractfile(member)
                assert content is not None
                try:
                    read_file(content.read(), member.name, archive)
                    read += 1
                except InvalidInputError:
                    refused += 1
    assert (read >= 400, refused <= 12) == (True, True)


@pytest.mark.quality
def test_real_prefixes_are_read(shared_data: Path) -> None:
    records: dict[str, bytes] = {}
    data = zstandard.ZstdDecompressor().stream_reader(
        (shared_data / "data" / "conda" / "prefixes-real.tar.zst").open("rb")
    )
    with tarfile.open(fileobj=data, mode="r|") as files:
        for member in files:
            if member.isfile() and "/conda-meta/" in member.name and member.name.endswith(".json"):
                content = files.extractfile(member)
                assert content is not None
                records[member.name] = content.read()
    found = read_records(records)
    assert len(found.components) + len(found.skipped) == len(records) > 80
    assert found.skipped == ()
    assert all(isinstance(c, Component) and c.build and c.channel for c in found.components)
