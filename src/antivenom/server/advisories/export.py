"""The stored entries of all feeds as files: written by the server, read by the child process that compiles.

PostgreSQL's COPY goes into the files as it comes: no row becomes an object of the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.feeds.entry import KnowledgeEntry
from antivenom.core.matching.advisories import Advisory
from antivenom.core.matching.advisory_prose import join_prose
from antivenom.core.matching.knowledge import Knowledge, assemble
from antivenom.core.matching.platforms import MENTIONS, TEXT_MAX_CHARACTERS
from antivenom.knowledge import entries
from antivenom.server.advisories.copying import copy_out

COPY_HEADER_BYTES = 19
COPY_END = (b"\xff\xff", b"")
ESCAPE = re.compile(r"\\(.)")
ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}

# With the descriptions of advisories on some packages (what stands behind @ is a CPE name's target software), and of
# those that mention a platform at their beginning.
ADVISORIES = """COPY (SELECT body, CASE WHEN EXISTS (SELECT FROM unnest(package_keys) AS k
    WHERE split_part(k, '@', 1) = ANY (ARRAY[{keys}]::text[])) OR {mentions} THEN prose ELSE ''::bytea END
    FROM advisory, LATERAL (SELECT substring(prose FROM 1 FOR {characters}) AS beginning) AS b)
    TO STDOUT (FORMAT binary)"""
# Only the CVE ids that an advisory names: EPSS scores three hundred thousand.
EXPLOITATION = """COPY (SELECT cve, epss, kev_added IS NOT NULL, kev_ransomware FROM exploitation
    WHERE cve IN (SELECT id FROM advisory UNION SELECT unnest(aliases) FROM advisory)) TO STDOUT"""
NAMES = """COPY (SELECT conda_name, channel, ecosystem, array_to_string(names, E'\\n') FROM name_mapping
    ORDER BY feed_id, channel, conda_name) TO STDOUT"""
PRODUCTS = """COPY (SELECT ecosystem, name, array_to_string(products, E'\\n') FROM product_mapping
    ORDER BY feed_id, ecosystem, name) TO STDOUT"""

KNOWLEDGE = "COPY (SELECT body FROM knowledge_row ORDER BY feed_id) TO STDOUT"


async def export_knowledge(session: AsyncSession, folder: Path) -> None:
    """Write the rows of knowledge of the feeds that somebody added."""
    await copy_out(session, KNOWLEDGE, folder / "knowledge")


async def export_facts(session: AsyncSession, folder: Path) -> None:
    """Write what the functions below read, but for the advisories."""
    statements = {"exploitation": EXPLOITATION, "names": NAMES, "products": PRODUCTS}
    for name, statement in statements.items():
        await copy_out(session, statement, folder / name)
    await export_knowledge(session, folder)


async def export_advisories(session: AsyncSession, folder: Path, told: Iterable[str] = ()) -> None:
    """Write what `read_advisories` reads.

    Args:
        told: Packages ("ecosystem/name") whose advisories come with their descriptions.
    """
    keys = ", ".join("'" + key.replace("'", "''") + "'" for key in sorted(told))
    mentions = " OR ".join(rf"position('\x{word.encode().hex()}'::bytea IN beginning) > 0" for word in MENTIONS)
    statement = ADVISORIES.format(keys=keys, mentions=mentions, characters=TEXT_MAX_CHARACTERS)
    await copy_out(session, statement, folder / "advisories")


def read_advisories(path: Path) -> Iterator[Advisory]:
    """The advisories of a file that `COPY (SELECT body[, prose] …) … (FORMAT binary)` wrote.

    Without a second field, or with an empty one, they lack what only people read.

    Source: PostgreSQL manual, COPY, "Binary Format": a header of 19 bytes; per row a count of fields (2 bytes,
    big-endian; -1 ends the file) and per field its length (4 bytes) and its bytes.
    """
    decode = msgspec.msgpack.Decoder(Advisory).decode
    with path.open("rb") as file:
        read = file.read
        read(COPY_HEADER_BYTES)
        while (count := read(2)) not in COPY_END:
            body, *more = [read(int.from_bytes(read(4), "big")) for _ in range(count[1])]
            yield join_prose(body, more[0]) if more and more[0] else decode(body)


def read_exploitation(folder: Path) -> Iterator[tuple[str, float | None, bool, bool]]:
    """(CVE id, EPSS 0-1 or None, in KEV, used by ransomware) of the CVE ids that any advisory names."""
    for cve, epss, kev, ransomware in _rows(folder / "exploitation"):
        yield cve, None if epss == "\\N" else float(epss), kev == "t", ransomware == "t"


def read_names(folder: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    """(conda name, channel or "", ecosystem, names there), feed by feed; no names means: known to be none."""
    for conda_name, channel, ecosystem, names in _rows(folder / "names"):
        yield conda_name, channel, ecosystem, names.split("\n") if names else []


def read_products(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(purl type, namespace and name, CPE products as "vendor:product"), feed by feed."""
    for ecosystem, name, products in _rows(folder / "products"):
        yield ecosystem, name, products.split("\n") if products else []


def read_knowledge(folder: Path) -> Iterator[KnowledgeEntry]:
    """The rows of every feed of knowledge that somebody added, in the order in which the feeds were."""
    decode = msgspec.msgpack.Decoder(KnowledgeEntry).decode
    for (body,) in _rows(folder / "knowledge"):
        yield decode(bytes.fromhex(body.removeprefix("\\x")))


def assemble_knowledge(folder: Path) -> Knowledge:
    """The built-in knowledge under that of the feeds that somebody added: of rows with one id the last counts."""
    layers = (entries(), read_knowledge(folder))
    return assemble([(entry.id, entry.fact) for entry in layer] for layer in layers)


def _rows(path: Path) -> Iterator[list[str]]:
    """The rows of a file in COPY's text format.

    Source: PostgreSQL manual, COPY, "Text Format".
    """
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            fields = line[:-1].split("\t")
            yield [_unescape(f) if "\\" in f and f != "\\N" else f for f in fields] if "\\" in line else fields


def _unescape(field: str) -> str:
    return ESCAPE.sub(lambda found: ESCAPED.get(found[1], found[1]), field)
