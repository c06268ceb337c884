"""Ways to cheat: each gets nothing. Mallory's directory begins as a starting point; ada's work is solved."""

import json
import os
import random
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import firmware
import payloads
from enclave_sim.labs import workplace
from enclave_sim.labs.catalogue import LABS, find_lab
from enclave_sim.labs.grades import grade_directory, unique
from enclave_sim.labs.jitter.sources import Heartbeat
from enclave_sim.labs.judging import judge
from enclave_sim.labs.kernel import IMAGE
from enclave_sim.labs.lab import ANSWERS, Lab
from enclave_sim.labs.receipt import make_receipt
from enclave_sim.payload.keys import SigningKey
from tests.enclave_sim.cli.command import command
from tests.labs.solutions import boot, jitter
from tests.labs.solutions.kernels import built_kernel
from tests.labs.solutions.solution import Workplace, toml
from tests.labs.solving import labs, solved
from tests.labs.solving import workplace as workplace_of

LAB = find_lab("boot")
EXPLORED = frozenset(lab.name for lab in LABS)
"""Labs whose judges are fed with many strange values, which takes seconds: one of them is in the fast set."""
Cheat = Callable[[Path, Path], object]
"""A change to mallory's directory, with ada's to copy from."""


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ada") / "lab-boot"
    workplace.start(LAB, directory, "ada")
    case = LAB.case("ada")
    place = Workplace(LAB.page(case).decode(), LAB.start(case), directory.parent)
    (directory / "answers.toml").write_bytes(boot.solve(place)["answers.toml"])
    assert grade_directory(directory).points == LAB.points
    return directory


@pytest.fixture
def mallory(tmp_path: Path) -> Path:
    directory = tmp_path / "lab-boot"
    workplace.start(LAB, directory, "mallory")
    return directory


def answers(directory: Path) -> Path:
    return directory / "answers.toml"


def copy(mallory: Path, ada: Path) -> None:
    answers(mallory).write_bytes(answers(ada).read_bytes())


def link(mallory: Path, ada: Path) -> None:
    answers(mallory).unlink()
    answers(mallory).symlink_to(answers(ada))


def pipe(mallory: Path, _ada: Path) -> None:
    answers(mallory).unlink()
    os.mkfifo(answers(mallory))


def device(mallory: Path, _ada: Path) -> None:
    answers(mallory).unlink()
    answers(mallory).symlink_to("/dev/zero")


def directory_in_place_of_a_file(mallory: Path, _ada: Path) -> None:
    answers(mallory).unlink()
    answers(mallory).mkdir()


def endless(mallory: Path, _ada: Path) -> None:
    with answers(mallory).open("wb") as file:
        file.truncate(1 << 40)


def written(text: str | bytes) -> Cheat:
    data = text.encode() if isinstance(text, str) else text
    return lambda mallory, _ada: answers(mallory).write_bytes(data)


def assigned(**changes: object) -> Cheat:
    def change(mallory: Path, _ada: Path) -> None:
        found = json.loads((mallory / "lab.json").read_text())
        (mallory / "lab.json").write_text(json.dumps({**found, **changes}))

    return change


def everywhere(value: object) -> bytes:
    """Give the same answer to every question."""
    questions = {
        "modes": ("order", "long_at_ns"),
        "phases": ("PROT_ENTRY", "MEM_MAP", "WASM_INIT", "EXEC_LOOP"),
        "rings": ("entries", "by_timer"),
        "sleep": ("deadline_ns", "slept_ns"),
    }
    return toml({table: dict.fromkeys(keys, value) for table, keys in questions.items()})


def graders(mallory: Path, ada: Path) -> None:
    """Bring graders, texts and solutions of one's own."""
    for name in ("judge.py", "conftest.py", "sitecustomize.py", "lab.toml", "solution.toml", "receipt.json"):
        (mallory / name).write_text("points = 10\n")
    (mallory / "enclave_sim").mkdir()
    (mallory / "answers.toml.bak").write_bytes(answers(ada).read_bytes())


