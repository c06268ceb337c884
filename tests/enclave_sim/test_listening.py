"""Listening at an address: whatever cannot be used is refused in one line."""

import socket

import pytest

from enclave_sim.attestation.service import server as verifier
from enclave_sim.errors import ConfigurationError
from enclave_sim.gdb import server as gdb
from enclave_sim.inspector.serving import web
from enclave_sim.listening import listen


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 70_000, "port is 70000; it must be 0 to 65535, and 0 chooses a free one"),
        ("127.0.0.1", -1, "port is -1; it must be 0 to 65535, and 0 chooses a free one"),
        ("a..b", 0, "cannot listen at a..b port 0: that is not a host name"),
        ("a" * 70, 0, f"cannot listen at {'a' * 70} port 0: that is not a host name"),
        ("\ud800", 0, "cannot listen at \ud800 port 0: that is not a host name"),
        ("192.0.2.1", 0, "cannot listen at 192.0.2.1 port 0: Cannot assign requested address"),
    ],
)
def test_an_address_or_port_that_cannot_be_used_is_refused(host: str, port: int, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        listen(host, port)
    assert str(error.value) == message


def test_a_port_in_use_is_refused() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        words = f"port {port}: Address already in use; port 0 chooses a free one$"
        with pytest.raises(ConfigurationError, match=words):
            listen("127.0.0.1", port)


def test_every_service_listens_in_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> socket.socket:
        raise ConfigurationError("no socket")

    for module in (verifier, gdb, web):
        monkeypatch.setattr(module, "listen", refuse)
    with pytest.raises(ConfigurationError, match="no socket"):
        web.serve("true", "127.0.0.1", 1)
    with pytest.raises(ConfigurationError, match="no socket"):
        verifier._bound("127.0.0.1", 0)
