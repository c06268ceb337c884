"""The time until a step of the inspector is on the screen: a part of `tests/bench.py`."""

import asyncio
import statistics
from random import Random
from time import perf_counter

from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.session.sources import source_of

_STEPS = (
    *("step", "step", "step", "over", "line", "ten", "call", "transition", "phase", "event"),
    *("back", "back_ten", "back_over", "back_event", "back_transition"),
)
_SOMEWHERE_ELSE = 40
"""After this many steps the walk restarts."""


def steps(size: tuple[int, int], count: int) -> tuple[list[float], float]:
    """Milliseconds from each of `count` steps, of all kinds and in both directions, to the drawn screen, in order; and
    those of a million additions, some measured between the steps.
    """
    taken: list[float] = []
    references: list[float] = []
    chance = Random(1)

    async def main() -> None:
        app = Inspector(source_of(("counter",), EnclaveOptions.of(cycles=2)).open)
        async with app.run_test(size=size):
            await _settled(app)
            for number in range(count):
                if not number % _SOMEWHERE_ELSE:
                    references.append(_million_additions_ms())
                    for name in ("beginning", *("phase",) * chance.randrange(5)):
                        app.action_move(name)
                    await _settled(app)
                taken.append(await _step_ms(app, chance.choice(_STEPS)))

    asyncio.run(main())
    return sorted(taken), statistics.median(references)


async def _step_ms(app: Inspector, name: str) -> float:
    answered, drawn, begun = app.desk.answered, asyncio.Event(), perf_counter()
    app.action_move(name)
    while app.desk.answered == answered:
        await asyncio.sleep(0.001)
    app.screen.call_after_refresh(drawn.set)
    await drawn.wait()
    taken = (perf_counter() - begun) * 1e3
    await _settled(app)
    return taken


async def _settled(app: Inspector) -> None:
    while app.desk.seen is None or app.desk.session.waiting or app.desk.answered != app.desk.session.shown:
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.02)


def _million_additions_ms() -> float:
    begun, total = perf_counter(), 0
    for number in range(1_000_000):
        total += number
    return (perf_counter() - begun) * 1e3 if total else 0.0
