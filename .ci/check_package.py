"""Checks what the sdist and the wheel hold: `check_package.py SDIST WHEEL`, in a git checkout.

An sdist has all that is tracked, so that build, tests, examples and benchmarks run from it; a
wheel has the package and nothing else.
"""

import re
import subprocess
import sys
import tarfile
import zipfile

NOT_IN_SDIST = re.compile(r"\.ci/|\.gitignore$|\.gitattributes$")
IN_WHEEL = re.compile(r"pyaio/\w+\.pyi?$|pyaio/py\.typed$|pyaio/_core\.[\w.-]+\.so$")
METADATA = re.compile(
    r"pyaio-[^/]+\.dist-info/(METADATA|WHEEL|RECORD|top_level\.txt|licenses/\w+)$"
)
MADE_BY_BUILD = re.compile(r"PKG-INFO$|setup\.cfg$|[^/]+\.egg-info/")


def tracked_files():
    listing = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True)
    return {name for name in listing.stdout.split("\0") if name and not NOT_IN_SDIST.match(name)}


def sdist_files(path):
    with tarfile.open(path) as archive:
        return {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}


def wheel_files(path):
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def problems(sdist, wheel):
    tracked = tracked_files()
    packed = {name for name in sdist_files(sdist) if not MADE_BY_BUILD.match(name)}
    yield from (f"the sdist lacks {name}" for name in sorted(tracked - packed))
    yield from (f"the sdist holds {name}" for name in sorted(packed - tracked))

    wheeled = {name for name in wheel_files(wheel) if not METADATA.match(name)}
    modules = {name for name in tracked if IN_WHEEL.match(name)}
    yield from (f"the wheel lacks {name}" for name in sorted(modules - wheeled))
    yield from (f"the wheel holds {n}" for n in sorted(wheeled) if not IN_WHEEL.match(n))
    if not any(name.endswith(".so") for name in wheeled):
        yield "the wheel lacks the extension"


def main():
    sdist, wheel = sys.argv[1:]
    found = list(problems(sdist, wheel))
    print("\n".join(found) or "sdist and wheel hold what they should")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
