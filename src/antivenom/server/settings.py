"""Every setting: its variable, type, default and meaning. docs/reference/settings.md is checked against this file.

A setting `x` is read from `ANTIVENOM_X`; one that holds a secret also from the file that `ANTIVENOM_X_FILE` names.
All problems are reported together, so that one start shows everything that is wrong.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from antivenom.core.errors import InvalidInputError

PREFIX = "ANTIVENOM_"
T = TypeVar("T")

CLIENT_VARIABLES = {
    "ANTIVENOM_URL": "The server that the command line talks to. Default: the one that runs from this machine's home.",
    "ANTIVENOM_TOKEN": "The token that the command line sends.",
    "ANTIVENOM_ADVISORIES": "The advisory file that a scan asks where no server is named. Default: "
    "`~/.local/share/antivenom/advisories.db`, or the same below XDG_DATA_HOME.",
}
"""Read by the command line alone; listed here so that one page knows every variable."""


@dataclass(frozen=True, slots=True)
class SettingFacts:
    """One row of the reference: what `docs/reference/settings.md` says about a variable."""

    name: str
    kind: str
    default: str
    meaning: str
    is_secret: bool


# -- how a value is read from its text: each raises ValueError with the rest of the sentence "ANTIVENOM_X …" ----------


def _text(text: str) -> str:
    return text


def _path(text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"names a user's home that is not known: {text!r}") from None
    if not path.is_absolute():
        path = Path.cwd() / path
    return path


def _optional_path(text: str) -> Path | None:
    return _path(text) if text else None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return read


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError(f"must be yes or no, not {text!r}")
    return text.lower() == "yes"


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {text!r}")
        return text.lower()

    return read


def _database_url(text: str) -> str:
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # reading it is what checks it
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if parts.scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError("must begin with postgresql:// (PostgreSQL is the only database)")
    return text


def _blob_url(text: str) -> str:
    if text.startswith("s3://"):
        bucket = text.removeprefix("s3://").partition("/")[0]
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,62}", bucket):
            raise ValueError(f"names no bucket: s3://BUCKET[/PREFIX], not {text!r}")
        return text.rstrip("/")
    if "://" in text and not text.startswith("file://"):
        raise ValueError(f"must be a folder or s3://BUCKET[/PREFIX], not {text!r}")
    return str(_path(text.removeprefix("file://"))) if text else ""


def _http_url(text: str) -> str:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
        raise ValueError(f"must be an http:// or https:// address, not {text!r}")
    return text.rstrip("/")


def _networks(text: str) -> tuple[str, ...]:
    entries = tuple(entry.strip() for entry in text.split(",") if entry.strip())
    for entry in entries:
        try:
            ipaddress.ip_network(entry, strict=False)
        except ValueError:
            raise ValueError(f"{entry!r} is neither an address nor a CIDR") from None
    return entries


def _outbound_allow(text: str) -> tuple[str, ...]:
    entries = tuple(entry.strip().lower() for entry in text.split(",") if entry.strip())
    for entry in entries:
        _check_outbound_entry(entry)
    return entries


def _check_outbound_entry(entry: str) -> None:
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        if "/" in entry or not re.fullmatch(r"(\*\.)?[a-z0-9._-]+(:\d{1,5})?|\[[0-9a-f:.]+\](:\d{1,5})?", entry):
            raise ValueError(
                f"has {entry!r}, which is no host, host:port, address or CIDR (such as mirror.corp, 10.0.0.0/8)"
            ) from None


def _setting(read: Callable[[str], T], kind: str, default: str, meaning: str, *, secret: bool = False) -> T:
    metadata = {"read": read, "kind": kind, "default": default, "meaning": meaning, "secret": secret}
    field: Any = dataclasses.field(metadata=metadata)
    return field  # type: ignore[no-any-return]


GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process, checked. Make them with `load_settings`."""

    home: Path = _setting(  # noqa: RUF009  # it is dataclasses.field with our metadata
        _path,
        "folder",
        "~/.local/share/antivenom",
        "Where the embedded server keeps its database, blobs, logs and first password.",
    )
    host: str = _setting(_text, "address", "127.0.0.1", "The address that the server listens on; 0.0.0.0 means all.")
    port: int = _setting(_whole(0, 65535), "port", "8080", "The port that the server listens on; 0 means any free one.")
    public_url: str = _setting(
        _http_url,
        "URL",
        "",
        "How clients reach the server through a proxy. Default: the address that it listens on.",
    )
    database_url: str = _setting(
        _database_url,
        "URL",
        "",
        "PostgreSQL for `serve` and `worker`: postgresql://USER:PASSWORD@HOST/NAME. `up` brings its own.",
        secret=True,
    )
    blob_url: str = _setting(
        _blob_url,
        "folder or s3://BUCKET[/PREFIX]",
        "",
        "Where indexes and artifacts are stored. Default: `blobs` in the home.",
    )
    s3_endpoint: str = _setting(_http_url, "URL", "", "An S3 service other than Amazon's, such as http://minio:9000.")
    s3_region: str = _setting(_text, "name", "us-east-1", "The region of the bucket.")
    s3_access_key_id: str = _setting(
        _text, "text", "", "Credentials of the bucket. Default: AWS_ACCESS_KEY_ID, or the machine's role.", secret=True
    )
    s3_secret_access_key: str = _setting(
        _text,
        "text",
        "",
        "Credentials of the bucket. Default: AWS_SECRET_ACCESS_KEY, or the machine's role.",
        secret=True,
    )
    trusted_proxies: tuple[str, ...] = _setting(
        _networks,
        "addresses or CIDRs, comma-separated",
        "",
        "Proxies in front of the server whose X-Forwarded-For and X-Forwarded-Proto are believed. Nobody else's are.",
    )
    outbound_allow: tuple[str, ...] = _setting(
        _outbound_allow,
        "hosts, host:port or CIDRs, comma-separated",
        "",
        "Private, loopback and link-local addresses that mirrors and feeds may read. All others are refused.",
    )
    outbound_proxy: str = _setting(
        _http_url,
        "URL",
        "",
        "An HTTP proxy for everything that mirrors and feeds read. It then resolves host names.",
        secret=True,
    )
    mirror_loss_max: int = _setting(
        _whole(0, 100),
        "percent",
        "50",
        "A subdir whose upstream lost so many of its records (10 or more, or all of 3 or more) is not published until "
        "an administrator accepts it. 0: publish every loss.",
    )
    outbound_attempts: int = _setting(
        _whole(1, 20), "count", "4", "How often a failing download is tried before it counts as failed."
    )
    outbound_idle_timeout_s: int = _setting(
        _whole(1, 3600), "seconds", "30", "A download that receives no byte for this long is abandoned."
    )
    outbound_min_rate: int = _setting(
        _whole(0, GIB),
        "bytes per second",
        "1000",
        "A download that receives less, on average over ANTIVENOM_OUTBOUND_IDLE_TIMEOUT_S, is abandoned. 0: never.",
    )
    sync_max_s: int = _setting(
        _whole(60, 7 * 86_400), "seconds", "14400", "A sync of a mirror's index or of a feed that takes longer fails."
    )
    postgres_bin: Path | None = _setting(  # noqa: RUF009
        _optional_path,
        "folder",
        "",
        "The folder with `postgres` and `initdb` for `up`. Default: conda, the system's, the wheel's.",
    )
    postgres_user: str = _setting(
        _text,
        "user name",
        "",
        "Who the embedded PostgreSQL runs as when `up` runs as root. Default: postgres, else nobody.",
    )
    admin_password: str = _setting(
        _text, "text", "", "Password of the member `admin`, made when the database has no members.", secret=True
    )
    cpu_workers: int = _setting(
        _whole(1, 64),
        "count",
        "1",
        "Processes that read and match indexes at the same time, and as many that publish channels.",
    )
    expressions_max_s: int = _setting(
        _whole(1, 3600),
        "seconds of CPU",
        "30",
        "What the expressions of a policy may take for one plan or publication. A policy beyond it is not published.",
    )
    plan_max_s: int = _setting(
        _whole(1, 3600), "seconds of CPU", "300", "What one `policy plan` may take; one beyond it is ended."
    )
    worker_jobs: int = _setting(
        _whole(1, 64),
        "count",
        "4",
        "Jobs of each kind (publishing, mirrors, feeds, …) that one worker runs at the same time.",
    )
    database_connections: int = _setting(
        _whole(2, 500),
        "count",
        "20",
        "Connections to PostgreSQL that one process opens at most; a running sync has up to three more.",
    )
    scrub_bytes_per_hour: int = _setting(
        _whole(0, 2**50),
        "bytes",
        str(GIB),
        "How much of the blob store is read again each hour, to find files that the disk has damaged. 0: nothing.",
    )
    request_max_bytes: int = _setting(
        _whole(1024, GIB), "bytes", str(64 * 2**20), "The largest request body that the server takes, on any route."
    )
    metrics_public: bool = _setting(
        _yes_or_no, "yes or no", "no", "Whether anybody may read `/metrics`; otherwise it needs a token or a sign-in."
    )
    openapi_public: bool = _setting(
        _yes_or_no,
        "yes or no",
        "no",
        "Whether anybody may read `/api/openapi.json`; otherwise it needs a token or a sign-in.",
    )
    advisory_file_public: bool = _setting(
        _yes_or_no,
        "yes or no",
        "no",
        "Whether anybody may fetch the advisory file below `/advisories/`; otherwise it needs a token.",
    )
    session_hours: int = _setting(_whole(1, 24 * 90), "hours", "12", "How long a sign-in to the pages lasts.")
    log_level: str = _setting(
        _one_of("debug", "info", "warning", "error"), "debug, info, warning or error", "info", "How much the logs say."
    )

    @property
    def scratch(self) -> Path:
        """The folder for downloads and other files that nobody needs once their process is gone."""
        return self.home / "scratch"

    @property
    def blob_location(self) -> str:
        """Where blobs are, with the default filled in."""
        return self.blob_url or str(self.home / "blobs")


