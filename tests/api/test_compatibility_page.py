"""docs/compatibility.md: its tables are what the running version has, method by method."""

import asyncio
import inspect
import re
import sys
import warnings
from asyncio import unix_events
from pathlib import Path

import pytest

from pyaio import _tls

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
RUNNING = "{}.{}".format(*sys.version_info)
VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
KEYWORD = re.compile(r"((?:`\w+`, )*`\w+`) (3\.\d+)")

#: What each table is about: asyncio's types whose every method it has to name.
PROMISES = {
    "Loop": [asyncio.AbstractEventLoop, asyncio.SelectorEventLoop],
    "SocketTransport": [asyncio.Transport],
    "TLSTransport": [asyncio.Transport],
    "DatagramTransport": [asyncio.DatagramTransport],
    "SubprocessTransport": [asyncio.SubprocessTransport],
    "ReadPipeTransport": [asyncio.ReadTransport],
    "WritePipeTransport": [asyncio.WriteTransport],
    "Server": [asyncio.AbstractServer, asyncio.Server],
    "TimerHandle": [asyncio.Handle, asyncio.TimerHandle],
    "Runner": [asyncio.Runner],
    "EventLoopPolicy": [],
    "pyaio": [],
}


def subjects(pyaio):
    """What is looked at for each table: the type that a program gets, or the package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        policy = pyaio.EventLoopPolicy
    return {
        "Loop": pyaio.Loop,
        "SocketTransport": pyaio._core.SocketTransport,
        "TLSTransport": _tls._SSLProtocolTransport,
        "DatagramTransport": pyaio._core.DatagramTransport,
        "SubprocessTransport": unix_events._UnixSubprocessTransport,
        "ReadPipeTransport": pyaio._core.ReadPipeTransport,
        "WritePipeTransport": pyaio._core.WritePipeTransport,
        "Server": asyncio.Server,
        "TimerHandle": pyaio._core.TimerHandle,
        "Runner": asyncio.Runner,
        "EventLoopPolicy": policy,
    }


def read_tables():
    """{subject: [(names, {version: cell}, note)]} of every table of the page."""
    tables, rows = {}, None
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            rows = None
        elif cells[1:6] == VERSIONS:
            rows = tables.setdefault(cells[0].strip("`"), [])
        elif rows is not None and not line.startswith("|---"):
            names = re.findall(r"`(\w+)`", cells[0])
            rows.append((names, dict(zip(VERSIONS, cells[1:6], strict=True)), cells[6]))
    return tables


TABLES = read_tables()
ROWS = [
    pytest.param(subject, name, cells, note, id=f"{subject}.{name}")
    for subject, rows in TABLES.items()
    for names, cells, note in rows
    for name in names
    if subject != "pyaio"
]


def origin(subject, name):
    """Whose code an attribute of a type is, as the page says it; "no" where there is none."""
    for base in subject.__mro__:
        if name in vars(base):
            module = base.__module__
            # A method in C may stand in a class of Python.
            if module == "pyaio._core" or type(vars(base)[name]).__name__ == "SockMethod":
                return "C"
            return "Python" if module.startswith("pyaio") else "asyncio"
    return "no"


def methods(types):
    return {
        name
        for each in types
        for name in dir(each)
        if not name.startswith("_") and not isinstance(getattr(each, name), int)
    }


def test_there_is_a_table_for_each_subject_and_none_else():
    assert set(TABLES) == set(PROMISES)
    assert all(TABLES.values())


def test_the_running_version_has_a_column():
    assert RUNNING in VERSIONS


@pytest.mark.parametrize("subject", PROMISES)
def test_every_method_of_asyncio_is_in_the_table_once(subject):
    named = [name for names, _, _ in TABLES[subject] for name in names]
    assert len(named) == len(set(named))
    there = {
        name for names, cells, _ in TABLES[subject] if cells[RUNNING] != "no" for name in names
    }
    assert methods(PROMISES[subject]) - there == set()


@pytest.mark.parametrize(("subject", "name", "cells", "note"), ROWS)
def test_a_cell_says_whose_code_it_is(pyaio, subject, name, cells, note):
    assert set(cells.values()) <= {"C", "Python", "asyncio", "no"}
    assert origin(subjects(pyaio)[subject], name) == cells[RUNNING]


@pytest.mark.parametrize(
    ("subject", "name", "cells", "note"), [row for row in ROWS if KEYWORD.search(row.values[3])]
)
def test_a_keyword_exists_from_the_version_on_that_the_note_says(pyaio, subject, name, cells, note):
    taken = inspect.signature(getattr(subjects(pyaio)[subject], name)).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    for keywords, since in KEYWORD.findall(note):
        for keyword in re.findall(r"\w+", keywords):
            expected = sys.version_info >= tuple(map(int, since.split(".")))
            assert anything or (keyword in taken) == expected, keyword


def test_the_names_of_the_package_are_those_of_the_table(pyaio):
    named = {name: cells for names, cells, _ in TABLES["pyaio"] for name in names}
    assert set(pyaio.__all__) | {"__main__"} == set(named)
    for name, cells in named.items():
        in_c = hasattr(pyaio._core, name) and name != "Loop"
        assert cells[RUNNING] == ("C" if in_c else "Python")


def test_run_takes_the_keywords_of_the_table(pyaio):
    (note,) = [note for names, _, note in TABLES["pyaio"] if names == ["run"]]
    keywords = re.findall(r"\w+", KEYWORD.search(note)[1])
    assert set(keywords) == set(inspect.signature(pyaio.run).parameters) - {"main"}
