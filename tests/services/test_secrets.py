"""Where secrets are looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwell.base.errors import ConfigurationError, NotFound
from stepwell.ports.services import SecretSource
from stepwell.services.secrets import CombinedSecrets, DirectorySecrets, EnvironmentSecrets

ODD_NAMES = ["", ".", "..", "../etc/passwd", "a/b", "a\\b", "a b", "a\n", "-x", "1x", "a.b", "é", "x" * 129, "a\0"]


def test_a_secret_is_an_environment_variable_with_the_prefix() -> None:
    assert EnvironmentSecrets({"STEPWELL_SECRET_TOKEN": "t"}).get("TOKEN") == "t"
    assert EnvironmentSecrets({"MY_TOKEN": "t"}, prefix="MY_").get("TOKEN") == "t"


def test_an_unknown_variable_is_named_and_no_value_is_shown() -> None:
    with pytest.raises(NotFound, match="STEPWELL_SECRET_TOKEM") as raised:
        EnvironmentSecrets({"STEPWELL_SECRET_TOKEN": "hunter22"}).get("TOKEM")
    assert raised.value.code == "unknown-secret"
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "value"), [(b"t", "t"), (b"t\n", "t"), (b"t\r\n", "t"), (b" t \n\n", " t \n"), ("ü".encode(), "ü")]
)
def test_a_secret_is_a_file_without_its_last_line_break(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "TOKEN").write_bytes(content)
    assert DirectorySecrets(tmp_path).get("TOKEN") == value


def test_a_changed_file_is_a_changed_secret(tmp_path: Path) -> None:
    secrets = DirectorySecrets(tmp_path)
    (tmp_path / "TOKEN").write_text("old")
    assert secrets.get("TOKEN") == "old"
    (tmp_path / "TOKEN").write_text("new")
    assert secrets.get("TOKEN") == "new"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (64 * 1024 + 1)])
def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "TOKEN").write_bytes(content)
    with pytest.raises(ConfigurationError, match="TOKEN"):
        DirectorySecrets(tmp_path).get("TOKEN")


def test_a_directory_in_the_place_of_a_file_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "TOKEN").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        DirectorySecrets(tmp_path).get("TOKEN")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "passwd").write_text("root")
    sources: list[SecretSource] = [
        EnvironmentSecrets({f"STEPWELL_SECRET_{name}": "x"}),
        DirectorySecrets(tmp_path / "secrets"),
    ]
    for source in sources:
        with pytest.raises(NotFound, match="letters, digits"):
            source.get(name)


def test_the_first_source_that_knows_a_secret_answers(tmp_path: Path) -> None:
    (tmp_path / "A").write_text("file")
    (tmp_path / "B").write_text("file")
    secrets = CombinedSecrets([EnvironmentSecrets({"STEPWELL_SECRET_A": "env"}), DirectorySecrets(tmp_path)])
    assert (secrets.get("A"), secrets.get("B")) == ("env", "file")
    with pytest.raises(NotFound, match="'C'"):
        secrets.get("C")
    with pytest.raises(NotFound):
        CombinedSecrets([]).get("A")
