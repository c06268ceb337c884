"""Only this package of the project needs Hypothesis. Impossible bounds are refused at once."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.strategies import instruction_sequences, machine_code, wasm_guests


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_enclave_does_not_import_hypothesis() -> None:
    ran = python("import sys, enclave_sim; enclave_sim.Enclave('beacon').run(); print('hypothesis' in sys.modules)")
    assert ran.stdout == "False\n"


def test_without_hypothesis_one_line_says_what_to_install() -> None:
    ran = python("import sys; sys.modules['hypothesis'] = None; import enclave_sim.strategies")
    assert ran.stderr.splitlines()[-1] == (
        "ImportError: enclave_sim.strategies needs Hypothesis: pip install '.[testing]' in a clone, or 'WHEEL[testing]'"
    )
    assert "During handling" not in ran.stderr


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wasm_guests(min_size=5, max_size=4), "min_size is 5, which is more than max_size, 4"),
        (lambda: wasm_guests(min_size=-1), "min_size is -1; it must be 0 to 256"),
        (lambda: wasm_guests(max_size=257), "max_size is 257; it must be 0 to 256"),
        (lambda: wasm_guests(max_size=1.5), "max_size is 1.5; it must be an integer"),  # type: ignore[arg-type]
        (lambda: wasm_guests(memory_pages=0), "memory_pages is 0; it must be 1 to 64"),
        (lambda: wasm_guests(memory_pages=65), "memory_pages is 65; it must be 1 to 64"),
        (lambda: machine_code(min_size=9, max_size=8), "min_size is 9, which is more than max_size, 8"),
        (lambda: machine_code(max_size=(2 << 20) + 1), "max_size is 2097153; it must be 0 to 2097152"),
        (lambda: instruction_sequences(max_size=-1), "max_size is -1; it must be 0 to 4096"),
    ],
)
def test_impossible_bounds_are_refused_when_the_strategy_is_made(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()
