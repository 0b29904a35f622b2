"""The arguments and options that several commands take, and how each is parsed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from antivenom.cli.output import Output
from antivenom.core.errors import InvalidInputError

NAME = re.compile(r"[A-Za-z0-9._@-]+")
INTERVAL = re.compile(r"(\d+)\s*([smhdw]?)")
INTERVAL_UNITS_S = {"s": 1, "": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LIFETIME = re.compile(r"(\d{1,5})([hdwy])")
LIFETIME_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365)}
SWITCHES = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
FILE_BYTES_MAX = 4 << 20


def parse_name(text: str) -> str:
    """The name itself, if it may become part of an address; another text could lead to another address.

    Raises:
        InvalidInputError: It has a character that no name has.
    """
    if not NAME.fullmatch(text) or text in (".", ".."):
        raise InvalidInputError(f"{text!r} is not a name", hint="letters, digits and . _ @ -")
    return text


ChannelArgument = Annotated[str, typer.Argument(metavar="CHANNEL", parser=parse_name, help="The channel's name.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for scripts.")]
TRUST_HELP = "on: what the upstream's artifacts state in info/security.json counts. off: it is only shown."
CLOSURE_HELP = "on: also withhold records that need something withheld. off: do not."
EveryOption = Annotated[str | None, typer.Option("--every", help="Sync again after this long: 30m, 1h, 1d.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def parse_interval(text: str) -> int:
    """Seconds of an interval such as 30m, 1h, 1d.

    Raises:
        InvalidInputError: It is not an interval.
    """
    found = INTERVAL.fullmatch(text.strip().lower())
    if not found:
        raise InvalidInputError(
            f"{text!r} is not an interval", hint="give a number and a unit, such as 30m, 12h, 1d or 1w", field="every"
        )
    return int(found[1]) * INTERVAL_UNITS_S[found[2]]


def parse_expiry(text: str, now: datetime) -> str | None:
    """The instant of an expiry, written as the API wants it; None for "".

    Raises:
        InvalidInputError: It is neither a length of time, such as 30d, nor a date.
    """
    if not text:
        return None
    if found := LIFETIME.fullmatch(text.strip().lower()):
        return (now + int(found[1]) * LIFETIME_UNITS[found[2]]).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"--expires {text!r} is not understood", hint="such as 30d, 1y or 2027-01-31") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def parse_switch(text: str, option: str) -> bool:
    """Whether a switch is on; `option` is named when the text is neither on nor off."""
    if text.lower() not in SWITCHES:
        raise typer.BadParameter(f"{text!r} is neither on nor off", param_hint=option)
    return SWITCHES[text.lower()]


def split_commas(values: list[str] | None) -> list[str]:
    """The parts of options that may be repeated or hold several values between commas."""
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]


def read_text(file: str) -> str:
    """The text of a file, or of standard input for "-".

    Raises:
        InvalidInputError: It cannot be read, or is no text.
    """
    try:
        if file == "-":
            data = typer.get_binary_stream("stdin").read(FILE_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(FILE_BYTES_MAX + 1)
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror or error}", hint="check the path") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidInputError(f"{file}:{line}: not UTF-8", hint="save the file as UTF-8") from None


def confirm(question: str) -> None:
    """Ask before something is deleted.

    Raises:
        InvalidInputError: The answer is no, or nobody is there to answer.
    """
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise InvalidInputError("nothing was deleted", hint="answer y, or give --yes")
