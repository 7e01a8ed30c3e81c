"""How pyaio is built: what runs here has to run on every machine of the platform."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_instructions_of_the_building_machine_are_asked_for():
    """A wheel built with them ends with SIGILL on an older processor."""
    asked = {}
    for name in ("setup.py", "Makefile", "pyproject.toml"):
        text = (ROOT / name).read_text()
        asked[name] = re.findall(r"-m(?:arch|tune|cpu|avx|sse|bmi)\S*", text)
    assert asked == {"setup.py": [], "Makefile": [], "pyproject.toml": []}
