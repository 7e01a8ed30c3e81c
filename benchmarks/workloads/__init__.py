"""The workloads, a file for each group. Importing this package fills `workload.TABLE`."""

from . import (  # noqa: F401, I001  (the report's order)
    scheduling,
    tasks,
    threads,
    growth,
    processes,
    names,
    echo,
    tls,
    connections,
    bulk,
    datagrams,
    apps,
    fairness,
)
