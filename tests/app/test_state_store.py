"""The part of the configuration that says where executions are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stepwell.app.configuration import StateStore, configuration_from, load_configuration
from stepwell.base.errors import ConfigurationError

URL = "postgresql://u:hunter2@db.example/flow"


def section(**values: Any) -> StateStore:
    return configuration_from({"state_store": values}).state_store


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "sqlite:stepwell.db"),
        ({"type": "sqlite", "path": "x.db"}, "sqlite:x.db"),
        ({"type": "memory"}, "memory:"),
        ({"type": "postgresql", "url": URL}, URL),
        ({"type": "postgresql", "connection_string": URL}, URL),
        ({"url": URL}, URL),
        ({"connection_string": "sqlite:y.db"}, "sqlite:y.db"),
        ({"type": "sqlite", "url": "y.db"}, "y.db"),
        ({"url": "mine://of-a-plug-in"}, "mine://of-a-plug-in"),
    ],
)
def test_a_section_means_a_store(values: dict[str, Any], url: str) -> None:
    assert section(**values).url == url


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"type": "postgresql"}, "`type: postgresql` needs `url`, which is postgresql://"),
        ({"type": "sqlite", "url": URL}, "the type is sqlite, and `url` means a store of the type postgresql"),
        (
            {"type": "postgresql", "url": "memory:"},
            "the type is postgresql, and `url` means a store of the type memory",
        ),
        ({"url": URL, "connection_string": URL}, "`url` and `connection_string` are two names of one thing"),
        ({"url": 5}, "state_store.connection_string: input should be a valid string"),
        ({"url": URL, "reconnect": "soon"}, "state_store.reconnect: "),
        ({"url": URL, "reconnect": 0}, "state_store.reconnect: "),
        ({"ulr": URL}, "unknown key 'state_store.ulr'"),
        ({"type": "mysql"}, "state_store.type: "),
    ],
)
def test_a_section_that_is_wrong_is_refused_without_repeating_a_password(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        section(**values)
    assert said in raised.value.message
    assert "hunter2" not in str(raised.value)


def test_an_outage_is_sat_out_for_as_long_as_is_said() -> None:
    assert section().reconnect == 300_000_000
    assert section(url=URL, reconnect="20s").reconnect == 20_000_000


def test_another_url_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "stepwell.yaml").write_text("state_store: {path: x.db, reconnect: 20s}")
    found = load_configuration(store=URL, environment={}, folder=tmp_path).state_store
    assert (found.url, found.reconnect) == (URL, 20_000_000)
    found = load_configuration(environment={"STEPWELL_STORE": URL}, folder=tmp_path).state_store
    assert (found.url, found.reconnect) == (URL, 20_000_000)
