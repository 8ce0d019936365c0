"""What a run will need, before anybody pays for it: operations, memory, time and cost, from its configuration alone."""

from phis_lab.plan.balance import Balance, balance, costs_of
from phis_lab.plan.hardware import DEVICES, Device, Machine, device, given
from phis_lab.plan.layouts import LAYOUTS, Layout, planned
from phis_lab.plan.problems import Problem, problems_of
from phis_lab.plan.workload import Workload, workload

__all__ = [
    "DEVICES",
    "LAYOUTS",
    "Balance",
    "Device",
    "Layout",
    "Machine",
    "Problem",
    "Workload",
    "balance",
    "costs_of",
    "device",
    "given",
    "planned",
    "problems_of",
    "workload",
]
