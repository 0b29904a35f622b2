"""The demo: a small upstream channel, an advisory set and a policy, authored here from facts.

`demo://channel` and `demo://feeds` are its addresses; `adapters/demo_upstream.py` answers them from `read`: mirrors and
feeds take the same path as for a real upstream while nothing leaves the machine.
"""

from __future__ import annotations

from importlib.resources import files

from antivenom.demo import channel, feeds

SCHEME = "demo"
CHANNEL_URL = f"{SCHEME}://channel"
FEED_URLS = {kind: f"{SCHEME}://feeds/{name}" for kind, name in feeds.FILES.items()}
SUBDIRS = ("noarch", *channel.PLATFORMS)


def read(path: str) -> bytes | None:
    """The file behind `demo://<path>`; None when there is none."""
    room, _, rest = path.strip("/").partition("/")
    if room == "channel":
        return channel.read(rest)
    return feeds.read(rest) if room == "feeds" else None


def policy_text() -> str:
    """The demo's policy, as its author would write it."""
    return files(__package__).joinpath("policy.yaml").read_text(encoding="utf-8")
