"""What some servers send in place of an index, told by its first bytes."""

from __future__ import annotations

_BLANKS = b" \t\r\n\xef\xbb\xbf"  # white space and the mark of UTF-8


def describe_other_content(head: bytes) -> str | None:
    """What the content is that begins so: "a page of HTML", "a page of XML", "empty"; None when it may be an index.

    No index begins with `<`: JSON does with `{`, zstd, bzip2 and msgpack with bytes of their own.
    """
    text = head.lstrip(_BLANKS)
    if not text:
        return "empty"
    if not text.startswith(b"<"):
        return None
    return "a page of XML" if text.startswith(b"<?xml") and b"<html" not in text.lower() else "a page of HTML"
