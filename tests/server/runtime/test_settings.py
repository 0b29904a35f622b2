"""Settings: read once, checked all together, documented from the same table."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import InvalidInputError
from antivenom.server.settings import CLIENT_VARIABLES, list_settings, load_settings, variable


def test_nothing_set_is_a_working_default():
    settings = load_settings({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.home == Path("~/.local/share/antivenom").expanduser()
    assert settings.blob_location == str(settings.home / "blobs")


def test_options_win_over_the_environment():
    assert load_settings({"ANTIVENOM_PORT": "9000"}, port="9001", host=None).port == 9001


def test_empty_variable_is_the_default():
    assert load_settings({"ANTIVENOM_PORT": "", "ANTIVENOM_BLOB_URL": " "}).port == 8080


WRONG = [
    ("PORT", "http"), ("PORT", "65536"), ("PORT", "-1"), ("PORT", "८०"), ("CPU_WORKERS", "0"), ("LOG_LEVEL", "loud"),
    ("DATABASE_URL", "sqlite:///x"), ("DATABASE_URL", "postgresql://h:port/x"), ("BLOB_URL", "ftp://x"), ("BLOB_URL", "s3://"),
    ("S3_ENDPOINT", "minio:9000"), ("PUBLIC_URL", "example.org"), ("OUTBOUND_ALLOW", "10.0.0.0/99"), ("OUTBOUND_ALLOW", "a b"),
    ("OUTBOUND_ALLOW", "http://x"), ("OUTBOUND_PROXY", "proxy:3128"), ("REQUEST_MAX_BYTES", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_value_names_its_variable(name: str, value: str):
    with pytest.raises(InvalidInputError, match=f"ANTIVENOM_{name}") as raised:
        load_settings({f"ANTIVENOM_{name}": value})
    assert len(raised.value.data["problems"]) == 1


def test_all_problems_are_reported_together():
    with pytest.raises(InvalidInputError, match="3 settings") as raised:
        load_settings({"ANTIVENOM_PORT": "x", "ANTIVENOM_LOG_LEVEL": "x", "ANTIVENOM_PROT": "1"})
    assert "did you mean ANTIVENOM_PORT?" in raised.value.message


def test_variable_of_somebody_else_is_left_alone():
    load_settings({"ANTIVENOM_COMPOSE_FILE": "x", "ANTIVENOM_URL": "http://x", "ANTIVENOM_TOKEN": "y"})


def test_secret_may_come_from_a_file(tmp_path: Path):
    file = tmp_path / "url"
    file.write_text("postgresql://u:p@h/d\n")
    assert load_settings({"ANTIVENOM_DATABASE_URL_FILE": str(file)}).database_url == "postgresql://u:p@h/d"


def test_secret_given_twice_or_in_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="both set"):
        load_settings({"ANTIVENOM_ADMIN_PASSWORD": "x", "ANTIVENOM_ADMIN_PASSWORD_FILE": "y"})
    with pytest.raises(InvalidInputError, match="cannot be read"):
        load_settings({"ANTIVENOM_ADMIN_PASSWORD_FILE": str(tmp_path / "absent")})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        load_settings({"ANTIVENOM_ADMIN_PASSWORD_FILE": str(tmp_path / "binary")})


def test_secret_is_not_in_a_message():
    with pytest.raises(InvalidInputError) as raised:
        load_settings({"ANTIVENOM_DATABASE_URL": "mysql://user:geheim@h/x", "ANTIVENOM_PORT": "x"})
    assert "geheim" not in raised.value.message


@given(
    st.sampled_from([s.name for s in list_settings()]),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
)
def test_no_text_does_more_than_be_refused(name: str, text: str):
    try:
        load_settings({name: text})
    except InvalidInputError as error:
        assert name in error.message  # noqa: PT017  # both ends are right, nothing else is


def test_every_setting_is_documented():
    page = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
    text = page.read_text()
    for name in [*(setting.name for setting in list_settings()), *CLIENT_VARIABLES]:
        assert f"`{name}`" in text, f"{name} is missing in {page.name}: make reference writes it"
    assert variable("home") == "ANTIVENOM_HOME"
