"""Plans: mistakes in one line, samples without lists, spaces without gaps."""

from pathlib import Path

import pytest

from enclave_sim.campaigns import AtTime, Bench, Injection, MemoryBits, PartFault, RegisterBits
from enclave_sim.campaigns.plan import read_plan
from enclave_sim.campaigns.spaces import _sample, strata_of
from enclave_sim.errors import ConfigurationError
from enclave_sim.memory_map import region

FAULTS = '[[faults]]\nmodel = "register"\n'


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("beacon")


def plan(directory: Path, text: str) -> Path:
    path = directory / "plan.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "faults is missing"),
        ("x = ", "is not TOML: "),
        ("faults = []", "there are 0 faults tables; a plan has 1 to 100"),
        ("[campaignn]\n" + FAULTS, "the plan: unknown key 'campaignn'; did you mean campaign? there are campaign, "),
        ("[campaign]\nsede = 1\n" + FAULTS, "[campaign]: unknown key 'sede'; did you mean seed? there are payload, "),
        ("[campaign]\nseed = -1\n" + FAULTS, "seed is -1; it must be 0 to "),
        ("[campaign]\nlimit = 'soon'\n" + FAULTS, "'soon' is not a time such as"),
        ("[options]\ncylces = 2\n" + FAULTS, "[options]: unknown key 'cylces'; did you mean cycles? there are "),
        ("[options]\ncycles = 0\n" + FAULTS, "cycles is 0; it must be 1 to "),
        (
            "[sampling]\nmethod = 'some'\n" + FAULTS,
            "sampling.method is 'some', which is not one of the possible ",
        ),
        ("[sampling]\nerror = 2.0\n" + FAULTS, "error is 2.0; it must be between 0 and 1"),
        ("[sampling]\nruns = 'x'\n" + FAULTS, "sampling.runs is a text; it must be a whole number"),
        ('[[faults]]\nmodel = "registerr"\n', "faults table 1: there is no model 'registerr'; did you mean register? "),
        (FAULTS + 'phase = "MEM_MAP"\nevent = "woken"\n', "faults table 1: phase and event exclude each other"),
        (FAULTS + "bits = [64]\n", "faults table 1: bits are [64]; each must be 0 to 63"),
        (FAULTS + "burst = 0\n", "faults table 1: burst is 0; it must be 1 to 64"),
        (FAULTS + "visits = 0\n", "faults table 1: visits is 0; it must be 1 to 1000000"),
        ("directory = 'x'\n" + FAULTS, "unknown key 'directory'; a plan has campaign, options, sampling, faults"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, error: str) -> None:
    path = plan(tmp_path, text)
    with pytest.raises(ConfigurationError) as raised:
        read_plan(path)
    assert str(raised.value).startswith((f"{path}: {error}", f"{path} {error}"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            FAULTS + 'where = ["idtr_bsae"]\n',
            "faults table 1: there is no register 'idtr_bsae'; did you mean idtr_base? ",
        ),
        (
            '[[faults]]\nmodel = "memory"\nwhere = ["heep"]\n',
            "faults table 1: there is no region 'heep'; did you mean heap",
        ),
        (FAULTS + 'phase = "EXEC_LOP"\n', "faults table 1: the run has no phase 'EXEC_LOP'; it has PROT_ENTRY, "),
        (FAULTS + 'time = ["2 s", "3 s"]\n', "faults table 1: time is ['2 s', '3 s']; the run ends at 1613751 ns"),
        (FAULTS + "instructions = [5, 5]\n", "faults table 1: instructions are [5, 5]; the second must be above"),
        (
            "[sampling]\nmethod = 'classes'\n" + FAULTS,
            "faults table 1: classes are of general registers or memory, and instr",
        ),
        ('[[faults]]\nmodel = "instruction"\nwhere = ["slip"]\n', "faults table 1: instruction has no effect 'slip'"),
    ],
)
def test_a_plan_that_its_enclave_cannot_run_is_one_line(tmp_path: Path, bench: Bench, text: str, error: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        strata_of(read_plan(plan(tmp_path, text)), bench)
    assert str(raised.value).startswith(error)


def test_a_space_is_a_product(tmp_path: Path, bench: Bench) -> None:
    text = '[sampling]\nmethod = "all"\n[[faults]]\nmodel = "memory"\nwhere = ["data"]\n'
    text += 'time = ["100 ns", "110 ns"]\nevery = "5 ns"\n'
    (stratum,) = strata_of(read_plan(plan(tmp_path, text)), bench)
    data = region("data")
    assert stratum.space.size == len(stratum.numbers) == data.size * 8 * 2
    assert stratum.space.injection(0) == Injection(MemoryBits(data.base, 1), AtTime(100))
    assert stratum.space.injection(data.size * 8 + 9) == Injection(MemoryBits(data.base + 1, 2), AtTime(105))


def test_bits_that_a_register_does_not_have_are_not_in_the_space(tmp_path: Path, bench: Bench) -> None:
    text = '[sampling]\nmethod = "all"\n[[faults]]\nmodel = "register"\nwhere = ["efer"]\nevent = "cycle_began"\n'
    (stratum,) = strata_of(read_plan(plan(tmp_path, text)), bench)
    faults = [stratum.space.injection(number).fault for number in stratum.numbers]
    assert faults == [RegisterBits("efer", 1), RegisterBits("efer", 1 << 11)]


def test_without_a_moment_each_phase_is_a_stratum(tmp_path: Path, bench: Bench) -> None:
    strata = strata_of(read_plan(plan(tmp_path, FAULTS)), bench)
    phases = ["before the kernel", "PROT_ENTRY", "MEM_MAP", "WASM_INIT", "EXEC_LOOP"]
    assert [one.space.name for one in strata] == [f"register general {phase}" for phase in phases]
    assert sum(one.space.population for one in strata) == 16 * 64 * bench.golden.end_ns
    assert all(len(one.numbers) == 385 for one in strata)


def test_the_weights_of_classes_are_the_population(tmp_path: Path, bench: Bench) -> None:
    text = (
        '[sampling]\nmethod = "classes"\n[[faults]]\nmodel = "register"\nbits = [3]\ninstructions = [116800, 116900]\n'
    )
    (stratum,) = strata_of(read_plan(plan(tmp_path, text)), bench)
    assert stratum.space.population == 100 * 16
    assert sum(map(stratum.space.weight, stratum.numbers)) == 100 * 16


def test_the_weights_of_classes_of_memory_are_the_population(tmp_path: Path, bench: Bench) -> None:
    end = region("call_stack").end
    text = '[sampling]\nmethod = "classes"\n[[faults]]\nmodel = "memory"\nbits = [3, 4]\n'
    text += f"addresses = [{end - 16}, {end}]\ninstructions = [116900, 117000]\n"
    (stratum,) = strata_of(read_plan(plan(tmp_path, text)), bench)
    assert stratum.space.population == 100 * 16 * 2 == sum(map(stratum.space.weight, stratum.numbers))
    assert len(stratum.numbers) < 300
    assert stratum.space.injection(1).fault == MemoryBits(end - 16, 1 << 4)


def test_each_effect_of_a_part_has_a_value(tmp_path: Path, bench: Bench) -> None:
    text = '[sampling]\nmethod = "all"\n[[faults]]\nmodel = "tpm"\nevent = "cycle_began"\n'
    text += '[[faults]]\nmodel = "mailbox"\nvalues = [1, 0xFF]\nevent = "cycle_began"\n'
    first, second = strata_of(read_plan(plan(tmp_path, text)), bench)
    assert [first.space.injection(number).fault for number in first.numbers] == [
        PartFault("tpm", "delay", 1_000_000),
        PartFault("tpm", "error", 0x101),
        PartFault("tpm", "fail", 1),
    ]
    assert len(second.numbers) == 2


def test_a_sample_is_fixed_and_has_no_number_twice() -> None:
    assert _sample(10**15, 5, 1, 0) == _sample(10**15, 5, 1, 0) != _sample(10**15, 5, 2, 0)
    assert sorted(set(_sample(50, 50, 1, 0))) == list(range(50))
    counts = [0] * 10
    for seed in range(400):
        for number in _sample(10, 3, seed, 0):
            counts[number] += 1
    assert all(80 <= count <= 160 for count in counts)
