"""Documents derived from publications: what older clients and builders read of what is served."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.core.errors import UpstreamError
from antivenom.core.publication.channeldata import TEXT_MAX_CHARACTERS
from antivenom.core.publication.client_documents import (
    CHANNELDATA,
    CURRENT,
    PATCH_INSTRUCTIONS,
    RUN_EXPORTS,
    ChannelKeys,
    SubdirKeys,
    derive_document,
    document_key,
)
from antivenom.core.publication.upstream_documents import read_channeldata, read_patch_instructions, read_run_exports
from tests.core.index_samples import FakePolicy, MemoryBlobs, channel, document, ingest, publish_all, record, stop

Records = Sequence[dict[str, Any]]


class Channel:
    """A published channel in memory with what its upstream has beside the records."""

    def __init__(self, policy: FakePolicy | None = None, **subdirs: Records) -> None:
        self.blobs = MemoryBlobs()
        sources = channel(self.blobs, **subdirs)
        self.published = publish_all(self.blobs, sources, policy or FakePolicy(), closure=False)
        self.channeldata = ""
        self.run_exports: dict[str, str] = {}
        self.patches: dict[str, str] = {}

    def put(self, document: Any) -> str:
        data = msgspec.json.encode(document)
        self.blobs.put(key := f"upstream/{len(self.blobs.data)}", data)
        return key

    def keys(self, *subdirs: str) -> ChannelKeys:
        names = subdirs or tuple(self.published.subdirs)
        return ChannelKeys(
            tuple(
                SubdirKeys(
                    self.published.subdirs[name].publication,
                    self.run_exports.get(name, ""),
                    self.patches.get(name, ""),
                )
                for name in names
            ),
            self.channeldata,
        )

    def derive(self, fn: str, subdir: str = "noarch") -> Any:
        keys = self.keys() if fn == CHANNELDATA else self.keys(subdir)
        data = derive_document(self.blobs, fn, keys)
        return json.loads(zstandard.decompress(data) if fn.endswith(".zst") else data)

    def package(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.derive(CHANNELDATA)["packages"][name]
        return found


def current(*records: dict[str, Any], policy: FakePolicy | None = None) -> set[str]:
    found = Channel(policy, noarch=records).derive(CURRENT)
    return {*found["packages"], *found["packages.conda"]}


# -- current_repodata.json; tests/e2e/test_conda_index.py compares it with conda-index ---------------------------------


def test_current_has_every_build_of_the_newest_version() -> None:
    builds = [record("a", "2.0", f"h_{number}", build_number=number) for number in (0, 1)]
    assert current(record("a", "1.0"), *builds) == {"a-2.0-h_0.conda", "a-2.0-h_1.conda"}


def test_current_has_one_build_without_features_where_the_newest_may_have_some() -> None:
    """conda/conda-build#3502."""
    old = [record("a", "1.0", f"h_{number}", build_number=number) for number in (0, 1)]
    assert current(*old, record("a", "2.0", track_features="x")) == {"a-1.0-h_1.conda", "a-2.0-0.conda"}
    plain = record("a", "2.0", "h_1", build_number=1)
    assert current(*old, plain, record("a", "2.0", track_features=["x"])) == {"a-2.0-0.conda", "a-2.0-h_1.conda"}
    assert current(*old, record("a", "2.0", track_features="")) == {"a-2.0-0.conda"}


def test_current_has_the_older_version_that_a_newest_build_needs_and_nothing_for_its_sake() -> None:
    records = [
        record("a", depends=["b <2"]),
        *(record("b", version, build, depends=["c 1.0"]) for version in ("1.0", "1.5", "2.0") for build in ("x", "y")),
        record("c", "1.0"),
        record("c", "2.0"),
    ]
    kept = {"a-1.0-0.conda", "b-1.5-x.conda", "b-1.5-y.conda", "b-2.0-x.conda", "b-2.0-y.conda"}
    assert current(*records) == kept | {"c-1.0-0.conda", "c-2.0-0.conda"}
    assert current(*[r | {"depends": []} if r["version"] == "2.0" else r for r in records]) == kept | {"c-2.0-0.conda"}


