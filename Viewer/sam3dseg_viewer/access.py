"""Who may talk to the server: this machine only unless told otherwise, and never another web page of the browser.

Host and Origin are checked against pages of other sites (cross-site requests and WebSockets, DNS rebinding); a server
that other machines can reach asks for a token as well.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

ANY_ADDRESS = ("0.0.0.0", "::")
TOKEN_BYTES = 32


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server on this host name or address."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True)
class Request:
    """What is known of a request before it is answered. token: from the address; cookies: by name."""

    host: str
    origin: str | None = None
    token: str | None = None
    cookies: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Gate:
    """Lets requests to one server in. token: None where none is needed, on loopback."""

    host: str
    token: str | None = None

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.token:
            raise ValueError(f"expected a token for the host {self.host}, received none: other machines reach it")

    def refusal(self, request: Request) -> str | None:
        """Why a request is refused, in one line; None where it may pass."""
        if not self._knows(request.host):
            return f"expected a request to {self.host}, received one to {request.host or '(no host)'}"
        if request.origin and urlsplit(request.origin).netloc.lower() != request.host.lower():
            return f"expected a request of this page, received one of {request.origin}"
        if self.token is not None and not (self.has_token(request) or self.has_cookie(request)):
            return "expected the token, received none or another: open the address that the server printed"
        return None

    def has_token(self, request: Request) -> bool:
        return _same(request.token, self.token)

    def has_cookie(self, request: Request) -> bool:
        return _same((request.cookies or {}).get(self.cookie_name(request.host)), self.token)

    def cookie_name(self, host: str) -> str:
        """Browsers share cookies between the ports of a host: the name tells them apart."""
        return f"sam3dseg_{urlsplit(f'//{host}').port or 80}"

    def _knows(self, host: str) -> bool:
        """On loopback, a host of another name is a page elsewhere whose name was pointed at this machine."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name:
            return False
        return is_loopback(name) if is_loopback(self.host) else True


def _same(received: str | None, expected: str | None) -> bool:
    return bool(received and expected) and hmac.compare_digest(str(received).encode(), str(expected).encode())
