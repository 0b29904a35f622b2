"""Feeds, their advisories, the entries set aside, exploitation facts and name maps.

Tables that a feed fills by the hundred thousand have no foreign key to it: checking one costs more than writing the row
(EPSS: 15 s of 22). Who writes or removes a feed's rows holds its row locked (syncing.py, service.remove_feed).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.advisories.feed_state import FeedCounts, FeedCursor
from antivenom.server.db.base import At, Base, BigId, OptionalAt, StoredAs, Texts
from antivenom.server.events.progress import JobProgress

BUILT_IN_ID = 0  # the feed of knowledge that comes with the release; others are numbered from 1
CORRECTIONS_ID = 2**63 - 1  # of no feed: the rows of knowledge that administrators applied, which go before all feeds


class Feed(Base):
    __tablename__ = "feed"

    id: Mapped[BigId]
    kind: Mapped[str]
    location: Mapped[str]  # without secrets (adapters/stored_urls.py)
    location_auth: Mapped[str] = mapped_column(server_default="")
    every_s: Mapped[int | None]
    created_at: Mapped[At]
    created_by: Mapped[str] = mapped_column(server_default="")
    asked_at: Mapped[OptionalAt]  # when somebody last added it or asked for its sync, and expects answers from it
    is_demo: Mapped[bool] = mapped_column(server_default="false")
    state: Mapped[str] = mapped_column(server_default="new")  # new | queued | syncing | ok | failed
    cursor: Mapped[FeedCursor] = mapped_column(StoredAs(FeedCursor), server_default="{}")
    progress: Mapped[JobProgress] = mapped_column(StoredAs(JobProgress), server_default="{}")
    counts: Mapped[FeedCounts] = mapped_column(StoredAs(FeedCounts), server_default="{}")
    last_error: Mapped[str] = mapped_column(server_default="")
    failures: Mapped[int] = mapped_column(server_default="0")
    last_sync_at: Mapped[OptionalAt]
    last_success_at: Mapped[OptionalAt]
    next_sync_at: Mapped[OptionalAt]
    # When a sync last brought something new, and the longest time between two that did.
    changed_at: Mapped[OptionalAt]
    longest_gap_s: Mapped[int] = mapped_column(server_default="0")
    # While queued or syncing: whoever works on it renews this; past it, nobody does, and the sync starts again.
    lease_until: Mapped[OptionalAt]

    @property
    def is_built_in(self) -> bool:
        """Whether it comes with the release: its entries are files of ours, and nothing is fetched."""
        return self.id == BUILT_IN_ID


class SetAsideEntry(Base):
    """An entry that could not be read; shown, never fatal."""

    __tablename__ = "set_aside_entry"

    feed_id: Mapped[int] = mapped_column(ForeignKey("feed.id", ondelete="CASCADE"), primary_key=True)
    entry: Mapped[str] = mapped_column(primary_key=True)  # id and place, or "line 12"
    reason: Mapped[str]
    at: Mapped[At]


class AdvisoryRow(Base):
    """One advisory of one feed. `body` and `prose` are one core `Advisory` (advisories/copy_rows.py)."""

    __tablename__ = "advisory"
    __table_args__ = (Index("ix_advisory_id", "id"),)

    feed_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    aliases: Mapped[Texts]
    package_keys: Mapped[Texts]  # "pypi/django", "cpe/openssl:openssl"
    summary: Mapped[str]
    severity: Mapped[int]
    cvss: Mapped[float | None]
    published_at: Mapped[OptionalAt]
    modified_at: Mapped[OptionalAt]
    withdrawn_at: Mapped[OptionalAt]
    disputed: Mapped[bool]
    flags: Mapped[Texts]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    body: Mapped[bytes] = mapped_column(LargeBinary)  # what matching is compiled from
    prose: Mapped[bytes] = mapped_column(LargeBinary)  # what only people read: half of the bytes


class Vulnerability(Base):
    """One vulnerability under all its ids, merged from every feed (core/matching/merging.py): derived, for search.

    Its indexes are the orders of queries.SORTS, highest first and unknown last, so that a page is read from its index.
    """

    __tablename__ = "vulnerability"
    __table_args__ = (
        Index(
            "ix_vulnerability_rank",
            text("(kev OR severity = 5) DESC"),
            text("risk DESC"),
            text("severity DESC"),
            text("published_at DESC NULLS LAST"),
            text("id DESC"),
        ),
        Index("ix_vulnerability_severity", text("severity DESC"), text("cvss DESC NULLS LAST"), text("id DESC")),
        Index("ix_vulnerability_epss", text("epss DESC NULLS LAST"), text("id DESC")),
        Index("ix_vulnerability_published", text("published_at DESC NULLS LAST"), text("id DESC")),
        Index("ix_vulnerability_modified", text("modified_at DESC NULLS LAST"), text("id DESC")),
        Index("ix_vulnerability_kev", "id", postgresql_where="kev"),
        Index("ix_vulnerability_stale", "id", postgresql_where="impact IS NULL"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)  # its CVE id, else the smallest id
    ids: Mapped[Texts]
    sources: Mapped[Texts]  # feed kinds
    packages: Mapped[Texts]  # package keys, at most PACKAGES_SHOWN
    summary: Mapped[str]
    severity: Mapped[int]
    cvss: Mapped[float | None]
    impact: Mapped[float | None]  # 0-10, what risk is computed from; NULL: formed by other rules, not yet again
    epss: Mapped[float | None]
    kev: Mapped[bool]
    kev_ransomware: Mapped[bool]
    risk: Mapped[float]
    published_at: Mapped[OptionalAt]
    modified_at: Mapped[OptionalAt]
    is_withdrawn: Mapped[bool]
    is_disputed: Mapped[bool]
    search: Mapped[str]  # lower case: ids, packages, summary


class VulnerabilityId(Base):
    """Every id under which a vulnerability is known; that of an advisory of several has a row for each."""

    __tablename__ = "vulnerability_id"

    id: Mapped[str] = mapped_column(primary_key=True)
    vulnerability: Mapped[str] = mapped_column(primary_key=True, index=True)
    cluster: Mapped[str] = mapped_column(index=True)  # what aliases connect: to be grouped again together


class Exploitation(Base):
    """KEV and EPSS by CVE id. `*_feed_id` is the feed that last had them: what it drops is dropped here."""

    __tablename__ = "exploitation"

    cve: Mapped[str] = mapped_column(primary_key=True)
    epss: Mapped[float | None]
    epss_percentile: Mapped[float | None]
    epss_date: Mapped[str | None]
    epss_feed_id: Mapped[int | None] = mapped_column(BigInteger)
    kev_added: Mapped[str | None]
    kev_due: Mapped[str | None]
    kev_ransomware: Mapped[bool] = mapped_column(server_default="false")
    kev_name: Mapped[str | None]
    kev_feed_id: Mapped[int | None] = mapped_column(BigInteger)


class NameMapping(Base):
    """A conda name's names in another ecosystem."""

    __tablename__ = "name_mapping"

    feed_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)  # "conda-forge", or "" for any
    conda_name: Mapped[str] = mapped_column(primary_key=True)
    ecosystem: Mapped[str] = mapped_column(primary_key=True)  # "pypi"
    names: Mapped[list[str]] = mapped_column(ARRAY(Text))  # empty: known to be none