def test_current_is_of_what_is_served() -> None:
    records = [record("a", "1.0"), record("a", "2.0")]
    assert current(*records, policy=stop("a-2.0-0.conda")) == {"a-1.0-0.conda"}


def test_current_names_the_older_format_of_a_build_where_it_is_served() -> None:
    blobs = MemoryBlobs()
    text = document(record("a"), record("b", legacy_bz2_md5="0" * 32), legacy=[record("a"), record("b")])
    published = publish_all(blobs, {"noarch": ingest(blobs, text)}, FakePolicy())
    keys = ChannelKeys((SubdirKeys(published.subdirs["noarch"].publication),))
    found = json.loads(zstandard.decompress(derive_document(blobs, CURRENT, keys)))
    assert found["packages"] == {}
    md5s = {fn: entry["legacy_bz2_md5"] for fn, entry in found["packages.conda"].items()}
    assert md5s == {"a-1.0-0.conda": record("a")["md5"], "b-1.0-0.conda": "0" * 32}


# -- run_exports.json --------------------------------------------------------------------------------------------------


def test_run_exports_are_the_records_own_and_then_the_upstreams_for_what_is_served() -> None:
    """conda/rattler#2014, conda/conda-build#3583, prefix-dev/rattler-build#350: they are lost."""
    own = record("own", run_exports={"weak": ["own >=1"]})
    made = Channel(stop("gone"), noarch=[own, record("other"), record("none"), record("unknown"), record("gone")])
    entries = {
        f"{name}-1.0-0.conda": {"run_exports": exports}
        for name, exports in {
            "own": {"strong": ["nothing of it"]},
            "other": {"strong": ["other >=2"], "tomorrow": 1},
            "none": {},
            "gone": {"weak": ["gone"]},
            "never": {"weak": ["never"]},
        }.items()
    }
    made.run_exports["noarch"] = made.put({"info": {}, "packages": {}, "packages.conda": entries})
    found = made.derive(RUN_EXPORTS)
    assert found["info"] == {"subdir": "noarch", "version": 1}
    assert found["packages.conda"] == {
        "own-1.0-0.conda": {"run_exports": {"weak": ["own >=1"]}},
        "other-1.0-0.conda": {"run_exports": {"strong": ["other >=2"], "tomorrow": 1}},
        "none-1.0-0.conda": {"run_exports": {}},
    }


@pytest.mark.parametrize(
    ("exports", "read"),
    [
        (["a >=1"], {"weak": ["a >=1"]}),
        ("a >=1", {"weak": ["a >=1"]}),
        ({"strong": "a >=1", "weak": None}, {"strong": ["a >=1"]}),
        (None, {}),
        ([], {}),
        (3, None),
        ({"weak": [1]}, None),
        ({"weak": {"a": 1}}, None),
    ],
)
def test_run_exports_are_served_as_clients_type_them_or_not_at_all(exports: Any, read: Any) -> None:
    """One entry of another type makes rattler refuse the whole document."""
    made = Channel(noarch=[record("a")])
    made.run_exports["noarch"] = made.put({"packages.conda": {"a-1.0-0.conda": {"run_exports": exports}}})
    found = made.derive(RUN_EXPORTS)["packages.conda"]
    assert found == ({} if read is None else {"a-1.0-0.conda": {"run_exports": read}})


# -- channeldata.json --------------------------------------------------------------------------------------------------

UPSTREAM = {
    "summary": "An A",
    "description": "Long",
    "home": "https://a.example/",
    "dev_url": ["https://dev.example/a-2.0", "https://dev.example/"],
    "source_url": "https://a.example/a-2.0.tar.gz",
    "doc_url": "https://docs.example/2.0/",
    "tags": ["x"],
    "post_link": True,
    "activate.d": True,
    "license": "Upstream",
    "subdirs": ["linux-64", "noarch", "win-64"],
    "run_exports": {"1.0": {"weak": ["a >=1"]}, "2.0": {"weak": ["a >=2"]}},
    "timestamp": 1_700_000_000,
    "version": "2.0",
}


