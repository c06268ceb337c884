"""Plans of campaigns: which faults, when, and which of them are run. A TOML file (docs/campaigns.md).

[campaign]
payload = "beacon"
seed = 1

[[faults]]
model = "register"
where = ["general"]
bits = "all"
phase = "EXEC_LOOP"
"""

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from enclave_sim.campaigns.statistics import quantile
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import SMALL, read_utf8
from enclave_sim.inputs import LATEST_NS
from enclave_sim.reasons import reason
from enclave_sim.recording.text import one_line
from enclave_sim.similar import did_you_mean
from enclave_sim.times import nanoseconds

MAX_TABLES, MAX_RUNS = 100, 1_000_000_000
"""Limits of one plan."""
MODELS = (
    *("memory", "register", "instruction", "interrupt", "clock", "timer", "tpm", "mailbox"),
    *("stuck_memory", "stuck_register", "storm", "power"),
)
_SEED_BITS = 63


class CampaignTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[campaign]`: the enclave, and how a run ends."""

    payload: str | tuple[str, ...] = "beacon"
    """A built-in name or the path of a module, relative to the plan; or several of these."""
    seed: int = 0
    """Chooses the sample."""
    limit: str = ""
    """Virtual time at which a run hangs, as `5 ms`; by default twice that of the golden run, and 1 ms."""
    host_limit_s: float = 30.0
    """Host seconds for one run."""


class SamplingTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[sampling]`: which of the faults are run."""

    method: Literal["all", "random", "classes"] = "random"
    runs: int = 0
    """For `random`: the number of runs in each stratum; 0 to compute it from the error."""
    error: float = 0.05
    """Half the width of the interval in each stratum."""
    confidence: float = 0.95


class FaultsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[faults]]`: a model, what it may hit, and when."""

    model: str
    where: tuple[str, ...] = ()
    """Registers or groups of them, regions of memory, effects or parts; see `spaces.py`."""
    bits: Literal["all"] | tuple[int, ...] = "all"
    """The bits to invert, each in its own run."""
    burst: int = 1
    """The number of neighbouring bits that are inverted together."""
    values: tuple[int, ...] = ()
    """Vectors, counts or nanoseconds, for models that need them; 0 and 1 for stuck bits."""
    addresses: tuple[int, int] | None = None
    """First physical address, and the one after the last, instead of regions."""
    phase: str = ""
    """The boot phase in which the fault comes; by default the whole run."""
    time: tuple[str, str] | None = None
    """From a virtual time until before another, instead of a phase."""
    instructions: tuple[int, int] | None = None
    """From a number of retired instructions until before another, instead of a time."""
    every: str = "1 ns"
    """The distance of times."""
    event: str = ""
    """A kind of event, instead of a time: the fault comes at each of them."""
    address: int | None = None
    """An address of code, instead of a time: the fault comes at each visit."""
    visits: int = 1
    """The number of visits, or of events."""
    lasts: str = "1 us"
    """The duration of a stuck bit of memory, and the distance within a storm."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan, as its file says."""

    faults: tuple[FaultsTable, ...]
    campaign: CampaignTable = CampaignTable()
    options: dict[str, Any] = {}
    """Fields of `EnclaveConfiguration`."""
    sampling: SamplingTable = SamplingTable()
    directory: str = "."
    """The directory in which paths of payloads begin."""

    @property
    def payload(self) -> list[str | Path]:
        """The payloads, for `Enclave`."""
        import payloads  # noqa: PLC0415 - only a campaign needs it

        given = [self.campaign.payload] if isinstance(self.campaign.payload, str) else self.campaign.payload
        return [one if one in payloads.names() else Path(self.directory) / one for one in given]

    @property
    def limit_ns(self) -> int | None:
        """The virtual time at which a run hangs, or None for the default."""
        return nanoseconds(self.campaign.limit) if self.campaign.limit else None

    def encoded(self) -> str:
        """Return the plan as JSON, for the store and for other processes."""
        return msgspec.json.encode(self).decode()


