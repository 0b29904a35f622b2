"""How old an advisory file is, in words."""

from __future__ import annotations

OLD_DAYS = 7
_MONTH_DAYS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def tell_age(path: str, made_at: str, now: float) -> list[str]:
    """The lines that tell people how old a file is; an old one warns, and so does one that is younger than the clock.

    Args:
        made_at: RFC 3339, UTC.
        now: Seconds since 1970.
    """
    made = seconds_of(made_at)
    if made is None:
        return [f"warning: {path} does not say when it was made"]
    age = now - made
    if age < -60:
        return [f"warning: {path} was made {_span(-age)} after now: its date or this machine's clock is wrong"]
    told = f"advisories of {made_at[:16].replace('T', ' ')} UTC ({_span(max(age, 0))} old)"
    if age > OLD_DAYS * 86_400:
        return [f"warning: {told}: newer vulnerabilities are not in them; get new ones: antivenom feed pull"]
    return [told]


def seconds_of(text: str) -> int | None:
    """The seconds since 1970 of a time as RFC 3339 has it in UTC; None when it is none.

    By hand: `datetime` would cost a fast scan a millisecond to import.
    """
    try:
        year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
        hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    except ValueError:
        return None
    if not (1970 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= 31):
        return None
    before = year - 1 if month < 3 else year  # leap days until then
    days = (year - 1970) * 365 + _MONTH_DAYS[month - 1] + day - 1
    days += (before // 4 - before // 100 + before // 400) - (1969 // 4 - 1969 // 100 + 1969 // 400)
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _span(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a minute"
