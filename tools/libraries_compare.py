"""Compares what a library's own tests brought on asyncio and on pyaio. Called by libraries.py.

What came out worse on pyaio is run again, alone, on both loops, up to TIMES times. It counts
as pyaio's where it fails each time there and never on asyncio. What passes alone failed by
chance, or by what another test had left, and is named; more than FORGIVEN of these are too
many for chance.
"""

from dataclasses import dataclass, field

from libraries_run import Results, Suite

TIMES = 3
FORGIVEN = 5
MANY = 20  # more are not looked at again: the run as a whole went wrong
ENOUGH = 0.9  # of the tests that are noted to pass have to


@dataclass
class Comparison:
    """What is known of a library; each failed test is in one of the four groups."""

    asyncio: Results
    pyaio: Results
    on_both: set[str] = field(default_factory=set)
    known: dict[str, str] = field(default_factory=dict)
    by_chance: dict[str, str] = field(default_factory=dict)
    on_pyaio_only: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self):
        return not self.problems and not self.on_pyaio_only


def compare(suite, asyncio, pyaio):
    """The Comparison of two runs of a Suite; runs what differs again, if the runs are whole."""
    found = Comparison(asyncio, pyaio, on_both=asyncio.named("failed") & pyaio.named("failed"))
    library = suite.library
    for loop, results in (("asyncio", asyncio), ("pyaio", pyaio)):
        found.problems += problems_of(library, loop, results)
    if found.problems:
        return found
    found.problems += listed_for_nothing(library.known, asyncio, pyaio)
    worse = worse_on_pyaio(asyncio, pyaio)
    found.known = {test: library.known[test] for test in worse if test in library.known}
    look_again(suite, found, [test for test in worse if test not in library.known])
    if len(found.by_chance) > FORGIVEN:
        found.problems.append(f"{len(found.by_chance)} tests failed by chance: over {FORGIVEN}")
    return found


def problems_of(library, loop, results):
    """Sentences on why a run proves nothing."""
    other = {"asyncio": "pyaio", "pyaio": "asyncio"}[loop]
    if results.failure:
        yield f"on {loop}, {results.failure}"
    elif not results.loops[loop]:
        yield f"the tests on {loop} made no loop of {loop}'s"
    elif results.loops[other]:
        yield f"the tests on {loop} made {results.loops[other]} loops of {other}'s"
    # What is too few on asyncio shows there; on pyaio each test has its own sentence.
    passed = results.count("passed")
    if loop == "asyncio" and passed < library.passes * ENOUGH:
        yield (
            f"only {passed} of its tests pass on asyncio, {library.passes} are known to: "
            "is a package missing that they need, or a file that did not load?"
        )


def listed_for_nothing(known, asyncio, pyaio):
    """Known differences have to be there, or the list is not true any more."""
    for test in known:
        there, here = asyncio.outcomes.get(test), pyaio.outcomes.get(test)
        if there is None:
            yield f"{test} is a known difference, but there is no such test"
        elif here == "passed" or here == there:
            yield f"{test} is a known difference, but it has {here} on pyaio, {there} on asyncio"


def worse_on_pyaio(asyncio, pyaio):
    """The tests that passed on asyncio and not on pyaio, or that failed on pyaio only."""
    lost = asyncio.named("passed") - pyaio.named("passed")
    return sorted(lost | (pyaio.named("failed") - asyncio.named("failed")))


def look_again(suite: Suite, found, tests):
    """Run these tests alone, and put each into its group."""
    for test in tests:
        detail = found.pyaio.details.get(test) or found.pyaio.outcomes.get(test, "it did not run")
        if len(tests) > MANY:
            found.on_pyaio_only[test] = detail
            continue
        here, there, alone = look_alone(suite, test)
        if verdict_of(here, there) == "pyaio":
            found.on_pyaio_only[test] = alone
        elif verdict_of(here, there) == "both":
            found.on_both.add(test)
        else:
            found.by_chance[test] = f"alone on pyaio: {', '.join(here)}\n{detail}"


def look_alone(suite, test):
    """How the test ends on pyaio and on asyncio, as often as it takes; and why on pyaio."""
    here, there, detail = [], [], ""
    while len(here) < TIMES and verdict_of(here, there) == "pyaio":
        outcome, detail = suite.run_alone("pyaio", test)
        here.append(outcome)
        there.append(suite.run_alone("asyncio", test)[0])
    return here, there, detail


def verdict_of(here, there):
    """Whose failure it is, by the outcomes on pyaio and on asyncio: pyaio, both or chance."""
    if "failed" in there:
        return "both"
    return "chance" if "passed" in here else "pyaio"
