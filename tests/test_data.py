"""Data does not change: every dataclass and every msgspec structure is frozen, except those that hold state."""

import dataclasses

import msgspec

from tests.all_classes import classes

CHANGING = {
    "enclave_sim.inspector.model.event_log._Filtered",
    "enclave_sim.inspector.model.moment.Moment",
    "enclave_sim.testing.plugin.factories.PluginState",
    "enclave_sim.testing.plugin.factories.Subject",
    "enclave_sim.time_travel.navigation.provenance.guest.program.Operation",
    "enclave_sim.time_travel.navigation.provenance.guest.program.Program",
    "enclave_sim.time_travel.navigation.provenance.guest.sources.Instance",
    "enclave_sim.time_travel.replay._Taken",
}
"""Classes whose fields change."""
READ = {
    "enclave_sim.cli.options.tpm._ModelFile",
    "enclave_sim.time_travel.recorded.kernel._Configuration",
    "enclave_sim.payload.keys._AnchorFile",
    "enclave_sim.payload.keys._KeyFile",
    "enclave_sim.recording.reader._Format",
    "enclave_sim.recording.reader._Place",
    "enclave_sim.time_travel.snapshot_file._File",
}
"""File structures, which exist only while one is read."""


def changes(each: type) -> bool:
    if dataclasses.is_dataclass(each):
        return not each.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return issubclass(each, msgspec.Struct) and not each.__struct_config__.frozen


def test_data_is_frozen() -> None:
    assert {name for name, each in classes() if changes(each)} == CHANGING | READ


def test_there_is_data() -> None:
    assert sum(dataclasses.is_dataclass(each) or issubclass(each, msgspec.Struct) for _, each in classes()) > 150
