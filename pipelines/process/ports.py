"""Whether a server can have its port, which is asked before anything starts."""

import socket

from mixste.errors import MixsteError


def refuse_taken(host: str, port: int, command: str) -> None:
    """Raise MixsteError if another process listens at `host:port`; `command` ends where another port is named."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            mend = f"another one: `{command}{port + 1}`"
            raise MixsteError(f"cannot serve at {host}:{port}", found=error.strerror, mend=mend) from error
