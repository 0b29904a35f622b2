"""Building a publication from what an earlier release of Antivenom left behind."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import zstandard

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.errors import InvalidInputError
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.source.ingest import ingest_monolith
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.publications.build_publication import BuildRequest, build_publication
from tests.core.index_samples import NOW_MS, document, record


@pytest.mark.parametrize("left", [b"not a map", b"other format"])
def test_a_previous_publication_that_cannot_be_read_is_as_none(tmp_path: Path, left: bytes) -> None:
    blobs = StoreBlobs(BlobStore.open(str(tmp_path)))
    source = ingest_monolith(blobs, document(record("a"), record("b")), subdir="noarch", now_ms=NOW_MS).source
    request = BuildRequest(
        sources={"noarch": source},
        channel=ChannelFacts("main", is_mirror=True),
        policy_text=None,
        knowledge_key=None,
        now_ms=NOW_MS,
    )
    anew = build_publication(str(tmp_path), request)
    key = anew.published.subdirs["noarch"].publication
    if left == b"other format":
        found = msgspec.structs.replace(PublicationIndex.open(blobs, key).map, format=999)
        left = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(found))
    blobs.put("index/earlier", left)
    with pytest.raises(InvalidInputError, match="index/earlier"):
        PublicationIndex.open(blobs, "index/earlier")
    previous = {"noarch": "index/earlier"}
    again = build_publication(
        str(tmp_path), msgspec.structs.replace(request, previous=previous, previous_findings=anew.findings_key)
    )
    assert again.published.subdirs == anew.published.subdirs
