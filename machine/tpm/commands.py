"""The commands of the model in one table: handles, the number of them that need authorization, parameters, action."""

from collections.abc import Callable
from typing import Any

import msgspec

from machine.tpm import attestation, capabilities, integrity, objects, pcrs, public_area, startup
from machine.tpm.buffers import Unmarshaller
from machine.tpm.constants import Code

Parser = Callable[[Unmarshaller], Any]


class Command(msgspec.Struct, frozen=True):
    """A row of the table. The action takes the TPM's state, handles and parameters, and returns response parameters."""

    action: Callable[..., bytes]
    handles: tuple[Parser, ...] = ()
    authorized: int = 0
    """Number of leading handles that need authorization."""
    parameters: tuple[Parser, ...] = ()
    sessions: bool = True
    """True if the command may have an authorization area."""
    returns_handle: bool = False
    """True if the response begins with a handle, which precedes the size of the parameters."""


_U16, _U32 = Unmarshaller.u16, Unmarshaller.u32

COMMANDS: dict[int, Command] = {
    Code.STARTUP: Command(startup.startup, parameters=(startup.startup_type,), sessions=False),
    Code.SHUTDOWN: Command(startup.shutdown, parameters=(startup.startup_type,)),
    Code.SELF_TEST: Command(startup.self_test, parameters=(startup.yes_no,)),
    Code.GET_TEST_RESULT: Command(startup.get_test_result),
    Code.GET_RANDOM: Command(startup.get_random, parameters=(_U16,)),
    Code.GET_CAPABILITY: Command(capabilities.get_capability, parameters=(capabilities.capability, _U32, _U32)),
    Code.PCR_EXTEND: Command(
        integrity.pcr_extend, (integrity.pcr_handle_or_null,), 1, parameters=(integrity.digest_values,)
    ),
    Code.PCR_EVENT: Command(
        integrity.pcr_event, (integrity.pcr_handle_or_null,), 1, parameters=(integrity.event_data,)
    ),
    Code.PCR_READ: Command(integrity.pcr_read, parameters=(pcrs.selections,)),
    Code.PCR_RESET: Command(integrity.pcr_reset, (integrity.pcr_handle,), 1),
    Code.CREATE_PRIMARY: Command(
        objects.create_primary,
        (objects.hierarchy,),
        1,
        parameters=(objects.sensitive_create, public_area.sized_public, objects.data, pcrs.selections),
        returns_handle=True,
    ),
    Code.READ_PUBLIC: Command(objects.read_public, (objects.object_handle,)),
    Code.FLUSH_CONTEXT: Command(objects.flush_context, parameters=(objects.context_handle,), sessions=False),
    Code.QUOTE: Command(
        attestation.quote,
        (attestation.signing_handle,),
        1,
        parameters=(objects.data, attestation.signature_scheme, pcrs.selections),
    ),
}
