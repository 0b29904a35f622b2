"""What components are called where advisories are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.matching.advisories import Confidence
from antivenom.core.matching.identity import NameMaps, identify_conda, identify_purl
from antivenom.knowledge import built_in
from antivenom_client.names import channel_name, normalize_python

MAPS = NameMaps(
    {
        "pillow": {"conda-forge": {"pypi": ("pillow",)}},
        "redis": {"conda-forge": {"pypi": ()}},
        "forked": {"conda-forge": {"pypi": ("one",)}, "main": {"pypi": ("two",)}},
    },
    {"pypi/pillow": ("python:pillow", "google:pillow-java")},
)


def keys(name: str, *purls: str, channel: str = "conda-forge") -> dict[str, Confidence]:
    return {i.key: i.confidence for i in identify_conda(name, purls, channel, MAPS, built_in()).names}


def test_the_purl_on_the_record_goes_before_the_map() -> None:
    assert keys("pillow")["pypi/pillow"] is Confidence.high
    assert keys("pillow", "pkg:pypi/Pillow_SIMD") == {"pypi/pillow-simd": Confidence.exact}


def test_each_channel_has_its_own_map() -> None:
    assert "pypi/one" in keys("forked")
    assert "pypi/two" in keys("forked", channel="main")


def test_a_name_that_the_map_says_is_not_on_pypi_is_never_guessed_to_be() -> None:
    assert not any(key.startswith("pypi/") for key in keys("redis"))
    assert keys("redis")["cpe/redis:redis"] is Confidence.medium


def test_products_of_the_same_name_in_another_language_are_set_aside() -> None:
    found = {i.key: i.ignored_by for i in identify_conda("pillow", (), "conda-forge", MAPS, built_in()).names}
    assert found["cpe/python:pillow"] == ""
    assert found["cpe/google:pillow-java"] == "ignore/other-language-product"


@pytest.mark.parametrize("name", ["minio", "influxdb", "lz4", "mariadb", "neovim", "yq", "libsass", "hiredis"])
def test_python_clients_and_bindings_are_not_what_they_connect_to(name: str) -> None:
    assert not any(key.startswith("cpe/") for key in keys(name, f"pkg:pypi/{name}"))


@pytest.mark.parametrize("name", ["libpq", "mysql-libs", "mysql-common", "libmysqlclient"])
def test_client_packages_have_their_servers_products_with_low_confidence(name: str) -> None:
    servers = {"cpe/postgresql:postgresql", "cpe/oracle:mysql"} & keys(name).keys()
    assert servers
    assert {keys(name)[key] for key in servers} == {Confidence.low}


@pytest.mark.parametrize(
    ("name", "key"),
    [("r-readxl", "cran/readxl"), ("bioconductor-limma", "bioconductor/limma"), ("libxml2", "cpe/xmlsoft:libxml2")],
)
def test_rules_of_naming_and_the_curated_table(name: str, key: str) -> None:
    assert key in keys(name)


def test_r_itself_is_not_a_package_of_cran() -> None:
    assert keys("r-base") == {"cpe/r-project:r": Confidence.medium, "cpe/r_project:r": Confidence.medium}


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("https://conda.anaconda.org/conda-forge/linux-64", "conda-forge"),
        ("https://conda.anaconda.org/conda-forge/", "conda-forge"),
        ("conda-forge", "conda-forge"),
        ("https://repo.example.org/pkgs/main/noarch?x=1", "main"),
        ("", ""),
    ],
)
def test_channels_are_known_by_their_last_word(channel: str, name: str) -> None:
    assert channel_name(channel) == name


@pytest.mark.parametrize(
    "purl", ["pkg:deb/debian/openssl@3.0", "pkg:rpm/fedora/openssl@3.0", "nonsense", "pkg:", "x" * 5000]
)
def test_what_no_source_covers_has_no_identity_and_a_reason(purl: str) -> None:
    found = identify_purl(purl, MAPS, built_in())
    assert found.names == ()
    assert found.missing


def test_a_purl_carries_its_own_version() -> None:
    [first, *_] = identify_purl("pkg:pypi/Pillow@9.0", MAPS, built_in()).names
    assert (first.key, first.version, first.confidence) == ("pypi/pillow", "9.0", Confidence.exact)


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3), st.text(max_size=60))
def test_any_text_has_identities_each_once(name: str, purls: list[str], channel: str) -> None:
    found = [i.key for i in identify_conda(name, purls, channel_name(channel), MAPS, built_in()).names]
    assert len(found) == len(set(found))


@given(st.text(alphabet="aB-_.9", max_size=20))
def test_normalizing_a_python_name_twice_is_once(name: str) -> None:
    assert normalize_python(normalize_python(name)) == normalize_python(name)
