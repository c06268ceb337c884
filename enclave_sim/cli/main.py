"""The entry point of `enclave-sim`.

Booting a small kernel takes less time than importing what the other commands need, so `boot` is dispatched before
anything else is imported.
"""

import sys
from typing import NoReturn

from enclave_sim.cli.exit_codes import ExitCode


def main() -> None:
    """Run the command line with the process's arguments, and end the process."""
    try:
        _main()
    except Exception:  # noqa: BLE001 - any other exception is a defect of ours, and shown with its traceback
        import traceback  # noqa: PLC0415

        traceback.print_exc()
        raise SystemExit(int(ExitCode.DEFECT)) from None


def _main() -> NoReturn:
    if sys.argv[1:2] == ["boot"]:
        from enclave_sim.cli.runs.boot import boot  # noqa: PLC0415

        raise SystemExit(boot(sys.argv[2:]))
    from enclave_sim.cli.app import app  # noqa: PLC0415

    app()
    raise SystemExit(0)
