"""The entry point of `enclave-sim`."""

import gc

from enclave_sim.cli.exit_codes import ExitCode


def main() -> None:
    """Run the command line with the process's arguments, and end the process."""
    try:
        from enclave_sim.cli.app import app  # noqa: PLC0415 - a defect may be met on the way

        app.main()
    except Exception:  # noqa: BLE001 - any other exception is a defect of ours, and shown with its traceback
        import traceback  # noqa: PLC0415

        traceback.print_exc()
        raise SystemExit(int(ExitCode.DEFECT)) from None
    finally:
        gc.freeze()  # otherwise the interpreter spends a fifth of a short run on cycles in what the process gives back
