"""Listening sockets of the services. An address or a port that cannot be used raises ConfigurationError."""

import errno
import os
import socket

from enclave_sim.errors import ConfigurationError

_LAST_PORT = 0xFFFF


def listen(host: str, port: int, backlog: int = 1) -> socket.socket:
    """Listen at an address.

    Args:
        host: A name or an address of this host.
        port: The TCP port; 0 chooses a free one.
        backlog: The number of connections that may wait to be accepted.

    Returns:
        The listening socket.

    Raises:
        ConfigurationError: The address cannot be used.
    """
    if not 0 <= port <= _LAST_PORT:
        raise ConfigurationError(f"port is {port}; it must be 0 to {_LAST_PORT}, and 0 chooses a free one")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=backlog)
    except UnicodeError:
        reason = "that is not a host name"
    except OSError as error:
        # The error's text repeats the address, so the plain reason is looked up; gaierror has its own codes.
        is_errno = error.errno is not None and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if is_errno else str(error.strerror)
        if error.errno == errno.EADDRINUSE:
            reason += "; port 0 chooses a free one"
    raise ConfigurationError(f"cannot listen at {host} port {port}: {reason}")
