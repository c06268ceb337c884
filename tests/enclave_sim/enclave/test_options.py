"""The options of an enclave, for code that passes them on."""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from enclave_sim import ConfigurationError, Enclave, Template
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees import observe
from enclave_sim.payload.keys import SigningKey, development_anchor
from enclave_sim.time_travel import Session
from machine.tpm.model import TpmModel

TPM = TpmModel(bytes(32))
ANCHOR = SigningKey.generate("other", development=True).anchor()


def test_keyword_arguments_are_sorted_into_the_configuration_and_the_rest() -> None:
    options = EnclaveOptions.of(cycles=3, engine="native", trust_anchors=[ANCHOR], tpm=TPM, portable=True)
    configuration = EnclaveConfiguration(cycles=3, engine="native")  # type: ignore[arg-type]
    assert options == EnclaveOptions(configuration, trust_anchors=(ANCHOR,), tpm=TPM, portable=True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cycles": 0}, "cycles is 0; it must be 1 to"),
        ({"cycles": "3"}, "cycles is '3'; it must be a whole number"),
        ({"cycle": 1}, "there is no option 'cycle'; did you mean cycles? there are cycles, wake_ns"),
        ({"portabel": True}, "there is no option 'portabel'; did you mean portable? there are cycles"),
        ({"colour": 1}, "there is no option 'colour'; there are cycles"),
    ],
)
@pytest.mark.parametrize(
    "make", [Enclave, EnclaveOptions.of, Session, Template, observe], ids=lambda make: make.__name__
)
def test_what_is_out_of_range_or_unknown_is_refused_at_once(
    make: Callable[..., Any], arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(**arguments)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_the_options_of_one_run_are_named_for_an_enclave_alone() -> None:
    with pytest.raises(ConfigurationError, match="no option 'inputs'; there are cycles"):
        EnclaveOptions.of(inputs=())
    with pytest.raises(ConfigurationError, match="did you mean inputs"):
        Enclave(input=())


def test_the_error_names_every_option_of_an_enclave() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Enclave(colour=1)
    named = str(caught.value).partition("there are ")[2].split(", ")
    taken = {*inspect.signature(Enclave.__init__).parameters} - {"self", "payload", "options"}
    assert set(named) == taken | set(EnclaveConfiguration.__struct_fields__)
    assert len(named) == len(set(named))


def test_a_changed_configuration_leaves_the_rest() -> None:
    options = EnclaveOptions.of(cycles=3, wake_ns=5000, trust_anchors=[ANCHOR], portable=True)
    changed = options.with_configuration(cycles=4)
    assert changed == EnclaveOptions.of(cycles=4, wake_ns=5000, trust_anchors=[ANCHOR], portable=True)
    with pytest.raises(ConfigurationError, match="cycles is 0"):
        options.with_configuration(cycles=0)


def test_its_enclave_is_that_of_the_same_arguments() -> None:
    arguments: dict[str, Any] = {"cycles": 2, "wake_ns": 5000, "trust_anchors": [development_anchor(), ANCHOR]}
    ours, theirs = EnclaveOptions.of(**arguments).enclave("counter"), Enclave("counter", **arguments)
    assert (ours.header, ours.anchors, ours.configuration) == (theirs.header, theirs.anchors, theirs.configuration)
    assert ours.run().digest == theirs.run().digest


def test_an_enclave_takes_a_configuration_and_changes_to_it() -> None:
    configuration = EnclaveConfiguration(cycles=2, wake_ns=5000)
    assert Enclave("counter", configuration=configuration).configuration == configuration
    changed = Enclave("counter", configuration=configuration, cycles=3).configuration
    assert changed == msgspec.structs.replace(configuration, cycles=3)


def test_every_argument_of_an_enclave_is_an_option_or_belongs_to_one_run() -> None:
    options = set(EnclaveOptions.__struct_fields__)
    of_one_run = {"self", "payload", "inputs", "recorder", "record", "writer", "digest", "cancellation"}
    taken = inspect.signature(Enclave.__init__).parameters
    assert {name for name in taken if taken[name].kind is not inspect.Parameter.VAR_KEYWORD} == options | of_one_run
