"""The libraries whose own tests libraries.py runs, each pinned with what its tests need.

A library's newer version is a change here: its tests may need other packages, and may fail
for reasons that are not pyaio's.
"""

from dataclasses import dataclass, field

# What runs all of them.
RUNNER = ("pytest==9.0.3", "pytest-timeout==2.4.0", "pytest-xdist==3.8.0")


@dataclass(frozen=True)
class Library:
    """One library.

    passes is how many of its tests pass on asyncio where all is well; far fewer, and the run has
    not tested what it should. package is the library's own folder in its sdist, which is
    removed, as the installed wheel is to be tested; None where the wheel brings the tests.
    known has the tests that fail on pyaio only, each with its reason.
    """

    name: str
    version: str
    passes: int
    package: str | None
    tests: str
    requirements: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    side_by_side: bool = True  # whether its tests run in several processes at a time
    needs_postgres: bool = False
    known: dict[str, str] = field(default_factory=dict, hash=False)

    def __str__(self):
        return f"{self.name} {self.version}"


LIBRARIES = (
    Library(
        "aiohttp",
        "3.14.5",
        passes=5623,
        package="aiohttp",
        tests="tests",
        requirements=(
            "blockbuster",
            "freezegun==1.5.5",
            "isal",
            "proxy.py==2.4.10",
            "pytest-codspeed",
            "pytest-cov==7.1.0",
            "pytest-mock==3.15.1",
            "python-on-whales",
            "setuptools",
            "trustme==1.2.1",
            "zlib_ng",
        ),
        options=("-m", "not dev_mode"),
    ),
    Library(
        "tornado",
        "6.6.1",
        passes=1392,
        package=None,
        tests="tornado/test",
        # As its runtests: no log of each request, which tests take for a failure.
        options=("-c", "/dev/null", "-o", "python_files=*_test.py", "--log-disable=tornado.access"),
    ),
    Library(
        "anyio",
        "4.16.0",
        passes=1157,
        package="src",
        tests="tests",
        requirements=(
            "blockbuster",
            "exceptiongroup",
            "hypothesis",
            "psutil",
            "pytest-mock==3.15.1",
            "trustme==1.2.1",
            "truststore",
        ),
        options=("-p", "anyio"),
    ),
    Library(
        "asyncpg",
        "0.32.0",
        passes=370,
        package="asyncpg",
        tests="tests",
        requirements=("distro==1.9.0",),
        side_by_side=False,
        needs_postgres=True,
    ),
    Library(
        "uvicorn",
        "0.49.0",
        passes=1056,
        package="uvicorn",
        tests="tests",
        requirements=(
            "a2wsgi==1.10.10",
            "cryptography",
            "httptools",
            "httpx==0.28.1",
            "pytest-codspeed",
            "pytest-mock==3.15.1",
            "python-dotenv",
            "PyYAML",
            "trustme==1.2.1",
            "watchfiles",
            "websockets==13.1",
            "wsproto==1.3.2",
        ),
        known={
            "tests/test_auto_detection.py::test_loop_auto": (
                "asks for the name of the module that the loop's class is in"
            ),
            "tests/test_config.py::test_get_loop_factory[asyncio-_UnixSelectorEventLoop]": (
                "has the name of the loop's class in its own, and passes as [asyncio-Loop]"
            ),
        },
    ),
)