def decoded(text: str) -> Plan:
    """Return a plan from `Plan.encoded`."""
    return msgspec.json.decode(text, type=Plan)


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Args:
        path: The file.

    Returns:
        The plan. Whether its faults are possible is known once its enclave has run (`spaces_of`).

    Raises:
        ConfigurationError: In one line, with the file and the key.
    """
    try:
        document = tomllib.loads(read_utf8(path, SMALL, "a plan"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {reason(error)}") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is not a plan: it is nested too deeply") from None
    if document.pop("directory", None) is not None:
        raise ConfigurationError(f"{path}: unknown key 'directory'; a plan has {', '.join(_KEYS)}")
    try:
        _check_keys(document)
        plan = msgspec.convert({**document, "directory": str(path.parent.resolve())}, Plan, strict=True)
        _check(plan)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {one_line(reason(error))}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return plan


_KEYS = ("campaign", "options", "sampling", "faults")
_TABLES: dict[str, type[msgspec.Struct]] = {
    "campaign": CampaignTable,
    "sampling": SamplingTable,
    "faults": FaultsTable,
    "options": EnclaveConfiguration,
}


def _check_keys(document: dict[str, Any]) -> None:
    """Raise ConfigurationError for a key that does not exist, with the nearest one that does."""
    _check_known("the plan", document, _KEYS)
    for name, kind in _TABLES.items():
        table = document.get(name, [])
        for number, one in enumerate(table if isinstance(table, list) else [table], 1):
            if isinstance(one, dict):
                place = f"faults table {number}" if name == "faults" else f"[{name}]"
                _check_known(place, one, [field.name for field in msgspec.structs.fields(kind)])


def _check_known(place: str, table: dict[str, Any], known: Any) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationError(
                f"{place}: unknown key {key[:40]!r}; {did_you_mean(key[:40], known)}there are {', '.join(known)}"
            )


def _check(plan: Plan) -> None:
    if not 1 <= len(plan.faults) <= MAX_TABLES:
        raise ConfigurationError(f"there are {len(plan.faults)} faults tables; a plan has 1 to {MAX_TABLES}")
    if not 0 <= plan.campaign.seed < 1 << _SEED_BITS:
        raise ConfigurationError(f"seed is {plan.campaign.seed}; it must be 0 to {(1 << _SEED_BITS) - 1}")
    if not 0 < plan.campaign.host_limit_s <= 3600:
        raise ConfigurationError(f"host_limit_s is {plan.campaign.host_limit_s}; it must be above 0 and at most 3600")
    for name, text in (("limit", plan.campaign.limit), *(("every", one.every) for one in plan.faults)):
        if text and not 1 <= nanoseconds(text, None) < LATEST_NS:
            raise ConfigurationError(f"{name} is {text!r}; it must be at least 1 ns")
    sampling = plan.sampling
    if not 0 <= sampling.runs <= MAX_RUNS:
        raise ConfigurationError(f"runs is {sampling.runs}; it must be 0 to {MAX_RUNS}")
    for name, share in (("error", sampling.error), ("confidence", sampling.confidence)):
        if not 0 < share < 1:
            raise ConfigurationError(f"{name} is {share}; it must be between 0 and 1")
    quantile(sampling.confidence)
    for number, table in enumerate(plan.faults, 1):
        if table.model not in MODELS:
            raise ConfigurationError(
                f"faults table {number}: there is no model {table.model[:40]!r}; "
                f"{did_you_mean(table.model[:40], MODELS)}there are {', '.join(MODELS)}"
            )
        _check_when(number, table)
    EnclaveOptions.of(**plan.options)


def _check_when(number: int, table: FaultsTable) -> None:
    given = [name for name in ("phase", "time", "instructions", "event") if getattr(table, name)]
    given += ["address"] if table.address is not None else []
    if len(given) > 1:
        raise ConfigurationError(f"faults table {number}: {' and '.join(given)} exclude each other")
    if not 1 <= table.burst <= 64:
        raise ConfigurationError(f"faults table {number}: burst is {table.burst}; it must be 1 to 64")
    if not 1 <= table.visits <= 1_000_000:
        raise ConfigurationError(f"faults table {number}: visits is {table.visits}; it must be 1 to 1000000")
    if table.bits != "all" and not all(0 <= bit < 64 for bit in table.bits):
        raise ConfigurationError(f"faults table {number}: bits are {list(table.bits)}; each must be 0 to 63")
