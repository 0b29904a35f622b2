"""Every page there is, by a name for its screenshots. What is in them comes from the demo."""

from __future__ import annotations

PLACES = {
    "dashboard": "/",
    "channels": "/channels",
    "new-channel": "/new-channel",
    "channel-packages": "/channels/demo",
    "channel-packages-filtered": "/channels/demo?severity=high&withheld=yes&sort=-records",
    "channel-packages-none": "/channels/demo?q=no-such-package",
    "channel-withheld": "/channels/demo/withheld",
    "channel-warned": "/channels/demo/withheld?show=warned&sort=-severity",
    "channel-findings": "/channels/demo/findings",
    "channel-policy": "/channels/demo/policy",
    "channel-policy-edit": "/channels/demo/policy/edit",
    "channel-mirror": "/channels/demo/mirror",
    "channel-history": "/channels/demo/history",
    "package": "/channels/demo/packages/openssl",
    "advisories": "/advisories",
    "advisory": "/advisories/CVE-2023-4863",
    "policies": "/policies",
    "policy": "/policies/demo",
    "check-policy": "/check-policy",
    "feeds": "/feeds",
    "tokens": "/tokens",
    "audit": "/audit",
    "audit-filtered": "/audit?actor=system&subject=channel%3Ademo&period=week&sort=kind",
    "account": "/account",
    "search": "/search?q=openssl",
    "not-found": "/channels/no-such-channel",
}
