"""Commands that prepare gdb: symbols, sources, and features missing in its protocol.

A server cannot inform gdb that a `monitor` command has moved the run: gdb caches registers and memory until the next
stop. So gdb itself must drop its caches after each of these commands.
"""

import re
from pathlib import Path

from enclave_sim.errors import ConfigurationError
from firmware import Firmware, built_in

_LOOK_AGAIN = """\
define hookpost-monitor
  maintenance flush register-cache
  maintenance flush dcache
end
"""


def script(image: Path | None, kernel: Firmware | None = None) -> str:
    """Return the commands as text.

    Args:
        image: The served kernel image; None for an enclave's.
        kernel: The enclave's firmware; None for the built-in one.

    Raises:
        ConfigurationError: The path has a line break, which a command cannot contain.
    """
    if image is not None:
        return f"file {_quoted(image)}\n{_LOOK_AGAIN}"
    path = (kernel or built_in()).path
    return f"file {_quoted(path)}\ndirectory {_quoted(path.parent / 'src')}\n{_LOOK_AGAIN}"


def _quoted(path: Path) -> str:
    """Return the absolute path as one word of gdb."""
    text = str(path.absolute())
    if len(text.splitlines()) > 1:
        raise ConfigurationError(f"the path {text!r} has a line break, which gdb cannot be given")
    return re.sub(r"([^\w/.~+-])", r"\\\1", text)
