"""What programs and tools see of an object from outside, so that two loops can be compared.

Imported by name: ``from looks import public, shown``.
"""

import inspect
import re

#: What differs from run to run, or between the classes of the two loops: addresses in memory,
#: descriptors, ports, times, names that asyncio gives its own classes.
CHANCE = [
    (re.compile(r"0x[0-9a-f]+"), "0x…"),
    (re.compile(r"(fd|pid|name)=\d+"), r"\1=…"),
    (re.compile(r"bufsize=[1-9]\d*"), "bufsize=…"),
    (re.compile(r"when=[\d.]+"), "when=…"),
    (re.compile(r"(?<=created at ).*?(?=>|$)"), "…"),
    (re.compile(r"\b[1-9]\d{3,4}\b"), "port"),
    (re.compile(r"\b_Selector(Socket|Datagram)Transport\b"), r"\1Transport"),
    (re.compile(r"\b_Unix(Read|Write)PipeTransport\b"), r"\1PipeTransport"),
    (re.compile(r"\b(asyncio\.sslproto|pyaio\._tls)\._SSL"), "SSL"),
    (re.compile(r"\b_UnixSelectorEventLoop\b"), "Loop"),
    (re.compile(r"\b_ThreadSafeHandle\b"), "Handle"),  # asyncio's name of it since 3.14
]


def shown(thing):
    """The repr of *thing* without what is chance."""
    text = repr(thing)
    for pattern, replacement in CHANCE:
        text = pattern.sub(replacement, text)
    return text


def attempt(function, *args, **kwargs):
    """What the call gives, as it is shown, or the name of the type that it raises."""
    try:
        return shown(function(*args, **kwargs))
    except Exception as exc:
        return type(exc).__name__


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def parameters(method):
    """The parameters of a method: their names, kinds and defaults."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]
