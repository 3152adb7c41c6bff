"""`syncws._protocol.proxy`: which proxy a URL has, by the option and by the environment."""

from __future__ import annotations

import itertools
import urllib.request

import pytest

from syncws._protocol.proxy import Proxy, choose_proxy, connect_request, is_loopback, parse_proxy
from syncws._protocol.url import parse_url
from syncws._version import __version__

PARSED: list[tuple[str, Proxy]] = [
    ("http://proxy", Proxy("http", "proxy", 80)),
    ("https://proxy", Proxy("https", "proxy", 443)),
    ("http://proxy.example:3128", Proxy("http", "proxy.example", 3128)),
    ("HTTP://PROXY.example:3128/", Proxy("http", "proxy.example", 3128)),
    ("proxy.example:3128", Proxy("http", "proxy.example", 3128)),
    ("  proxy.example ", Proxy("http", "proxy.example", 80)),
    ("10.0.0.1:3128", Proxy("http", "10.0.0.1", 3128)),
    ("http://[::1]:3128", Proxy("http", "::1", 3128)),
    ("[2001:DB8::1]:3128", Proxy("http", "2001:db8::1", 3128)),
    ("http://[fe80::1%25eth0]:1", Proxy("http", "fe80::1%eth0", 1)),
    ("http://bücher.example", Proxy("http", "xn--bcher-kva.example", 80)),
    ("socks4://p", Proxy("socks4", "p", 1080)),
    ("socks4a://p", Proxy("socks4a", "p", 1080)),
    ("socks5://p:9", Proxy("socks5", "p", 9)),
    ("socks5h://p", Proxy("socks5h", "p", 1080)),
    ("socks://127.0.0.1:1080/", Proxy("socks5h", "127.0.0.1", 1080)),
    ("http://user:pass@p", Proxy("http", "p", 80, ("user", "pass"))),
    ("user:pass@p:1", Proxy("http", "p", 1, ("user", "pass"))),
    ("http://us%40er:p%3Aa:ss%2F@p", Proxy("http", "p", 80, ("us@er", "p:a:ss/"))),
    ("http://a@b:c@p", Proxy("http", "p", 80, ("a@b", "c"))),
    ("http://user@p", Proxy("http", "p", 80, ("user", ""))),
    ("http://:@p", Proxy("http", "p", 80)),
    ("http://p:", Proxy("http", "p", 80)),
    ("http://p/path?query", Proxy("http", "p", 80)),
]

BAD = [
    *(
        "",
        "http://",
        "ftp://p",
        "socks6://p",
        "://p",
        "http://p:x",
        "http://p:65536",
        "http://p:" + "9" * 5000,
    ),
    *(
        "http://[::1",
        "http://::1",
        "http://[::g]",
        "http://a b",
        "http://p:1:2",
        "http://1.2.3.4.5",
        "http://@",
    ),
]