def test_channeldata_describes_what_is_served_and_names_nothing_that_is_withheld() -> None:
    records = [
        record("a", "1.0", license="MIT", timestamp=1_600_000_000_000),
        record("a", "2.0", timestamp=1_650_000_000_000),
    ]
    made = Channel(stop("a-2.0-0.conda", "b"), noarch=[*records, record("b")], linux_64=[record("a", "0.9")])
    made.channeldata = made.put({"packages": {"a": UPSTREAM, "b": UPSTREAM, "c": UPSTREAM}, "subdirs": ["win-64"]})
    assert made.derive(CHANNELDATA) == {
        "channeldata_version": 1,
        "subdirs": ["linux-64", "noarch"],
        "packages": {
            "a": {
                "summary": "An A",
                "description": "Long",
                "home": "https://a.example/",
                "dev_url": ["https://dev.example/"],
                "tags": ["x"],
                "post_link": True,
                "activate.d": True,
                **dict.fromkeys(("pre_link", "pre_unlink", "deactivate.d", "binary_prefix", "text_prefix"), False),
                "license": "MIT",
                "subdirs": ["linux-64", "noarch"],
                "run_exports": {"1.0": {"weak": ["a >=1"]}},
                "timestamp": 1_600_000_000,
                "version": "1.0",
            }
        },
    }
    assert "2.0" not in json.dumps(made.derive(CHANNELDATA))


def test_channeldata_of_the_newest_version_has_all_that_the_upstream_says() -> None:
    made = Channel(noarch=[record("a", "1.0"), record("a", "2.0")])
    made.channeldata = made.put({"packages": {"a": UPSTREAM}})
    found = made.package("a")
    same = ("summary", "dev_url", "source_url", "doc_url", "run_exports", "version")
    assert {field: found[field] for field in same} == {field: UPSTREAM[field] for field in same}


def test_channeldata_takes_run_exports_from_the_newest_served_build_of_each_version() -> None:
    builds = [record("a", "2.0", f"h_{n}", timestamp=(1_600_000_000 + n) * 1000) for n in range(3)]
    made = Channel(stop("a-2.0-h_2.conda"), noarch=[record("a", "1.0"), *builds])
    made.channeldata = made.put({"packages": {"a": UPSTREAM}})
    entries = {f"a-2.0-h_{n}.conda": {"run_exports": {"weak": [f"a h_{n}"]}} for n in range(3)}
    made.run_exports["noarch"] = made.put({"packages.conda": entries})
    assert made.package("a")["run_exports"] == {"1.0": {"weak": ["a >=1"]}, "2.0": {"weak": ["a h_1"]}}
    made.run_exports["noarch"] = made.put({"packages.conda": {fn: {"run_exports": {}} for fn in entries}})
    assert made.package("a")["run_exports"] == {"1.0": {"weak": ["a >=1"]}}


@pytest.mark.parametrize(
    "odd",
    [
        3,
        {"summary": ["x"], "post_link": "yes", "run_exports": [], "version": 2, "home": {"a": 1}, "license": 5},
        {"run_exports": {"1.0": 3, "x": {"weak": "a"}}, "tags": "x", "dev_url": [1, None]},
        {"description": "x" * (TEXT_MAX_CHARACTERS + 1), "home": ["x" * (TEXT_MAX_CHARACTERS + 1)], "tags": [{}, 3]},
    ],
)
def test_channeldata_has_no_field_of_another_type(odd: Any) -> None:
    """One field of another type makes rattler refuse the whole document."""
    made = Channel(noarch=[record("a"), record("b")])
    made.channeldata = made.put({"packages": {"a": odd, "b": UPSTREAM}})
    found = made.package("a")
    flags = {"post_link", "pre_link", "pre_unlink", "activate.d", "deactivate.d", "binary_prefix", "text_prefix"}
    assert found.keys() == flags | {"run_exports", "subdirs", "timestamp", "version"}
    assert all(isinstance(found[flag], bool) for flag in flags)
    assert (found["run_exports"], found["version"]) == ({}, "1.0")
    assert made.package("b")["summary"] == "An A"


# -- patch_instructions.json -------------------------------------------------------------------------------------------


