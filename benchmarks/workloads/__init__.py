"""The workloads, a file for each group. Importing this package fills `workload.TABLE`."""

from . import scheduling, tasks, threads, echo, fairness  # noqa: F401, I001  (the report's order)