def recording_of_ada(mallory: Path, ada: Path) -> None:
    (mallory / "run.jsonl").write_bytes((ada.parent / "run.jsonl").read_bytes())


def hints(mallory: Path, _ada: Path) -> None:
    assigned(hints={"modes": -(10**9), "phases": 10**9, "points": 10})(mallory, mallory)


CHEATS: dict[str, Cheat] = {
    "copied answers": copy,
    "a symbolic link to the answers of another": link,
    "a symbolic link to a device": device,
    "a pipe": pipe,
    "a directory": directory_in_place_of_a_file,
    "a file without end": endless,
    "an empty file": written(""),
    "bytes that are not text": written(b"\xff\xfe\x00"),
    "text that is not TOML": written("10 of 10 points"),
    "nested without end": written("a = " + "[" * 15000),
    "a key of thousands of parts": written(".".join("a" * 8000) + " = 1\n"),
    "a number of a million digits": written("[rings]\nentries = " + "9" * 15000),
    "the expected output": written(everywhere("right")),
    "the expected verdict": written("points = 10\nright = true\n[judgement]\npoints = 10\n"),
    "every number at once": written(everywhere([*range(1000)])),
    "true in place of a number": written(everywhere(True)),
    "a number that equals none": written(everywhere(0).replace(b"= 0", b"= nan")),
    "infinity": written(everywhere(0).replace(b"= 0", b"= inf")),
    "a date": written(everywhere(0).replace(b"= 0", b"= 2026-01-01")),
    "a table in place of a number": written("[rings.entries]\nright = 1\n[rings.by_timer]\nright = 1\n"),
    "the assignment of another": assigned(student="ada"),
    "a student with a path": assigned(student="../ada"),
    "a student with a line": assigned(student="ada\nmallory"),
    "another version": assigned(version=0),
    "an unknown lab": assigned(lab="../boot"),
    "a field for points": assigned(points=10),
    "an assignment of a wrong type": assigned(student=["ada", "mallory"]),
    "graders of one's own": graders,
    "the recording of another": recording_of_ada,
    "hints that count backwards": hints,
}


@pytest.mark.slow
@pytest.mark.complete
@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_a_cheat_gets_nothing(cheat: Cheat, mallory: Path, ada: Path) -> None:
    cheat(mallory, ada)
    grade = grade_directory(mallory)
    assert grade.points == 0
    assert "\n" not in grade.problem


def test_a_directory_that_is_a_symbolic_link_is_not_read(tmp_path: Path, ada: Path) -> None:
    (tmp_path / "mine").symlink_to(ada)
    assert "symbolic link" in grade_directory(tmp_path / "mine").problem


def test_the_work_of_another_under_the_own_name_gets_nothing(mallory: Path, ada: Path) -> None:
    for name in ("answers.toml", "lab.json"):
        (mallory / name).write_bytes((ada / name).read_bytes())
    assert grade_directory(mallory, "mallory").points == 0
    for order in ((mallory, ada), (ada, mallory)):
        both = unique(grade_directory(one) for one in order)
        assert sorted(one.points for one in both) == [0, LAB.points]
        assert sum("another directory is of student ada" in one.problem for one in both) == 1


@pytest.mark.slow
def test_a_copied_assignment_takes_nothing_from_its_owner(mallory: Path, ada: Path) -> None:
    (mallory / "lab.json").write_bytes((ada / "lab.json").read_bytes())
    for order in ((mallory, ada), (ada, mallory)):
        for kind in ("csv", "json", "junit"):
            graded = command("lab", "grade", *order, "--format", kind)
            assert graded.code == 0
            assert f"and counts: {ada}" in graded.output.replace("\n", " ")
        points = {one.directory: one.points for one in unique(grade_directory(one) for one in order)}
        assert points == {str(ada): LAB.points, str(mallory): 0}
    rows = [row for row in command("lab", "grade", mallory, ada).output.splitlines() if row.startswith("ada,")]
    assert [row.split(",")[4:6] for row in rows] == [["1", "1"], ["4", "4"], ["2", "2"], ["3", "3"]]


