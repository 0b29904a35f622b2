from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import UpstreamError
from antivenom.core.redaction import redact, redact_url, redact_urls

SECRET = "s3cr3t-Word"
POSITIONS = [
    "https://ana:{}@repo.example/main",
    "https://{}@repo.example/main",
    "https://:{}@repo.example/main",
    "https://ana:it's{}@repo.example/main",
    "https://ana:a@{}@repo.example/main",
    "https://ana:a/{}@repo.example/main",
    "https://ana:{}@repo.example:99999/main",
    "https://repo.example/t/{}",
    "https://repo.example/t/{}/",
    "https://repo.example/t/{}/main",
    "https://repo.example/T/{}/main",
    "https://repo.example/%74/{}/main",
    "https://repo.example/a/repo/t/{}/main/noarch/repodata.json.zst",
    "https://repo.example/t/{}/t/{}/main",
    "https://[2001:db8::1]:8443/repo/t/{}/main",
    "https://repo.example/main;token={}/noarch",
    "https://repo.example/feed.json?token={}",
    "https://repo.example/feed.json?{}",
    "https://repo.example/feed.json?a=1&key={}&b",
    "https://repo.example/feed.json#{}",
    "//ana:{}@repo.example/main",
    "postgresql://ana:{}@db.example/antivenom?sslmode=require",
    "HTTPS://ANA:{}@REPO.EXAMPLE/main",
    "https://repo.example/token/{}/main",
    "https://repo.example/Auth/{}/main",
    "https://repo.example/apikey/{}",
    "https://repo.example/t//{}/main",
    "https://repo.example/t/./{}/main",
    "https://repo.example/t/%2e/{}/main",
    "https://repo.example/t%2F{}/main",
    "https://repo.example/%2ft%2f{}/main",
    "https://repo.example/main&token={}/noarch",
    "https://repo.example/main,key={}",
    "https://repo.example/main;{}/noarch",
]
TEXTS = ["{}", "{} answered 404", "cannot read '{}': no such file", 'it said "{}"', "<{}>", "see {}, then {}", "({})"]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_secret_is_hidden_wherever_a_url_carries_it(position: str) -> None:
    url = position.replace("{}", SECRET)
    shown = redact_url(url)
    assert SECRET not in shown
    assert redact_url(shown) == shown, "hiding twice changes nothing more"
    assert "example" in shown.lower() or "2001:db8::1" in shown
    for text in TEXTS:
        whole = text.replace("{}", url)
        for hide in (redact_urls, redact):
            assert SECRET not in hide(whole), whole
        assert SECRET not in redact(json.dumps({"a": [whole]}))


@given(st.sampled_from(POSITIONS), st.text("abcXYZ019-_.~!$&*+=%", min_size=12, max_size=40))
def test_no_spelling_of_a_secret_shows(position: str, secret: str) -> None:
    assert secret not in redact_url(position.replace("{}", secret))
    assert secret not in redact(f"before {position.replace('{}', secret)} after")


@pytest.mark.parametrize(
    "token",
    [
        "550e8400-e29b-41d4-a716-446655440000",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl",
        "aB3dE5fG7hJ9kL1mN3pQ",
    ],
)
@pytest.mark.parametrize(
    "position", ["https://repo.example/{}/main", "https://repo.example/get/{}", "see //r.example/{}"]
)
def test_what_looks_like_a_token_is_hidden_where_nothing_announces_it(token: str, position: str) -> None:
    assert token not in redact_urls(position.replace("{}", token))


@pytest.mark.parametrize(
    "url",
    [
        "https://repo.example/conda-forge/linux-64/python-3.12.1-hab00c5b_1_cpython.conda",
        "https://repo.example/pkgs/main/noarch/repodata_shards.msgpack.zst",
        "https://repo.example/@scope/name@1.0/x",
        "https://repo.example/t",
        "https://repo.example/t/",
        "http://[2001:db8::1]:8000/main",
        "http://[::1/main",
        "https://repo.example/osv-vulnerabilities/PyPI/all.zip",
        "/srv/feeds/t-shirt/kev.json",
        "",
    ],
)
def test_what_has_no_secret_stays_as_it_is(url: str) -> None:
    assert redact_url(url) == url
    assert redact_urls(f"see {url} now") == f"see {url} now"


def test_what_looks_like_a_key_in_a_path_is_hidden_and_a_file_name_is_not() -> None:
    assert redact_url("https://dl.example/aB3dE5gH7jK9mN1p/org/conda") == "https://dl.example/***/org/conda"
    digest = "ab3de5fa" * 8
    assert redact_url(f"https://repo.example/shards/{digest}.msgpack.zst").endswith(f"{digest}.msgpack.zst")


def test_a_long_text_is_read_to_its_end() -> None:
    """In time that grows with its length: a million letters would take hours otherwise."""
    for text in ("a" * 1_000_000, "a/" * 500_000, "/t/" * 300_000, "password" * 100_000, "@" * 1_000_000):
        assert SECRET not in redact(f"https://repo.example/{text}/t/{SECRET}/main")


def test_names_of_parameters_stay() -> None:
    assert redact_url("https://a.example/x?page=1&key=abc") == "https://a.example/x?page=***&key=***"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"'cookie': 'session={SECRET}'",
        f"password={SECRET}",
        f'"GET /t/{SECRET}/conda/main/noarch/repodata.json"',
        f"GET /t/{SECRET} 200",
        "token av-0123456789abcdef was refused",
    ],
)
def test_a_line_of_a_log_shows_no_secret(text: str) -> None:
    shown = redact(text)
    assert SECRET not in shown
    assert "0123456789abcdef" not in shown


def test_every_error_hides_the_secrets_of_its_urls() -> None:
    url = f"https://ana:{SECRET}@repo.example/t/{SECRET}/main"
    error = UpstreamError(f"{url} answered 500", hint=f"try {url}", address=url, count=3)
    assert SECRET not in f"{error}{error.message}{error.hint}{error.data}"
    assert error.data == {"address": "https://repo.example/t/***/main", "count": 3}
