"""The socket that the server listens on. The supervisor opens it, so that it outlives a web process that restarts."""

from __future__ import annotations

import socket

from antivenom.core.errors import UnavailableError

HINT = "choose another with --host and --port (or ANTIVENOM_HOST, ANTIVENOM_PORT); port 0 means any free one"


def open_listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        UnavailableError: The port is taken, or the address cannot be used.
    """
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(kind, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == socket.AF_INET6 and host == "::":
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
        listening.listen(2048)
    except UnicodeError:  # from the codec of host names
        raise UnavailableError(f"cannot listen on {host}: that is no host name", hint=HINT) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UnavailableError(f"cannot listen on {host}:{port}: {reason}", hint=HINT) from None
    listening.setblocking(False)
    return listening


def address_of(listening: socket.socket) -> str:
    """The URL under which this machine reaches the socket."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
