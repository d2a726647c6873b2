"""What may be asked for, before anything is looked up."""

from __future__ import annotations

import httpx2
import pytest

from runtime.tools.fetch.target import FetchRefused, target_of

HOSTS = ("example.org", "*.example.net", "xn--mnchen-3ya.de", "127.1")


def refusal(url: str, hosts: tuple[str, ...] = ("*",), base: str | None = None) -> str:
    with pytest.raises(FetchRefused) as caught:
        target_of(url, hosts, base=None if base is None else httpx2.URL(base))
    assert caught.value.words
    return caught.value.code


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://example.org/",
        "ftp://example.org/",
        "data:text/plain,hello",
        "javascript:alert(1)",
        "//example.org/",
        "example.org",
        "",
        "http://",
        "http:///path",
        "http://user@example.org/",
        "http://user:password@example.org/",
        "http://example.org\\@169.254.169.254/",
        "http://example.org/\\..\\",
        "http://example.org/a b",
        " http://example.org/",
        "http://example.org/\r\nHost: other",
        "http://example.org/\x00",
        "http://exam\tple.org/",
        "http://example.org:22/",
        "http://example.org:8080/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:port/",
        "http://example%2eorg/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://.../",
        "http://ex..org/",
        "http://" + "a" * 64 + ".org/",
        "http://１２７.０.０.１/",
        "http://example.org/" + "a" * 5000,
    ],
)
def test_an_address_that_is_odd_in_any_way_is_refused(url: str) -> None:
    assert refusal(url) == "invalid_url"


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://example.org", "example.org", 80),
        ("https://EXAMPLE.org./a?b=c#d", "example.org", 443),
        ("https://example.org:443/", "example.org", 443),
        ("http://a.b.example.net/", "a.b.example.net", 80),
        ("https://münchen.de/", "xn--mnchen-3ya.de", 443),
    ],
)
def test_a_host_on_the_list_may_be_asked(url: str, host: str, port: int) -> None:
    target = target_of(url, HOSTS)
    assert (target.host, target.port) == (host, port)
    assert not target.url.fragment


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://evil-example.org/",
        "http://example.org.evil.com/",
        "http://sub.example.org/",
        "http://example.net/",
        "http://evilexample.net/",
        "http://169.254.169.254/",
        "http://[::1]/",
        "http://2852039166/",
    ],
)
def test_no_other_host_may(url: str) -> None:
    assert refusal(url, HOSTS) == "host_not_allowed"


def test_without_a_list_nothing_may_be_fetched() -> None:
    assert refusal("https://example.org/", ()) == "host_not_allowed"


def test_a_redirect_is_held_against_the_same_rules() -> None:
    base = "https://example.org/a/b"
    assert str(target_of("../c", HOSTS, base=httpx2.URL(base)).url) == "https://example.org/c"
    assert refusal("//evil.com/", HOSTS, base) == "host_not_allowed"
    assert refusal("file:///etc/passwd", HOSTS, base) == "invalid_url"
    assert refusal("//user@example.org/", HOSTS, base) == "invalid_url"
    assert refusal("\\\\evil.com/", HOSTS, base) == "invalid_url"
