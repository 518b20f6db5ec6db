"""Who is let in: loopback alone without a token, and no page of another site."""

from __future__ import annotations

import pytest

from sam3dseg_viewer.access import Gate, Request, is_loopback, new_token

LOCAL = Gate("127.0.0.1")
TOKEN = new_token()
OPEN = Gate("0.0.0.0", TOKEN)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_everything_else(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "workstation", ""])
def test_reachable_server_without_a_token_cannot_be_made(host):
    with pytest.raises(ValueError, match="expected a token"):
        Gate(host)


def test_tokens_are_long_and_never_the_same():
    assert len(TOKEN) >= 40 and new_token() != TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost"])
def test_requests_of_this_machine_pass(host):
    assert LOCAL.refusal(Request(host)) is None
    assert LOCAL.refusal(Request(host, origin=f"http://{host}")) is None


@pytest.mark.parametrize(
    "host", ["evil.example:8080", "evil.example", "192.168.1.2:8080", "", "[::1", "127.0.0.1.nip.io"]
)
def test_host_of_another_name_is_refused_on_loopback(host):
    assert "expected a request to 127.0.0.1" in LOCAL.refusal(Request(host))


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://127.0.0.1:9999", "http://localhost:8080", "null", "file://", "http://127.0.0.1"],
)
@pytest.mark.parametrize("gate", [LOCAL, OPEN], ids=["loopback", "reachable"])
def test_pages_of_other_sites_and_ports_are_refused(gate, origin):
    asked = Request("127.0.0.1:8080", origin=origin, token=TOKEN)
    assert "expected a request of this page" in gate.refusal(asked)


def test_reachable_server_wants_its_token_in_the_address_or_in_the_cookie():
    host = "192.168.1.2:8080"
    cookie = OPEN.cookie_name(host)
    assert OPEN.refusal(Request(host, token=TOKEN)) is None
    assert OPEN.refusal(Request(host, cookies={cookie: TOKEN})) is None
    for asked in (
        Request(host),
        Request(host, token=""),
        Request(host, token=TOKEN[:-1]),
        Request(host, token=TOKEN + "a"),
        Request(host, token="ä"),
        Request(host, cookies={cookie: "wrong"}),
        Request(host, cookies={"sam3dseg_9": TOKEN}),
    ):
        assert "expected the token" in OPEN.refusal(asked)


def test_no_refusal_repeats_the_token():
    assert TOKEN not in OPEN.refusal(Request("192.168.1.2:8080", token="wrong"))
    assert TOKEN not in OPEN.refusal(Request("192.168.1.2:8080", origin="http://evil.example", token=TOKEN))


def test_servers_on_other_ports_have_other_cookies():
    assert OPEN.cookie_name("host:8080") != OPEN.cookie_name("host:8081")
