"""What the examples share: their options, the web API they call, and a stopwatch.

Results go to standard output and are the same on every run; times go to standard error.
"""

import argparse
import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit


def milliseconds(text: str) -> float:
    """An argparse type: a number of milliseconds, not negative and not endless."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value


def http_address(text: str) -> str:
    """An argparse type: the address of a server, without the slash at its end."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return text.rstrip("/")


def options_of(description: str | None, *, calls_api: bool = False) -> argparse.ArgumentParser:
    """A parser with the options that all examples take; each may add its own."""
    first_paragraph = (description or "").partition("\n\n")[0]
    parser = argparse.ArgumentParser(description=first_paragraph)
    parser.add_argument("--quick", action="store_true", help="do less of everything")
    if calls_api:
        parser.add_argument(
            "--api",
            type=http_address,
            metavar="URL",
            help="call the web API at that address (default: start our own)",
        )
        parser.add_argument(
            "--latency",
            type=milliseconds,
            default=50,
            metavar="MS",
            help="how long our own web API holds each answer back (default: %(default)s ms)",
        )
    return parser


@contextlib.contextmanager
def web_api(api: str | None, latency: float) -> Iterator[str]:
    """The address of the web API to call: the one given, or that of our own, started for us."""
    # urllib would send even a request to this machine through a proxy that the environment names.
    os.environ["no_proxy"] = ",".join(filter(None, ["127.0.0.1", os.environ.get("no_proxy")]))
    if api:
        try:
            yield api
        except OSError as error:
            sys.exit(f"The web API at {api} cannot be used: {error}")
        return
    program = Path(__file__).with_name("web_api.py")
    server = subprocess.Popen(
        [sys.executable, str(program), "--until-eof", f"--latency={latency}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = server.stdout.readline().strip()
        if not address:
            sys.exit("The web API did not start; what it said about it is above.")
        yield address
    finally:
        stop(server)


def stop(server: subprocess.Popen) -> None:
    """End the server's input, which it takes for a wish to stop; if it does not listen, kill it."""
    server.stdin.close()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    server.stdout.close()


@contextlib.contextmanager
def stopwatch(what: str) -> Iterator[None]:
    """Tell on standard error how long the block took."""
    start = time.perf_counter()
    yield
    print(f"{what:<32}{time.perf_counter() - start:8.3f} s", file=sys.stderr, flush=True)