class ProductMapping(Base):
    """A package URL's CPE products ("vendor:product")."""

    __tablename__ = "product_mapping"

    feed_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    ecosystem: Mapped[str] = mapped_column(primary_key=True)  # the purl's type, lower case
    name: Mapped[str] = mapped_column(primary_key=True)  # the purl's namespace and name
    products: Mapped[list[str]] = mapped_column(ARRAY(Text))


class KnowledgeRow(Base):
    """A row of knowledge of an administrator's feed, or an applied correction (CORRECTIONS_ID).

    The built-in rows are files (src/antivenom/knowledge).
    """

    __tablename__ = "knowledge_row"

    feed_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)  # "table/key"
    body: Mapped[bytes] = mapped_column(LargeBinary)  # msgpack of a core.feeds.entry.KnowledgeEntry


class KnowledgeRevision(Base):
    """One row a change of what we know (advisories, maps, KEV, EPSS); findings name the revision they came from."""

    __tablename__ = "knowledge_revision"

    id: Mapped[BigId]
    at: Mapped[At]
    cause: Mapped[str]
    package_keys: Mapped[Texts]  # what changed; empty with `everything`
    everything: Mapped[bool] = mapped_column(server_default="false")
    index_key: Mapped[str | None]  # blob with the compiled match index of this revision