def test_patch_instructions_are_those_for_what_is_served() -> None:
    blobs = MemoryBlobs()
    text = document(record("a"), record("b"), legacy=[record("old")], removed=["x-1.0-0.conda"])
    published = publish_all(blobs, {"noarch": ingest(blobs, text)}, stop("b"))
    change = {"depends": ["z"]}
    blobs.put(
        "upstream/p",
        msgspec.json.encode(
            {
                "patch_instructions_version": 1,
                "packages": {f"{name}-1.0-0.tar.bz2": change for name in ("a", "b", "old", "never")} | {"odd": 3},
                "packages.conda": {f"{name}-1.0-0.conda": change for name in ("a", "b")},
                "remove": ["x-1.0-0.tar.bz2", "b-0.9-0.tar.bz2"],
                "revoke": ["a-1.0-0.tar.bz2", "b-1.0-0.tar.bz2"],
                "later": 1,
            }
        ),
    )
    keys = ChannelKeys((SubdirKeys(published.subdirs["noarch"].publication, "", "upstream/p"),))
    assert json.loads(derive_document(blobs, PATCH_INSTRUCTIONS, keys)) == {
        "patch_instructions_version": 1,
        "packages": {"a-1.0-0.tar.bz2": change, "old-1.0-0.tar.bz2": change},
        "packages.conda": {"a-1.0-0.conda": change},
        "remove": ["x-1.0-0.tar.bz2"],
        "revoke": ["a-1.0-0.tar.bz2"],
    }


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_run_exports, read_channeldata, read_patch_instructions])
@pytest.mark.parametrize("data", [b"<html>", b"[]", b'{"packages": 3}', b"\x28\xb5\x2f\xfd junk", b'{"packages": {'])
def test_a_document_of_another_shape_is_refused_and_not_taken_for_an_empty_one(read: Any, data: bytes) -> None:
    with pytest.raises(UpstreamError):
        read(data)


def test_compressed_documents_are_read() -> None:
    text = zstandard.compress(b'{"packages.conda": {"a-1.0-0.conda": {"run_exports": {}}}}')
    assert read_run_exports(text).find("a-1.0-0.conda") is not None


def test_a_document_is_named_by_what_it_is_made_of_and_by_nothing_else() -> None:
    def names(*changes: Mapping[str, str]) -> dict[str, set[str]]:
        plain = {"index": "i", "run_exports": "r", "patch_instructions": "p", "channeldata": "c"}
        found: dict[str, set[str]] = {}
        for change in changes:
            made_of = plain | change
            data = made_of.pop("channeldata")
            for fn in (CURRENT, RUN_EXPORTS, PATCH_INSTRUCTIONS, CHANNELDATA):
                found.setdefault(fn, set()).add(document_key(fn, ChannelKeys((SubdirKeys(**made_of),), data)))
        return found

    assert {fn: len(keys) for fn, keys in names({}, {"index": "j"}).items()} == dict.fromkeys(names({}), 2)
    changes = {"run_exports": {RUN_EXPORTS, CHANNELDATA}, "channeldata": {CHANNELDATA}}
    for field, changed in (changes | {"patch_instructions": {PATCH_INSTRUCTIONS}}).items():
        assert {fn for fn, keys in names({}, {field: "x"}).items() if len(keys) == 2} == changed
    two = SubdirKeys("a"), SubdirKeys("b")
    assert document_key(CHANNELDATA, ChannelKeys(two)) == document_key(CHANNELDATA, ChannelKeys(two[::-1]))


@pytest.mark.parametrize("compress", [bytes, zstandard.compress], ids=["plain", "compressed"])
@pytest.mark.parametrize(
    ("subdirs", "listed"),
    [('["noarch","linux-64"]', ["noarch", "linux-64"]), ('{"noarch":1}', []), ("[1]", []), ("null", []), ("[]", [])],
)
def test_subdirs_that_an_upstream_lists_are_read_as_everything_else_of_it(
    subdirs: str, listed: list[str], compress: Callable[[bytes], bytes]
) -> None:
    """Odd ones are none, and do not take the packages with them."""
    found = read_channeldata(compress(b'{"subdirs":%b,"packages":{"a":{"summary":"x"}}}' % subdirs.encode()))
    assert found.list_subdirs() == listed
    assert found.find("a") == {"summary": "x"}
    assert read_channeldata(b"{}").list_subdirs() == []
