"""results.json, to and fro."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .goals import verdicts
from .peers import BASE, OURS, PEERS
from .results import Results, Row
from .sampling import Sample
from .workload import TABLE

FORMAT = 1  # of results.json; another number is another layout


def save(results: Results, path: Path) -> None:
    """Writes everything, with medians, ratios and goals beside the samples."""
    rows = [_row_as_json(row) for row in results.measured_rows()]
    data = {"format": FORMAT, **results.about, "peers": results.peers, "workloads": rows}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _figures(row: Row, name: str) -> dict[str, Any]:
    samples = row.samples[name]
    if not samples:
        return {"samples": []}
    rate, cpu = row.rate(name), row.cpu_us(name)
    assert rate is not None and cpu is not None
    base, growth = row.ratio(name, BASE), row.growth(name)
    return {
        "shown": {"value": row.workload.unit.show(rate.median), "unit": row.workload.unit.name},
        "rate": rate.as_json(),
        "cpu_us": cpu.as_json(),
        "ratio_to_asyncio": base.as_json() if base else None,
        "growth": growth.as_json() if growth else None,
        "samples": [sample.as_json() for sample in samples],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    rival = row.best_rival()
    ratio = row.ratio(OURS, rival) if rival else None
    return {
        "workload": row.workload.id,
        "title": row.workload.title,
        "about": row.workload.about,
        "peers": {name: _figures(row, name) for name in row.samples},
        "best_rival": rival,
        "pyaio_to_best_rival": ratio.as_json() if ratio else None,
        "goals": [verdict.as_json() for verdict in verdicts(row)],
        "loop_share": row.loop_share,
        "load_bound": row.load_bound(),
        "crowded": row.crowded(),
        "problems": row.problems,
    }


def load(path: Path) -> Results:
    """Reads results.json again; workloads and peers that no longer exist are left out."""
    data = json.loads(path.read_text())
    if data.get("format") != FORMAT:
        raise ValueError(f"{path} is not a results file of this version")
    rows = data.pop("workloads")
    known = [name for name in data.pop("peers") if name in PEERS]
    data.pop("format")
    results = Results(data, known)
    for entry in rows:
        if entry["workload"] in TABLE:
            _read_row(results.row(TABLE[entry["workload"]]), entry)
    return results


def _read_row(row: Row, entry: dict[str, Any]) -> None:
    row.problems.update(entry["problems"])
    row.loop_share = entry.get("loop_share")
    for name, figures in entry["peers"].items():
        row.samples[name] = [
            Sample(
                s["round"],
                s["operations"],
                s["seconds"],
                s["cpu"],
                s["extra"],
                s.get("slowdown", 1.0),
            )
            for s in figures["samples"]
        ]