def test_a_receipt_with_more_points_is_refused(mallory: Path) -> None:
    judgement = judge(LAB, "mallory", {"answers.toml": answers(mallory).read_bytes()})
    better = msgspec.structs.replace(judgement, points=10)
    (mallory / "receipt.json").write_bytes(make_receipt(better, SigningKey.generate("mine", development=False)))
    refused = command("lab", "verify", mallory / "receipt.json")
    assert refused.code == 13
    assert "points: the receipt claims 10, judged again 0" in refused.output


def test_the_receipt_of_another_is_refused(mallory: Path, ada: Path) -> None:
    assert command("lab", "submit", "boot", ada).code == 0
    (mallory / "receipt.json").write_bytes((ada / "receipt.json").read_bytes())
    refused = command("lab", "verify", mallory / "receipt.json")
    assert refused.code == 13
    assert 'student: the receipt claims "ada", judged again "mallory"' in refused.output


def test_answers_changed_after_the_receipt_are_noticed(mallory: Path, ada: Path) -> None:
    assert command("lab", "submit", "boot", mallory).code == 0
    assert [command("lab", "verify", one).code for one in (mallory / "receipt.json", mallory)] == [18, 18]
    copy(mallory, ada)
    assert "files: the receipt claims" in command("lab", "verify", mallory / "receipt.json").output


@pytest.mark.slow
def test_a_receipt_needs_the_signature_of_the_course(mallory: Path, tmp_path: Path) -> None:
    keys = {name: SigningKey.generate(name, development=False) for name in ("course", "mine")}
    for name, key in keys.items():
        key.save(tmp_path / f"{name}.key.json")
    keys["course"].anchor().save(tmp_path / "course.anchor.json")
    for signer, code in (("course", 0), ("mine", 13)):
        assert command("lab", "submit", "boot", mallory, "--key", tmp_path / f"{signer}.key.json").code == 0
        verified = command("lab", "verify", mallory / "receipt.json", "--anchor", tmp_path / "course.anchor.json")
        assert verified.code == code
    assert command("lab", "submit", "boot", mallory).code == 0
    unsigned = command("lab", "verify", mallory / "receipt.json", "--anchor", tmp_path / "course.anchor.json")
    assert "signature: there is none; the key of course makes one" in unsigned.output


