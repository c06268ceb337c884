"""Every option that names an input file, with an endless file: one line at once, and nothing is read."""

import os
import re
from pathlib import Path

import pytest

import payloads
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.files import reading
from enclave_sim.payload.keys import SigningKey
from enclave_sim.time_travel.notebook import Notebook
from tests.enclave_sim.cli.campaigns.plans import PLAN
from tests.enclave_sim.cli.command import assert_refused, command, commands
from tests.enclave_sim.cli.runs.boot_command import LOOP, write

NONCE = "00" * 32
READERS = {
    "run payload": "run {}",
    "run inputs": "run --inputs {}",
    "run trust_anchor": "run --trust-anchor {}",
    "run tpm": "run --tpm model:{}",
    "run firmware": "run --firmware {}",
    "run verifier_ca": "run --verifier https://localhost --verifier-ca {}",
    "run reference": "run --reference {}",
    "verify payload": "verify {}",
    "verify inputs": "verify --inputs {}",
    "verify firmware": "verify --firmware {}",
    "verify trust_anchor": "verify --trust-anchor {}",
    "export file": "export {} --to vcd",
    "replay file": "replay {}",
    "replay firmware": "replay beacon.jsonl --firmware {}",
    "replay payload": "replay beacon.jsonl --payload {}",
    "diff first": "diff {} beacon.jsonl",
    "diff second": "diff beacon.jsonl {}",
    "events file": "events {}",
    "interrupts file": "interrupts {}",
    "interrupts firmware": "interrupts beacon.jsonl --firmware {}",
    "interrupts payload": "interrupts beacon.jsonl --payload {}",
    "notebook file": "notebook {}",
    "notebook firmware": "notebook walk.md --firmware {}",
    "notebook payload": "notebook walk.md --payload {}",
    "inspect what": "inspect {}",
    "inspect inputs": "inspect --inputs {}",
    "inspect trust_anchor": "inspect --trust-anchor {}",
    "inspect firmware": "inspect --firmware {}",
    "inspect tpm": "inspect --tpm model:{}",
    "inspect reference": "inspect --reference {}",
    "inspect payload": "",  # read once the screen exists: by `RecordedKernel`, or as `replay payload`
    "inspect module": "inspect kernel.elf --module {}",
    "inspect fw_cfg": "inspect kernel.elf --fw-cfg opt/x={}",
    "inspect bookmarks": "inspect --bookmarks {}",
    "inspect serial": "inspect kernel.elf --serial {}",
    "gdb what": "gdb {}",
    "gdb payload": "gdb beacon.jsonl --payload {}",
    "gdb inputs": "gdb --inputs {}",
    "gdb trust_anchor": "gdb --trust-anchor {}",
    "gdb firmware": "gdb --firmware {}",
    "gdb module": "gdb kernel.elf --module {}",
    "gdb fw_cfg": "gdb kernel.elf --fw-cfg opt/x={}",
    "gdb serial": "gdb kernel.elf --serial {}",
    "provenance what": "provenance --of rax {}",
    "provenance payload": "provenance --of rax beacon.jsonl --payload {}",
    "provenance inputs": "provenance --of rax --inputs {}",
    "provenance trust_anchor": "provenance --of rax --trust-anchor {}",
    "provenance firmware": "provenance --of rax --firmware {}",
    "provenance module": "provenance --of rax kernel.elf --module {}",
    "provenance fw_cfg": "provenance --of rax kernel.elf --fw-cfg opt/x={}",
    "provenance serial": "provenance --of rax kernel.elf --serial {}",
    "lifetimes what": "lifetimes --of rax {}",
    "lifetimes payload": "lifetimes --of rax beacon.jsonl --payload {}",
    "lifetimes inputs": "lifetimes --of rax --inputs {}",
    "lifetimes trust_anchor": "lifetimes --of rax --trust-anchor {}",
    "lifetimes firmware": "lifetimes --of rax --firmware {}",
    "lifetimes module": "lifetimes --of rax kernel.elf --module {}",
    "lifetimes fw_cfg": "lifetimes --of rax kernel.elf --fw-cfg opt/x={}",
    "lifetimes serial": "lifetimes --of rax kernel.elf --serial {}",
    "sweep interrupts payload": "sweep interrupts {}",
    "sweep interrupts firmware": "sweep interrupts --firmware {}",
    "sweep interrupts trust_anchor": "sweep interrupts --trust-anchor {}",
    "sweep interrupts state": "sweep interrupts --from 1376450 --to 1376452 --state {}",
    "coverage what": "coverage --limit-ns 1ms {}",
    "coverage payload": "coverage beacon.jsonl --payload {}",
    "coverage inputs": "coverage --inputs {}",
    "coverage trust_anchor": "coverage --trust-anchor {}",
    "coverage firmware": "coverage --firmware {}",
    "coverage module": "coverage kernel.elf --limit-ns 1ms --module {}",
    "coverage fw_cfg": "coverage kernel.elf --limit-ns 1ms --fw-cfg opt/x={}",
    "coverage serial": "coverage kernel.elf --limit-ns 1ms --serial {}",
    "attest payload": f"attest {{}} --nonce {NONCE} -o x.eat",
    "attest trust_anchor": f"attest --nonce {NONCE} -o x.eat --trust-anchor {{}}",
    "attest firmware": f"attest --nonce {NONCE} -o x.eat --firmware {{}}",
    "attest tpm": f"attest --nonce {NONCE} -o x.eat --tpm model:{{}}",
    "verify-evidence file": f"verify-evidence {{}} --nonce {NONCE} --reference values.json",
    "verify-evidence reference": f"verify-evidence x.eat --nonce {NONCE} --reference {{}}",
    "reference-values payload": "reference-values {}",
    "reference-values merge": "reference-values --merge {}",
    "reference-values trust_anchor": "reference-values --trust-anchor {}",
    "reference-values firmware": "reference-values --firmware {}",
    "reference-values tpm": "reference-values --tpm model:{}",
    "payload sign module": "payload sign {} --key alice.key.json",
    "payload sign key": "payload sign beacon.wasm --key {}",
    "payload verify module": "payload verify {}",
    "payload verify trust_anchor": "payload verify beacon.wasm --trust-anchor {}",
    "payload show module": "payload show {}",
    "payload compile module": "payload compile {} --key alice.key.json",
    "payload compile key": "payload compile beacon.wasm --key {}",
    "payload compile trust_anchor": "payload compile beacon.wasm --key alice.key.json --trust-anchor {}",
    "verifier serve reference": "verifier serve --reference {}",
    "verifier serve database": "verifier serve --reference values.json --database {}",
    "verifier serve tls_cert": "verifier serve --reference values.json --port 0 --tls-cert {} --tls-key key.pem",
    "verifier serve tls_key": "verifier serve --reference values.json --port 0 --tls-cert cert.pem --tls-key {}",
    "lab check directory": "lab check boot {}",
    "lab hint directory": "lab hint boot {}",
    "lab submit directory": "lab submit boot {}",
    "lab submit key": "lab submit boot lab-boot --key {}",
    "lab verify receipt": "lab verify {}",
    "lab verify directory": "lab verify lab-boot/receipt.json {}",
    "lab verify anchor": "lab verify lab-boot/receipt.json --anchor {}",
    "lab verify course": "lab verify lab-boot/receipt.json --course {}",
    "lab open directory": "",  # it needs a terminal
    "lab grade course": "lab grade lab-boot --course {}",
    "lab author start course": "lab author start 1 ada --into NAME --course {}",
    "lab grade directories": "",  # a directory that cannot be judged is a line of the grades
    "campaign run plan": "campaign run {}",
    "campaign run store": "campaign run plan.toml --store {}",
    "campaign status store": "campaign status {}",
    "campaign report store": "campaign report {}",
    "campaign show store": "campaign show {} 0/0",
    "campaign rerun store": "campaign rerun {} 0/0",
    "firmware build directory": "",  # it reads files in it
    "boot image": "boot {}",
    "boot module": "boot kernel.elf --module {},text",
    "boot fw_cfg": "boot kernel.elf --fw-cfg opt/x={}",
    "boot serial": "boot kernel.elf --serial {}",
}
"""A command line for each parameter that names an input file."""
REASONS = {
    "broken": (
        *(
            "cannot read broken: Input/output error",
            "broken: cannot be opened as a database",
            "broken is not a recording",
        ),
        "broken is not a campaign",
        *("broken is not a database", "broken: it is a symbolic link", "there is no directory broken"),
    ),
    "pipe": (
        *("cannot read pipe: it is a pipe", "pipe: cannot be opened as a database", "pipe: Not a directory"),
        *("there is no directory pipe", "pipe is not a campaign: it is not a regular file"),
    ),
    "sparse": (
        *("cannot read sparse: it is larger than", "sparse is not a recording", "sparse is not a database"),
        *("sparse: Not a directory", "there is no directory sparse", "sparse is not a campaign"),
    ),
}
"""The expected message, by the name of the file."""
WRITERS = {
    "lab start directory",
    "lab author new directory",
    "lab author start into",
    "lifetimes svg",
    "coverage output",
    "coverage html",
    "run record",
    "gdb record",
    "export output",
    "interrupts output",
    "notebook html",
    "attest output",
    "attest raw",
    "reference-values output",
    "payload keygen directory",
    "campaign report html",
    "campaign report parquet",
    "campaign rerun record",
    "firmware build output",
    "firmware new directory",
    "payload sign output",
    "payload compile output",
    "boot record",
    "boot screen",
}
_FILES = re.compile(r"FILE|PATH|IMAGE|PAYLOAD|RECORDING|RECEIPT|MODULE|TPM|DIR|^A$|^B$")


