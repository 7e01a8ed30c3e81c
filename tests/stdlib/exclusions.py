"""Reads excluded.toml: which tests do not count for pyaio, and why.

[[modules]] excludes whole files, which are not counted at all: names, reason.
[[tests]] excludes tests, at most 3 % of all on each version: ids, as
"test_base_events.BaseEventLoopTests.test__run_once", and reason. python = ["3.11", "3.13.5"]
limits an entry to these versions, of which one with two numbers is all of that line; without
it, it holds for all.
"""

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("excluded.toml")
PERCENT_ALLOWED = 3.0

KEYS = {"modules": {"names", "reason"}, "tests": {"ids", "python", "reason"}}


class WrongExclusions(Exception):
    """excluded.toml says something that cannot be."""


@dataclass(frozen=True)
class Exclusions:
    """What is excluded on one version: {module: reason} and {id: reason}."""

    modules: dict[str, str]
    tests: dict[str, str]

    def of_module(self, module):
        """The excluded ids of that file."""
        return {test for test in self.tests if test.partition(".")[0] == module}


def load(version, path):
    """What that file excludes on a version such as "3.11.7"."""
    return parse(path.read_text(), version)


def parse(text, version):
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongExclusions(f"it is not TOML: {error}") from None
    for kind, entries in tables.items():
        for entry in entries:
            _check(kind, entry)
    modules = [(name, e["reason"]) for e in tables.get("modules", []) for name in e["names"]]
    tests = [
        (test, entry["reason"])
        for entry in tables.get("tests", [])
        if any(_is_of(version, line) for line in entry.get("python", [version]))
        for test in entry["ids"]
    ]
    for named in (modules, tests):
        _check_once(name for name, _ in named)
    return Exclusions(dict(modules), dict(tests))


def _is_of(version, line):
    return version == line or version.startswith(f"{line}.")


def _check(kind, entry):
    if kind not in KEYS:
        raise WrongExclusions(f"there is no kind {kind!r}, only {sorted(KEYS)}")
    if wrong := entry.keys() - KEYS[kind]:
        raise WrongExclusions(f"[[{kind}]] has no {sorted(wrong)}")
    if not entry.get("reason", "").strip():
        raise WrongExclusions(f"this entry gives no reason: {entry}")
    if not entry.get("names", entry.get("ids")):
        raise WrongExclusions(f"this entry names nothing: {entry}")
    if any(len(version.split(".")) not in (2, 3) for version in entry.get("python", [])):
        raise WrongExclusions(f"versions are written as '3.11' or '3.11.7': {entry}")


def _check_once(names):
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise WrongExclusions(f"named twice on this version: {', '.join(twice)}")


def too_many(excluded, total):
    """Whether that many tests of so many are more than may be excluded."""
    return excluded * 100 > total * PERCENT_ALLOWED
