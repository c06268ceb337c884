"""Run a payload with two different secrets in its memory: nobody else may notice."""

from enclave_sim.guarantees import Scenario, noninterference, observe_scenario, with_other_memory

pair = [observe_scenario(with_other_memory(Scenario("counter"), seed)) for seed in (1, 2)]
print(noninterference(*pair))
