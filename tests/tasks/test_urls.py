"""Addresses of requests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from stepwell.ports.work import TaskError
from stepwell.tasks.urls import extend_query, join_endpoint, parse_url, shown

PIECES = ["..", ".", "/", "%2e", "\\", "@", "?", "#", "x", ":"]


@pytest.mark.parametrize(
    ("base", "endpoint", "expected"),
    [
        ("http://h", "/api/users", "http://h/api/users"),
        ("http://h/", "api/users", "http://h/api/users"),
        ("http://h/base", "/x", "http://h/base/x"),
        ("http://h/base/", "/x/", "http://h/base/x/"),
        ("http://h:81/base", "", "http://h:81/base"),
        ("http://h/base", "/", "http://h/base/"),
        ("http://h", "/x?a=1&b=2", "http://h/x?a=1&b=2"),
        ("http://h", "?a=1", "http://h/?a=1"),
        ("http://h", "/users/a%2Fb", "http://h/users/a%2Fb"),
        ("http://h", "/users//activate", "http://h/users//activate"),
        ("http://h", "/users/", "http://h/users/"),
        ("http://h", "/v1/users:batch", "http://h/v1/users:batch"),
        ("http://h", "@evil.example/", "http://h/@evil.example/"),
        ("http://h", "/grüße und mehr", "http://h/gr%C3%BC%C3%9Fe%20und%20mehr"),
        ("http://h", "/a..b/...", "http://h/a..b/..."),
        ("http://h", "/x#fragment", "http://h/x"),
    ],
)
def test_an_endpoint_is_put_behind_the_services_url(base: str, endpoint: str, expected: str) -> None:
    assert str(join_endpoint(base, endpoint)) == expected


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://evil.example/", "HTTPS://evil.example", "file:///etc/passwd", "//evil.example/x", "../admin", "/a/../b",
        "/..", "/a/%2e%2e/b", "/a/%2E./b", "/%252e%252e/x", "/a%2f..%2fb", "/a/..%2fb", "\\\\evil", "/a\\..\\b",
        "/a\r\nHost: evil", "/a\0", "/..?x", "/%5c../x",
    ],
)  # fmt: skip
def test_an_endpoint_cannot_leave_the_service(endpoint: str) -> None:
    with pytest.raises(TaskError) as raised:
        join_endpoint("http://h:1/base", endpoint)
    assert (raised.value.type, raised.value.retryable) == ("invalid_request", False)


@settings(deadline=None)
@given(st.text(max_size=30) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_whatever_the_endpoint_the_request_stays_with_the_service(endpoint: str) -> None:
    try:
        url = join_endpoint("http://user.example:8080/base", endpoint)
    except TaskError:
        return
    assert url.origin() == URL("http://user.example:8080")
    assert url.path == "/base" or url.path.startswith("/base/")


@pytest.mark.parametrize(
    "text",
    ["", "x", "/x", "ftp://h/x", "http://", "http:///x", "file:///etc/passwd", "http://h:99999/", "http://h\\@evil/",
     "http://h/\r\nx", "javascript:alert(1)", "http://[::1", "http://h:x/"],
)  # fmt: skip
def test_what_is_no_http_address_is_refused(text: str) -> None:
    with pytest.raises(TaskError) as raised:
        parse_url(text)
    assert raised.value.type == "invalid_request"


def test_a_query_is_added_to_the_one_that_is_there() -> None:
    query = {"b": [1, 2.5], "c": True, "d": None, "e": "ü &", "f": []}
    assert str(extend_query(parse_url("http://h/?a=1"), query)) == "http://h/?a=1&b=1&b=2.5&c=true&e=%C3%BC+%26"


@pytest.mark.parametrize("value", [{"x": 1}, [[1]]])
def test_a_query_of_objects_is_refused(value: object) -> None:
    with pytest.raises(TaskError, match=r"query\.a must be text"):
        extend_query(parse_url("http://h"), {"a": value})


def test_a_shown_url_holds_no_credentials_and_no_values() -> None:
    assert shown(URL("http://user:pass@h:1/a/b?token=secret&x=1#f")) == "http://h:1/a/b?token=***&x=***"
    assert shown(URL("http://h/a")) == "http://h/a"
