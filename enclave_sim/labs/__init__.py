"""Teaching labs: texts, starting points that vary by student, and judges of what students hand in.

from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.judging import judge

lab = find_lab("boot")
print(judge(lab, "ada", lab.start(lab.case("ada"))).points)   # a starting point earns nothing
"""
