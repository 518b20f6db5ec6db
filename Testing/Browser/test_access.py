"""Who gets in: programs and pages that have no business here do not."""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
from phantom_volume import BALL

STATUS_REFUSED = (401, 403)


def status_of(url: str, data: bytes | None = None, **headers: str) -> int:
    """The HTTP status of a request without cookies."""
    try:
        request = urllib.request.Request(url, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()})
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


def websocket_status(url: str, **headers: str) -> int:
    """The HTTP status that a request for a WebSocket gets; 101 is a connection."""
    found = urlsplit(url)
    connection = http.client.HTTPConnection(found.hostname, found.port, timeout=10)
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # RFC 6455's own example
    connection.request("GET", found.path, headers={**handshake, **key, **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def parts(url: str) -> tuple[str, str]:
    """http://host:port without what follows, and the host with its port."""
    found = urlsplit(url)
    return f"http://127.0.0.1:{found.port}", f"127.0.0.1:{found.port}"


@pytest.fixture
def reachable(start, image):
    """A viewer that other machines can reach."""
    return start(image, "--host", "0.0.0.0")


def test_other_machines_need_the_token(reachable, open_page):
    base, _ = parts(reachable.url)
    token_part = urlsplit(reachable.url).query or urlsplit(reachable.url).fragment
    assert len(token_part) > 30
    for path in ("/", "/index.html", "/download?format=.nii.gz"):
        assert status_of(base + path) in STATUS_REFUSED, path
        assert status_of(f"{base}{path}{'&' if '?' in path else '?'}token=wrong") in STATUS_REFUSED, path
    assert status_of(f"{base}/upload?name=a.nii.gz", b"data") in STATUS_REFUSED
    assert websocket_status(f"{base}/ws") in STATUS_REFUSED
    viewer = open_page(f"{base}/?{urlsplit(reachable.url).query}")
    viewer.click_voxel("red", BALL)
    assert viewer.segments[0][1] == 1
    assert "token" not in viewer.page.url


def test_pages_of_other_sites_get_nothing(start, image):
    base, host = parts(start(image).url)
    assert status_of(f"{base}/") == 200
    assert status_of(f"{base}/", Host="evil.example") in STATUS_REFUSED
    assert websocket_status(f"{base}/ws", Origin=f"http://{host}") == 101
    assert websocket_status(f"{base}/ws", Origin="http://evil.example") in STATUS_REFUSED
    assert status_of(f"{base}/upload?name=a.nii.gz", b"data", Origin="http://evil.example") in STATUS_REFUSED


def own_address() -> str | None:
    """This machine's address in its network; nothing is sent to learn it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


def test_only_loopback_listens_unless_told_otherwise(service):
    own = own_address()
    if own is None or own.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with pytest.raises(OSError):
        socket.create_connection((own, urlsplit(service.url).port), timeout=3).close()