def test_every_option_that_names_a_file_is_here() -> None:
    found = {
        f"{' '.join(words)} {parameter.name}"
        for words, one in commands()
        for parameter in one.params
        if _FILES.search(parameter.metavar or "")
    }
    assert found == READERS.keys() | WRITERS


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every file that a command line names, a pipe without a writer, and an endless file."""
    directory = tmp_path_factory.mktemp("files")
    (directory / "broken").symlink_to("/proc/self/mem")  # it has no bytes at 0: reading them is EIO
    os.mkfifo(directory / "pipe")
    with (directory / "sparse").open("wb") as file:
        file.truncate(reading.IMAGE + 1)
    write(directory, LOOP)
    key = SigningKey.generate("alice", development=False)
    key.save(directory / "alice.key.json")
    (directory / "beacon.wasm").write_bytes(payloads.read("beacon"))
    (directory / "plan.toml").write_text(PLAN)
    for name in ("cert.pem", "key.pem"):
        (directory / name).touch()
    enclave = Enclave("beacon")
    enclave.reference_values().save(directory / "values.json")
    enclave.run()
    assert enclave.recording is not None
    enclave.recording.save(directory / "beacon.jsonl")
    (directory / "walk.md").write_text(Notebook(enclave.header).markdown())
    assert command("lab", "start", "boot", directory / "lab-boot").code == 0
    assert command("lab", "submit", "boot", directory / "lab-boot").code == 0
    return directory


@pytest.mark.parametrize("reader", [name for name, words in READERS.items() if words])
def test_a_file_without_end_is_one_line(reader: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    for name, reasons in REASONS.items():
        ended = command(*READERS[reader].format(name).split())
        assert_refused(ended)
        assert any(reason in ended.error for reason in reasons), ended.error
