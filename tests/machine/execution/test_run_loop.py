"""How far the processor runs: to the limit and no further, also where time passes without instructions."""

from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, End, Mode, Program


def test_a_handler_that_faults_at_once_runs_to_the_limit_exactly() -> None:
    """REP STOSB destroys the handlers, and an instruction faults. Each further fault takes 1 ns."""
    values = dict.fromkeys(GENERAL, 0) | {"RAX": 2, "RCX": 216, "RDI": layout.HANDLERS + 1, "RSP": layout.STACK_POINTER}
    program = Program(bytes.fromhex("fcf3aa") + b"\xa1" + layout.ABSENT.to_bytes(4, "little"), Mode.PROTECTED, 0)
    native, stepping = Bench(), Bench(stepping=True)
    ends = []
    for limit in range(280, 320):
        endless = Program(program.code, program.mode, 0, registers=tuple(values.values()), limit=limit)
        result = native.run(endless, floating_point=False)
        assert result.end is End.LIMIT
        assert result == stepping.run(endless, floating_point=False)
        ends.append(native.machine.clock.now_ns)
    assert ends == list(range(ends[0], ends[0] + len(ends)))
