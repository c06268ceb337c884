"""The inspector in the browser: textual-serve starts one for each visitor, and stops it when the visitor leaves.

Whoever reaches the page controls a process of this user, which reads files: it is for the loopback interface, unless
one is told otherwise.
"""

import shlex
import sys
from collections.abc import Iterable, Sequence

from enclave_sim.errors import ConfigurationError

_WEB_OPTIONS = ("--port", "--host")


def command_of(arguments: Sequence[str]) -> str:
    """The command that a visitor gets: this one, without what is for the server."""
    return shlex.join([sys.executable, "-m", "enclave_sim", *_without_web(arguments)])


def _without_web(arguments: Iterable[str]) -> Iterable[str]:
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in _WEB_OPTIONS:
            skip = True
        elif argument != "--web" and not argument.startswith(tuple(f"{name}=" for name in _WEB_OPTIONS)):
            yield argument


def serve(command: str, host: str, port: int) -> None:
    """Serve until Ctrl-C. Raises ConfigurationError where that cannot be."""
    import socket  # noqa: PLC0415

    from textual_serve.server import Server  # noqa: PLC0415

    if not 1 <= port <= 0xFFFF:
        raise ConfigurationError(f"--port is {port}; it must be 1 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigurationError(f"cannot serve on {host} port {port}: {error.strerror}") from None
    Server(command, host=host, port=port, title="Enclave Sim").serve()
