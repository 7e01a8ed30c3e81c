"""How a run is told: a table of plain text, one of Markdown, and JSON."""

import platform

from tests.stdlib.runner import TIMES

COLUMNS = {
    "tests": "total",
    "run": "run",
    "passed": "passed",
    "skipped": "skipped",
    "excluded": "excluded",
    "asyncio fails, too": "asyncio_fails",
    "by chance": "by_chance",
    "failed": "failed",
}


def table(head, rows, last=None):
    """Lines of aligned columns: the first to the left, the others to the right."""
    everything = [head, *rows, *([last] if last else [])]
    widths = [max(len(str(row[at])) for row in everything) for at in range(len(head))]

    def line(row):
        first, *others = map(str, row)
        cells = [first.ljust(widths[0])]
        cells += [other.rjust(width) for other, width in zip(others, widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    rule = "-" * len(line(head))
    return [line(head), rule, *map(line, rows), *([rule, line(last)] if last else [])]


def markdown(head, rows):
    """The lines of the same table in Markdown."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows)]


def of_files(run):
    """The table of a run, with a row for each file."""
    rows = [[file.module, *_counts_of(file), f"{file.seconds:.0f}"] for file in run.files]
    last = [f"Python {platform.python_version()}", *totals(run).values(), ""]
    return table(["file", *COLUMNS, "seconds"], rows, last)


def _counts_of(file):
    values = [getattr(file, name) for name in COLUMNS.values()]
    return [value if isinstance(value, int) else len(value) for value in values]


def totals(run):
    """{column: count} over all files."""
    return {title: run.count(name) for title, name in COLUMNS.items()}


def counts_and_share(totals):
    """The cells of totals(), and how many percent are excluded."""
    share = 100 * totals["excluded"] / totals["tests"] if totals["tests"] else 0
    return [*(totals[title] for title in COLUMNS), f"{share:.1f}"]


def of_version(run):
    """The sums in Markdown."""
    cells = [platform.python_version(), *counts_and_share(totals(run))]
    return markdown(["Python", *COLUMNS, "excluded %"], [cells])


def failures(run):
    """The lines that tell what failed, why, and what is wrong besides."""
    for file in run.files:
        for test, detail in file.failed.items():
            yield f"\nFAILED {test}\n{detail.rstrip()}"
    for file in run.files:
        for test, detail in file.by_chance.items():
            yield f"\nFAILED BY CHANCE {test}: it passed {TIMES} times alone\n{detail.rstrip()}"
    for file in run.files:
        for test, detail in file.asyncio_fails.items():
            words = detail.strip().splitlines()
            yield f"\nfails on stock asyncio, too: {test}\n    {words[-1] if words else ''}"
    for problem in run.problems:
        yield f"\nWRONG: {problem}"


def as_json(run, loop):
    """All of a run, as what json.dump() takes."""
    return {
        "python": platform.python_version(),
        "loop": loop,
        "totals": totals(run),
        "problems": run.problems,
        "good": run.is_good,
        "files": {
            file.module: {
                "passed": len(file.passed),
                "skipped": file.skipped,
                "excluded": file.excluded,
                "asyncio fails, too": file.asyncio_fails,
                "by chance": file.by_chance,
                "failed": file.failed,
                "seconds": round(file.seconds, 1),
            }
            for file in run.files
        },
    }
