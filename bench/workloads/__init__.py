"""The work that contestants do; each module is one workload."""
