"""A small campaign, and the table of its results."""

from pathlib import Path

from enclave_sim.campaigns.campaign import Campaign
from enclave_sim.campaigns.plan import read_plan
from enclave_sim.campaigns.store import Row, Store

PLAN = """
[campaign]
payload = "beacon"
seed = 3

[sampling]
runs = {runs}

[[faults]]
model = "register"
where = ["general", "tables"]
phase = "EXEC_LOOP"

[[faults]]
model = "instruction"
instructions = [116800, 117200]
"""


def plan_file(directory: Path, runs: int) -> Path:
    path = directory / "plan.toml"
    path.write_text(PLAN.format(runs=runs))
    return path


def table(path: Path) -> list[Row]:
    with Store(path) as store:
        return list(store.rows())


def undisturbed(directory: Path, plan: Path) -> list[Row]:
    path = directory / "undisturbed.campaign"
    with Store(path, create=True) as store:
        Campaign(read_plan(plan), store).run(workers=1)
    return table(path)
