"""Ends a served inspector when its server is gone: killed, it tells nobody, and the inspector would run forever."""

import os
import select
import signal
import threading


def end_with_server(file: int = 0) -> None:
    """End this process, by SIGTERM, when the server closes the pipe to its standard input.

    Args:
        file: The descriptor of the pipe's end here.
    """
    threading.Thread(target=_watch, args=(file,), name="server watch", daemon=True).start()


def _watch(file: int) -> None:
    server = select.poll()
    server.register(file, 0)  # what the server writes is not for this thread; a hang-up is always reported
    server.poll()
    os.kill(os.getpid(), signal.SIGTERM)