@pytest.mark.parametrize(("text", "proxy"), PARSED)
def test_url_of_a_proxy_is_parsed_with_or_without_a_scheme(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_url_of_a_proxy_is_a_value_error_that_names_its_source(text: str) -> None:
    with pytest.raises(ValueError, match="^https_proxy in the environment: .* is no URL of a proxy"):
        parse_proxy(text, "https_proxy in the environment")


@pytest.mark.parametrize(
    "text",
    [
        *("http://s3cret:s3cret@p:x", "s3cret:s3cret@[p", "ftp://s3cret@p", "http://s3cret:s3/cret@p"),
        *("http://s3cret:s3cret#s3cret@p:1", "http://p:x?s3cret", "s3cret:s3cret?@p", "http://s3cret@p:1:s3"),
    ],
)
def test_error_shows_no_credentials(text: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        parse_proxy(text)
    assert "s3cret" not in str(caught.value) and caught.value.__context__ is None


def test_repr_and_public_form_show_no_credentials() -> None:
    proxy = parse_proxy("http://user:s3cret@[::1]:3128")
    assert proxy.public == "http://[::1]:3128"
    assert repr(proxy) == "Proxy('http://[::1]:3128')"


def choose(url: str, environment: dict[str, str], option: str | None = "auto") -> str | None:
    proxy = choose_proxy(option, parse_url(url), environment)
    return None if proxy is None else proxy.public


ALL = {"http_proxy": "http://h:1", "https_proxy": "http://s:2", "all_proxy": "socks5h://a:3"}


def test_option_goes_before_the_environment() -> None:
    assert choose("ws://x/", ALL, None) is None
    assert choose("ws://x/", ALL, "http://mine:4") == "http://mine:4"
    # It is asked for, so it is used for this machine too, and for what no_proxy names.
    assert choose("ws://localhost/", {"no_proxy": "*"}, "http://mine:4") == "http://mine:4"


ENVIRONMENTS: list[tuple[dict[str, str], str | None, str | None]] = [
    # The environment, the proxy for ws://x/ and that for wss://x/.
    ({}, None, None),
    (ALL, "http://h:1", "http://s:2"),
    ({"http_proxy": "h:1"}, "http://h:1", None),
    ({"https_proxy": "h:1"}, None, "http://h:1"),
    ({"all_proxy": "h:1"}, "http://h:1", "http://h:1"),
    ({"HTTP_PROXY": "h:1"}, "http://h:1", None),
    ({"HTTPS_PROXY": "h:1"}, None, "http://h:1"),
    ({"ALL_PROXY": "h:1"}, "http://h:1", "http://h:1"),
    ({"https_proxy": "low:1", "HTTPS_PROXY": "up:2"}, None, "http://low:1"),
    ({"https_proxy": "", "HTTPS_PROXY": "up:2"}, None, None),
    ({"https_proxy": "", "all_proxy": "a:1"}, "http://a:1", "http://a:1"),
    ({"Https_Proxy": "h:1"}, None, "http://h:1"),
    ({"HTTPS_PROXY": ""}, None, None),
    ({"HTTP_PROXY": "h:1", "REQUEST_METHOD": "GET"}, None, None),
    ({"http_proxy": "h:1", "REQUEST_METHOD": "GET"}, "http://h:1", None),
    ({"HTTPS_PROXY": "h:1", "REQUEST_METHOD": "GET"}, None, "http://h:1"),
    ({"ws_proxy": "h:1", "wss_proxy": "h:2", "ftp_proxy": "h:3"}, None, None),
    ({**ALL, "no_proxy": "x"}, None, None),
    ({**ALL, "NO_PROXY": "x"}, None, None),
    ({**ALL, "no_proxy": "", "NO_PROXY": "x"}, "http://h:1", "http://s:2"),
    ({**ALL, "no_proxy": "x:80"}, None, "http://s:2"),
    ({**ALL, "no_proxy": "*"}, None, None),
]


@pytest.mark.parametrize(("environment", "plain", "secure"), ENVIRONMENTS)
def test_environment_is_read_as_urllib_reads_it(
    environment: dict[str, str], plain: str | None, secure: str | None
) -> None:
    assert choose("ws://x/", environment) == plain
    assert choose("wss://x/", environment) == secure


LISTED: list[tuple[str, str, bool]] = [
    # no_proxy, the URL, and whether it is named.
    ("b\u00fccher.example", "ws://b\u00fccher.example/", True),
    ("b\u00fccher.example", "ws://a.xn--bcher-kva.example/", True),
    ("xn--bcher-kva.example", "ws://b\u00fccher.example/", True),
    ("b\u00fc<>.example, \u00ad", "ws://b\u00fccher.example/", False),
    ("", "ws://x/", False),
    ("*", "ws://x/", True),
    ("y, *", "ws://x/", True),
    ("example.com", "ws://example.com/", True),
    ("EXAMPLE.com", "ws://example.COM/", True),
    ("example.com", "ws://a.b.example.com/", True),
    ("example.com", "ws://badexample.com/", False),
    ("example.com", "ws://example.com.evil/", False),
    (".example.com", "ws://a.example.com/", True),
    (".example.com", "ws://example.com/", True),
    ("*.example.com", "ws://a.example.com/", True),
    ("example.com.", "ws://example.com/", True),
    ("example.com", "ws://example.com./", True),
    ("com", "ws://example.com/", True),
    ("y,  example.com ,z", "ws://example.com/", True),
    ("y example.com", "ws://example.com/", True),
    ("example.com:80", "ws://example.com/", True),
    ("example.com:443", "ws://example.com/", False),
    ("example.com:443", "wss://example.com/", True),
    ("example.com:8080", "ws://example.com:8080/", True),
    ("example.com:8080", "ws://a.example.com:8080/", True),
    ("example.com:8080", "ws://example.com:8081/", False),
    ("10.0.0.1", "ws://10.0.0.1/", True),
    ("10.0.0.1", "ws://10.0.0.10/", False),
    ("0.0.1", "ws://10.0.0.1/", False),
    ("10.0.0.1:80", "ws://10.0.0.1/", True),
    ("10.0.0.0/8", "ws://10.200.0.1/", True),
    ("10.0.0.0/8", "ws://11.0.0.1/", False),
    ("10.0.0.1/32", "ws://10.0.0.1/", True),
    ("10.0.0.1/32", "ws://10.0.0.2/", False),
    ("0.0.0.0/0", "ws://10.0.0.2/", True),
    ("0.0.0.0/0", "ws://[2001:db8::1]/", False),
    ("10.0.0.0/33", "ws://10.0.0.1/", False),
    ("10.0.0.0/", "ws://10.0.0.0/", True),
    ("10.0.0.0/x", "ws://10.0.0.0/", False),
    ("10.0.0.0/8", "ws://ten.example/", False),
    ("2001:db8::1", "ws://[2001:db8::1]/", True),
    ("[2001:DB8:0::1]", "ws://[2001:db8::1]/", True),
    ("2001:db8::2", "ws://[2001:db8::1]/", False),
    ("[2001:db8::1]:80", "ws://[2001:db8::1]/", True),
    ("[2001:db8::1]:81", "ws://[2001:db8::1]/", False),
    ("2001:db8::/32", "ws://[2001:db8:5::1]/", True),
    ("2001:db8::/32", "ws://[2001:db9::1]/", False),
    ("10.0.0.0/8", "ws://[::ffff:10.1.2.3]/", True),
    ("fe80::/10", "ws://[fe80::1%25eth0]/", True),
]


@pytest.mark.parametrize(("no_proxy", "url", "named"), LISTED)
def test_no_proxy_names_hosts_domains_networks_and_ports(no_proxy: str, url: str, named: bool) -> None:
    assert choose(url, {"all_proxy": "http://p", "no_proxy": no_proxy}) == (None if named else "http://p:80")


def test_names_are_matched_as_urllib_matches_them() -> None:
    hosts = ["example.com", "a.example.com", "a.b.example.com", "example.org", "badexample.com", "x"]
    entries = ["example.com", ".example.com", "a.example.com", "x", "com", "example.com:80", "*", ""]
    for host, port in itertools.product(hosts, ("", ":80", ":81")):
        for no_proxy in (*entries, "x,example.com", " x , .example.org "):
            url = parse_url(f"ws://{host}{port}/")
            theirs = urllib.request.proxy_bypass_environment(f"{host}:{url.effective_port}", {"no": no_proxy})  # type: ignore[attr-defined]
            ours = choose(str(url), {"http_proxy": "p", "no_proxy": no_proxy}) is None
            assert ours == bool(theirs), (host, port, no_proxy)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.255.0.9", "0x7f.1", "[::1]"),
        "[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_needs_no_proxy(host: str) -> None:
    url = parse_url(f"ws://{host}/")
    assert is_loopback(url.hostname)
    assert choose(str(url), ALL) is None


@pytest.mark.parametrize("host", ["localhost.example", "notlocalhost", "128.0.0.1", "[::2]", "0.0.0.0"])
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(parse_url(f"ws://{host}/").hostname)


def test_variable_that_is_no_url_is_named_and_not_shown() -> None:
    with pytest.raises(ValueError, match="^https_proxy in the environment") as caught:
        choose("wss://x/", {"HTTPS_PROXY": "http://user:s3cret@p:port"})
    assert "s3cret" not in str(caught.value)
    assert choose("ws://x/", {"HTTPS_PROXY": "http://user:s3cret@p:port"}) is None


def test_request_has_the_target_twice_and_the_credentials() -> None:
    head = b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nUser-Agent: syncws/" + __version__.encode() + b"\r\n"
    assert connect_request("h:443", parse_proxy("http://p")) == head + b"\r\n"
    secret = b"Proxy-Authorization: Basic dXM6ZXI6cMOkc3M=\r\n\r\n"
    assert connect_request("h:443", parse_proxy("http://us:er:p%C3%A4ss@p")) == head + secret


def test_kinds_of_proxies() -> None:
    kinds = {
        scheme: (proxy.is_http, proxy.secure, proxy.resolves)
        for scheme in ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
        if (proxy := parse_proxy(f"{scheme}://p"))
    }
    assert kinds == {
        "http": (True, False, True),
        "https": (True, True, True),
        "socks4": (False, False, False),
        "socks4a": (False, False, True),
        "socks5": (False, False, False),
        "socks5h": (False, False, True),
    }


@pytest.mark.parametrize("userinfo", ["s3cret\udce4:x", "x:s3cret\ud800"])
def test_credentials_that_are_not_utf_8_are_told_without_quoting_them(userinfo: str) -> None:
    """As Python decodes a variable of the environment whose bytes are Latin-1."""
    with pytest.raises(ValueError, match="https_proxy in the environment.*%-encoded") as caught:
        choose("wss://h/", {"https_proxy": f"http://{userinfo}@p"})
    assert "s3cret" not in repr(caught.value)