def test_a_receipt_is_written_through_no_symbolic_link(mallory: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (mallory / "receipt.json").symlink_to(precious)
    assert command("lab", "submit", "boot", mallory).code == 2
    assert precious.read_text() == "precious"


STRANGE: tuple[object, ...] = (
    *(True, -1, 0, 1 << 62, 10**30, 0.5, float("nan"), float("inf"), "", "\0", "\u00a0", "right", "9" * 5000),
    *([], [[]], [{}], [0] * 1000, {}, {"payloads": "counter"}, {"payloads": [[]]}, {"payloads": ["counter"] * 99}),
    *({"payloads": ["counter"], "cycles": 10**30}, {"payloads": ["runner"], "tamper_ns": -1}),
)
"""Values that answer nothing."""


@pytest.mark.complete
@pytest.mark.parametrize("lab", labs(slow=EXPLORED - {"breakout"}))
def test_no_strange_value_is_an_answer_or_stops_a_judge(lab: Lab, share: Callable[[int], int]) -> None:
    files = solved(lab, "ada")
    if ANSWERS not in files:
        return
    questions = [(table, key) for table, values in tomllib.loads(files[ANSWERS].decode()).items() for key in values]
    for value in random.Random(lab.name).sample(STRANGE, share(len(STRANGE))):
        every: dict[str, dict[str, object]] = {}
        for table, key in questions:
            every.setdefault(table, {})[key] = value
        judgement = judge(lab, "ada", {ANSWERS: toml(every).replace(b"NaN", b"nan").replace(b"Infinity", b"inf")})
        assert judgement.points == 0, value


DAMAGED: tuple[Callable[[bytes], bytes], ...] = (
    lambda _data: b"",
    lambda _data: b"\0asm\1\0\0\0",
    lambda _data: b"{}",
    lambda _data: b"\xd2\x84\x40",
    lambda data: data[: len(data) // 2],
    lambda data: data[:-3],
    lambda data: data + data,
    lambda data: data[::-1],
    lambda data: data[:100] + b"\xff" * 50 + data[150:],
)


@pytest.mark.complete
@pytest.mark.parametrize("lab", labs(slow=EXPLORED - {"payload"}))
def test_a_damaged_file_earns_no_full_marks_and_stops_no_judge(lab: Lab, share: Callable[[int], int]) -> None:
    files, chance = solved(lab, "ada"), random.Random(lab.name)
    for name in lab.handed_in:
        for damage in chance.sample(DAMAGED, share(len(DAMAGED))):
            judgement = judge(lab, "ada", {**files, name: damage(files[name])})
            assert judgement.points < lab.points or name.endswith(".elf"), name  # symbols and padding may be lost


@pytest.mark.slow
def test_no_python_of_a_student_is_imported(mallory: Path, tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit(0)\n"
    for name in ("tomllib", "json", "msgspec", "judge", "sitecustomize", "conftest"):
        (mallory / f"{name}.py").write_text(trap)
    package = mallory / "enclave_sim" / "labs" / "boot"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(trap)
    program = Path(sys.executable).parent / "enclave-sim"
    done = subprocess.run([program, "lab", "grade", "."], cwd=mallory, capture_output=True, text=True, check=True)
    assert "mallory,boot" in done.stdout
    assert not (tmp_path / "imported").exists()


PRINTS = ("src/kernel.c", "    prot_entry();", '    tell("10 of 10 points, right", 10);\n    prot_entry();')
STOPS = ("src/kernel.c", "    prot_entry();", '    for (;;)\n        __asm__ volatile("hlt");\n    prot_entry();')
LOOPS = ("src/kernel.c", "    prot_entry();", '    for (;;)\n        __asm__ volatile("");\n    prot_entry();')
SAYS_SO = (
    "src/prot_entry.c",
    "    u8 kernel_digest",
    "    phase_completed(PHASE_PROT_ENTRY, STATUS_ARCH_LOCKED);\n    u8 kernel_digest",
)
RENAMED = ("src/VERSION", None, "10 of 10 points\n")


@pytest.mark.slow
@pytest.mark.complete
@pytest.mark.parametrize(
    "edit", [PRINTS, STOPS, LOOPS, SAYS_SO, RENAMED], ids=["prints", "stops", "loops", "says so", "version"]
)
def test_a_kernel_that_claims_or_never_ends_gets_nothing(edit: tuple[str, str | None, str]) -> None:
    name, old, new = edit
    text = (firmware.built_in().path.parent / name).read_text()
    image = built_kernel({name: (new if old is None else text.replace(old, new, 1)).encode()})
    for lab in LABS:
        if IMAGE in lab.handed_in:
            assert judge(lab, "ada", {IMAGE: image}).points == 0, lab.name


@pytest.mark.slow
def test_a_kernel_that_knows_the_judges_payloads_by_heart_gets_nothing() -> None:
    lab = find_lab("jitter")
    beat = Heartbeat.of(lab.case("ada"))
    values = [beat.of_payload(payloads.read(name)) for name in ("counter", "digest")]
    by_heart = f"u32 sum = payload ? {values[1]:#x} : {values[0]:#x};\n    (void)bytes;\n"

    def learnt(texts: jitter.Texts) -> jitter.Texts:
        before, found, after = texts["exec_loop.c"].partition("u32 sum = ")
        assert found
        rest = after[after.index("    store32(ENCLAVE + ENCLAVE_UPLINK_DATA, sum)") :]
        return {**texts, "exec_loop.c": before + by_heart + rest}

    judgement = judge(lab, "ada", jitter.built(workplace_of(lab, "ada"), jitter.first, jitter.second, learnt))
    assert judgement.points == 0
    assert "another payload shows it" in judgement.parts[0].messages[0]
