from __future__ import annotations

import pytest

from antivenom.core.errors import InvalidInputError
from antivenom.server.adapters.stored_urls import RequestUrl, request_url
from antivenom.server.mirrors.upstream_url import artifact_address, is_incomplete, parse_upstream


def test_a_well_known_name_stands_for_its_url() -> None:
    assert parse_upstream("conda-forge").shown == "https://conda.anaconda.org/conda-forge"


@pytest.mark.parametrize("text", ["", "conda forge", "conda-forg"])
def test_what_is_neither_name_nor_url_is_told_the_names(text: str) -> None:
    with pytest.raises(InvalidInputError, match="neither a URL nor one of bioconda, conda-forge, defaults"):
        parse_upstream(text)


@pytest.mark.parametrize(
    ("text", "shown", "asked", "basic_auth"),
    [
        ("https://ana:s%40crit@up.example/c/main/", "https://up.example/c/main", None, ("ana", "s@crit")),
        ("https://:secret@up.example/main", "https://up.example/main", None, ("", "secret")),
        ("https://secret@up.example/main", "https://up.example/main", None, ("secret", "")),
        ("https://up.example/t/secret/main", "https://up.example/main", "https://up.example/t/secret/main", None),
        ("https://up.example/t/secret", "https://up.example", "https://up.example/t/secret", None),
        ("https://up.example/r/t/secret/x", "https://up.example/r/t/***/x", "https://up.example/r/t/secret/x", None),
        (
            "https://ana:pw@up.example:8/t/secret/r/t/secret/x",
            "https://up.example:8/r/t/***/x",
            "https://up.example:8/t/secret/r/t/secret/x",
            ("ana", "pw"),
        ),
        ("https://UP.example/main", "https://up.example/main", None, None),
    ],
)
def test_secrets_are_taken_out_of_what_is_shown_and_sent_with_the_request(
    text: str, shown: str, asked: str | None, basic_auth: tuple[str, str] | None
) -> None:
    address = parse_upstream(text)
    assert address.shown == shown
    assert request_url(*address) == RequestUrl(asked or shown, basic_auth)
    assert "secret" not in address.shown
    assert bool(address.auth) == (text.lower() != shown)


@pytest.mark.parametrize(
    ("shown", "auth", "asked"),
    [
        ("https://up.example/main", "", RequestUrl("https://up.example/main")),
        ("https://up.example/main", "basic:ana:a:b", RequestUrl("https://up.example/main", ("ana", "a:b"))),
        ("https://up.example/main", "token:ab-1", RequestUrl("https://up.example/t/ab-1/main")),
    ],
)
def test_what_earlier_releases_stored_is_asked_as_before(shown: str, auth: str, asked: RequestUrl) -> None:
    assert request_url(shown, auth) == asked


def test_an_address_as_it_is_shown_is_known_to_lack_its_secret() -> None:
    assert is_incomplete(parse_upstream("https://up.example/r/t/***/main"))
    assert not is_incomplete(parse_upstream("https://up.example/r/t/secret/main"))
    assert not is_incomplete(parse_upstream("https://up.example/main"))


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc",
        "ftp://repo.example/main",
        "repo.example/main",
        "https://",
        "https://repo.example/main?x=1",
        "https://repo.example/main#x",
        "https://repo.example:99999/main",
        "http://[::1/main",
        "javascript:alert(1)",
        "https://repo.example/\x00main",
        "",
        "https://" + "a" * 3000,
    ],
)
def test_what_is_no_channel_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_upstream(text)
    assert caught.value.data["field"] == "upstream"


@pytest.mark.parametrize(
    "text",
    [
        "https://ana:s3cret@up.example:99999/main",
        "https://ana:s3/s3cret@up.example/main",
        "https://up.example/main?token=s3cret",
        "https://up.example/main#s3cret",
        "ana:s3cret@up.example/main",
        "s3cret@up.example/main",
        "up.example/t/s3cret/main",
        "ftp://ana:s3cret@up.example/main",
    ],
)
def test_a_refusal_repeats_no_secret(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_upstream(text)
    assert "s3cret" not in f"{caught.value.message}{caught.value.hint}{caught.value.data}"


def test_an_ipv6_host_keeps_its_brackets() -> None:
    assert parse_upstream("http://[2001:db8::1]:8000/main").shown == "http://[2001:db8::1]:8000/main"


@pytest.mark.parametrize(
    ("base_url", "url", "is_told"),
    [
        ("", "https://up.example/c/noarch/a-1-0.conda", True),
        ("./", "https://up.example/c/noarch/a-1-0.conda", True),
        ("../files", "https://up.example/c/files/a-1-0.conda", True),
        ("/files/", "https://up.example/files/a-1-0.conda", True),
        ("https://up.example/x", "https://up.example/x/a-1-0.conda", True),
        ("https://cdn.example/x/?k=v#f", "https://cdn.example/x/a-1-0.conda", False),
        ("//cdn.example/x", "https://cdn.example/x/a-1-0.conda", False),
        ("http://up.example/x", "http://up.example/x/a-1-0.conda", False),
        ("https://up.example:8443/x", "https://up.example:8443/x/a-1-0.conda", False),
        ("file:///etc", "file:///etc/a-1-0.conda", False),
    ],
)
def test_artifacts_lie_below_the_base_url_and_only_the_upstream_is_told_the_password(
    base_url: str, url: str, is_told: bool
) -> None:
    found = artifact_address("https://up.example/c", "basic:ana:secret", "noarch", "a-1-0.conda", base_url=base_url)
    assert found == RequestUrl(url, ("ana", "secret") if is_told else None)


def test_a_token_in_the_path_stays_with_the_upstream() -> None:
    def address(base_url: str) -> str:
        return artifact_address("https://up.example/c", "token:abc", "noarch", "a-1-0.conda", base_url=base_url)[0]

    assert address("") == "https://up.example/t/abc/c/noarch/a-1-0.conda"
    assert address("../files/") == "https://up.example/t/abc/c/files/a-1-0.conda"
    assert address("https://cdn.example/") == "https://cdn.example/a-1-0.conda"