def list_settings() -> list[SettingFacts]:
    """Every setting in the order of the reference page."""
    return [
        SettingFacts(
            variable(field.name),
            field.metadata["kind"],
            field.metadata["default"],
            field.metadata["meaning"],
            field.metadata["secret"],
        )
        for field in dataclasses.fields(Settings)
    ]


def variable(field: str) -> str:
    """The environment variable of a field of Settings."""
    return PREFIX + field.upper()


def load_settings(environ: Mapping[str, str], **overrides: str | None) -> Settings:
    """The settings of an environment; `overrides` (from command-line options, by field) win unless None.

    Raises:
        InvalidInputError: Anything is wrong; the message lists every problem, `data["problems"]` has them one by one.
    """
    problems = _unknown_variables(environ)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Settings):
        given = overrides.get(field.name)
        try:
            text = _find_text(environ, field) if given is None else given
            values[field.name] = field.metadata["read"](text)
        except ValueError as error:
            problems.append(f"{variable(field.name)} {error}")
    if problems:
        count = "one setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        raise InvalidInputError(
            "\n  ".join([f"{count} wrong:", *problems]),
            hint="docs/reference/settings.md lists every setting",
            problems=problems,
        )
    return Settings(**values)


def _find_text(environ: Mapping[str, str], field: dataclasses.Field[Any]) -> str:
    name = variable(field.name)
    path = environ.get(f"{name}_FILE") if field.metadata["secret"] else None
    if path and name in environ:
        raise ValueError(f"and {name}_FILE are both set: keep one")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ValueError(f"cannot be read from {path}: {reason}") from None
    return environ.get(name, "").strip() or str(field.metadata["default"])


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A problem for each misspelled ANTIVENOM_ variable; others belong to other programs."""
    known = {variable(field.name) for field in dataclasses.fields(Settings)} | set(CLIENT_VARIABLES)
    known |= {f"{s.name}_FILE" for s in list_settings() if s.is_secret}
    foreign = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    nearest = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.85) for name in foreign}
    return [f"{name} is no setting; did you mean {near[0]}?" for name, near in nearest.items() if near]
