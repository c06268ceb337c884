"""`enclave-sim boot --record`: the same format and digest as the recording of an enclave."""

import argparse
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enclave_sim.cli.runs.recording_file import recording_file
from enclave_sim.recording.format import Digest, Header


@contextmanager
def recorded(options: argparse.Namespace, image: bytes, modules: list[tuple[bytes, str]]) -> Iterator[Digest]:
    """A recorder whose file is complete when the run is over."""
    configuration = {
        "ram_size": options.ram,
        "ns_per_instruction": options.ns_per_instruction,
        "timeout_ns": options.timeout_ns,
        "command_line": options.append,
        "module_command_lines": [text for _, text in modules],
        "fw_cfg": {name: hashlib.sha256(data).hexdigest() for name, data in options.fw_cfg},
    }
    hashes = [hashlib.sha256(data).hexdigest() for data in (image, *(data for data, _ in modules))]
    with recording_file(Path(options.record)) as file:
        digest = Digest(Header(configuration, hashes[0], tuple(hashes[1:])), file)
        yield digest
        digest.finish()
