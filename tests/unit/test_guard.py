"""Which URLs and addresses pass."""

from ipaddress import ip_address

import pytest

from core.errors import ConfigurationError
from rubato.adapters.http.guard import AddressPolicy, check_url

REFUSED = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://10.0.0.1/",
    "http://10.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://169.254.169.254/",
    "http://100.64.0.1/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://168.63.129.16/",
    "http://192.0.0.1/",
    "http://192.88.99.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fd12:3456::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[2001::1]/",
    "http://[2002:7f00:1::]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[100::1]/",
    "http://[3fff::1]/",
    "http://[::127.0.0.1]/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://a.localhost/",
    "http://user@example.com/",
    "http://user:pw@example.com/",
    "http://@example.com/",
    "http://example.com:0/",
    "http://example.com:22/",
    "http://example.com:70000/",
    "http://example.com:x/",
    "http:///path",
    "http://",
    "https://",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "example.com",
    "//example.com/",
    "http:example.com",
    "http://example.com\\@127.0.0.1/",
    "http://ex%61mple.com/",
    "http://%31%32%37.0.0.1/",
    "http://１２７.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://-bad.example/",
    "http://bad-.example/",
    "http://a..b/",
    "http://.example/",
    "http://[127.0.0.1]/",
    "http://[::1",
    "http://::1/",
    "http://1.2.3.4.5/",
    "http://256.1.1.1/",
    "http://example.com:/",
]

PASS = [
    "http://example.com/",
    "https://example.com/a/b?c=d#e",
    "https://example.com:8443/",
    "http://sub.domain.example.org:8080/x",
    "http://8.8.8.8/",
    "http://1.1.1.1:8000/",
    "http://[2606:4700:4700::1111]/",
    "https://xn--bcher-kva.example/",
    "http://a_b.example/",
    "http://example.com./",
    "HTTP://EXAMPLE.COM/",
    "https://example.com/%7Euser",
    "https://example.com/?u=http://127.0.0.1/",
    "http://172.32.0.1/",
    "http://192.169.0.1/",
    "http://11.0.0.1/",
    "http://100.128.0.1/",
]


@pytest.mark.parametrize(
    "url",
    [*REFUSED, "http://exam\tple.com/", "http://exa mple.com/", "http://example.com/\n", "http://a\0b/", "x" * 3000],
)
def test_what_is_no_public_http_address_is_refused_with_a_remedy(url: str) -> None:
    issues = check_url(url, AddressPolicy())
    assert issues, url
    assert {issue.pointer for issue in issues} == {"/url"}
    assert len(issues[0].detail) > 20


@pytest.mark.parametrize("url", PASS)
def test_what_is_public_passes(url: str) -> None:
    assert check_url(url, AddressPolicy()) == []


@pytest.mark.parametrize(
    ("allow", "url", "passes"),
    [
        ("loopback", "http://127.0.0.1:9000/", True),
        ("loopback", "http://localhost:9000/", True),
        ("loopback", "http://[::1]:9000/", True),
        ("loopback", "http://10.0.0.1/", False),
        ("10.1.0.0/16", "http://10.1.2.3/", True),
        ("10.1.0.0/16", "http://10.2.0.1/", False),
        ("10.1.2.3", "http://10.1.2.3/", True),
        ("fd00::/8", "http://[fd00::1]/", True),
        ("127.0.0.0/8", "http://127.0.0.1/", True),
    ],
)
def test_the_operator_opens_what_he_names_and_nothing_else(allow: str, url: str, passes: bool) -> None:
    assert (check_url(url, AddressPolicy([allow])) == []) is passes


def test_a_named_host_may_resolve_to_anything() -> None:
    policy = AddressPolicy(["Internal.Example"])
    assert policy.opens("internal.example")
    assert not policy.opens("other.example")


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "http://x", "a b", "10.0.0.1/8", "0x7f.1", ""])
def test_an_entry_that_is_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="RUBATO_EGRESS_ALLOW"):
        AddressPolicy([entry])


def test_addresses_are_judged_by_the_registries() -> None:
    policy = AddressPolicy()
    for address in ("8.8.8.8", "2606:4700::1111", "93.184.215.14"):
        assert policy.allows(ip_address(address)), address
    for address in ("10.9.9.9", "2002::1", "::1", "fe80::1%eth0", "198.19.255.255", "2001:1ff::1"):
        assert not policy.allows(ip_address(address)), address
