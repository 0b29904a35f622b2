from __future__ import annotations

import pytest

from antivenom.core.errors import InvalidInputError
from antivenom.server.mirrors.upstream_url import address_for_request, artifact_address, parse_upstream, redact


def test_a_well_known_name_stands_for_its_url() -> None:
    assert parse_upstream("conda-forge").url == "https://conda.anaconda.org/conda-forge"


@pytest.mark.parametrize("text", ["", "conda forge", "conda-forg"])
def test_what_is_neither_name_nor_url_is_told_the_names(text: str) -> None:
    with pytest.raises(InvalidInputError, match="neither a URL nor one of bioconda, conda-forge, defaults"):
        parse_upstream(text)


def test_credentials_are_taken_out_of_the_url() -> None:
    address = parse_upstream("https://ana:s%40crit@repo.example/channels/main/")
    assert address.url == "https://repo.example/channels/main"
    assert address.auth == "basic:ana:s@crit"


def test_a_token_in_the_path_is_taken_out_and_put_back_only_for_the_request() -> None:
    address = parse_upstream("https://repo.example/t/ab-123/conda/main")
    assert address.url == "https://repo.example/conda/main"
    assert address_for_request(address.url, address.auth) == "https://repo.example/t/ab-123/conda/main"
    assert "ab-123" not in redact("https://repo.example/t/ab-123/conda/main")


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


def test_an_ipv6_host_keeps_its_brackets() -> None:
    assert parse_upstream("http://[2001:db8::1]:8000/main").url == "http://[2001:db8::1]:8000/main"


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
    assert found == (url, ("ana", "secret") if is_told else None)


def test_a_token_in_the_path_stays_with_the_upstream() -> None:
    def address(base_url: str) -> str:
        return artifact_address("https://up.example/c", "token:abc", "noarch", "a-1-0.conda", base_url=base_url)[0]

    assert address("") == "https://up.example/t/abc/c/noarch/a-1-0.conda"
    assert address("../files/") == "https://up.example/t/abc/c/files/a-1-0.conda"
    assert address("https://cdn.example/") == "https://cdn.example/a-1-0.conda"
