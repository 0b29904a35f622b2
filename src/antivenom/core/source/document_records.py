"""The records of a whole index document by name, read when asked: what a selection's dependencies are looked up in."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from antivenom.core.conda.records import RecordFacts
from antivenom.core.source.dependency_closure import close_specs
from antivenom.core.source.index_document import UpstreamLimits, read_raw_records


class _Candidate(msgspec.Struct):
    """The fields that match specs compare; a record without them is set aside when it is read."""

    name: str
    version: str
    build: str
    build_number: int = 0
    depends: list[str] = []
    license: str | None = None
    license_family: str | None = None


_decode = msgspec.json.Decoder(_Candidate).decode


def close_over_documents(specs: list[str], documents: Mapping[str, bytes]) -> list[str]:
    """The specs, and the dependencies that have to be selected too.

    Args:
        documents: `repodata.json` of each subdir, plain or compressed.

    Raises:
        UpstreamError: One is not an index document.
        InvalidInputError: One of the specs is not a match spec.
    """
    raws = {subdir: read_raw_records(document, UpstreamLimits()) for subdir, document in documents.items()}

    def candidates(name: str) -> list[RecordFacts]:
        return [
            record
            for subdir, by_name in raws.items()
            for fn, raw in by_name.get(name, ())
            if (record := _read(fn, subdir, raw)) is not None
        ]

    return close_specs(specs, {name for by_name in raws.values() for name in by_name}, candidates)


def _read(fn: str, subdir: str, raw: Raw) -> RecordFacts | None:
    try:
        found = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return RecordFacts(
        fn,
        subdir,
        found.name.lower(),
        found.version,
        found.build,
        found.build_number,
        found.license or "",
        found.license_family or "",
        depends=tuple(found.depends),
    )
