"""Runs all files, looks again at what failed, and tells what is wrong.

A run has three parts. First each file, but for what is excluded, as many side by side as
there are jobs. Then each excluded test alone: one that passes is excluded for no reason.
Then each test that failed, alone, on pyaio and on stock asyncio: what fails on asyncio,
too, is the machine's doing (no network, no IPv6, ...), and told apart; so is what passes
alone, TIMES times: many of these tests have limits of a tenth of a second, and a machine
with other work keeps them waiting for longer. Nothing is forgiven where a test took its
process with it or hung, or where more than FORGIVEN failed by chance.
"""

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from tests.stdlib import exclusions, processes

TIMES = 5
FORGIVEN = 3
SHORT_LIMIT = 10.0  # seconds for an excluded test: many of them hang


@dataclass
class File:
    """One file's tests, by how they ended."""

    module: str
    tests: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # of these, with their process
    by_chance: dict[str, str] = field(default_factory=dict)
    asyncio_fails: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def run(self):
        return sum(map(len, (self.passed, self.failed, self.by_chance, self.asyncio_fails)))

    @property
    def total(self):
        return self.run + len(self.skipped) + len(self.excluded)


@dataclass
class Run:
    """The outcome of everything; problems are sentences about all of it."""

    files: list[File]
    problems: list[str]

    @property
    def is_good(self):
        return not self.problems and not any(file.failed for file in self.files)

    def count(self, what):
        """The sum over the files of what File has under this name."""
        values = [getattr(file, what) for file in self.files]
        return sum(value if isinstance(value, int) else len(value) for value in values)


class Runner:
    """loop: "pyaio" or "asyncio"; say() is called with a line whenever something is known."""

    def __init__(self, loop, jobs, limit, excluded, say):
        self.loop = loop
        self.limit = limit
        self.excluded = excluded if loop == "pyaio" else exclusions.Exclusions({}, {})
        self.say = say
        self.pool = ThreadPoolExecutor(jobs)

    def run(self, modules, complete):
        """Run these files; complete tells whether they are all that there are."""
        try:
            files = sorted(self._files(modules), key=lambda file: file.module)
            problems = [*self._unknown(files), *self._excluded_for_nothing(files)]
            if self.loop == "pyaio":
                self._look_again(files)
        finally:
            self.pool.shutdown(wait=False, cancel_futures=True)
            processes.stop_all()
        run = Run(files, problems)
        if run.count("by_chance") > FORGIVEN:
            problems.append(
                f"{run.count('by_chance')} tests failed by chance: more than {FORGIVEN}"
            )
        if complete and exclusions.too_many(run.count("excluded"), run.count("total")):
            problems.append(
                f"{run.count('excluded')} of {run.count('total')} tests are excluded: "
                f"more than {exclusions.PERCENT_ALLOWED:g} %"
            )
        return run

    def _files(self, modules):
        runs = {self.pool.submit(self._run_file, module): module for module in modules}
        for done in as_completed(runs):
            file = done.result()
            state = f"{len(file.failed)} failed" if file.failed else "ok"
            self.say(f"{file.module}: {file.run} run, {state}, {file.seconds:.0f} s")
            yield file

    def _run_file(self, module):
        without = self.excluded.of_module(module)
        done = processes.run_file(self.loop, module, without, self.limit)
        file = File(module, done.tests, seconds=done.seconds)
        file.excluded = sorted(without.intersection(done.tests))
        for test, result in done.results.items():
            if result.outcome == "passed":
                file.passed.append(test)
            else:
                getattr(file, result.outcome)[test] = result.detail
            if result.lost:
                file.lost.add(test)
        return file

    # ---- what is excluded ----

    def _unknown(self, files):
        for file in files:
            for test in sorted(self.excluded.of_module(file.module) - set(file.tests)):
                yield f"{test} is excluded, but there is no such test here"

    def _excluded_for_nothing(self, files):
        tests = [test for file in files for test in file.excluded]
        for test, result in zip(tests, self._alone(self.loop, tests, SHORT_LIMIT), strict=True):
            if result.outcome != "failed":
                yield f"{test} is excluded, but has {result.outcome}"

    # ---- what failed ----

    def _look_again(self, files):
        for file in files:
            tests = list(file.failed)
            theirs = self._alone("asyncio", tests, self.limit)
            for test, stock in zip(tests, theirs, strict=True):
                if stock.outcome == "failed":
                    file.asyncio_fails[test] = stock.detail
                    del file.failed[test]
                elif test not in file.lost and self._passes_alone(test):
                    file.by_chance[test] = file.failed.pop(test)

    def _passes_alone(self, test):
        results = self._alone("pyaio", [test] * TIMES, self.limit)
        return all(result.outcome == "passed" for result in results)

    def _alone(self, loop, tests, limit):
        return self.pool.map(lambda test: processes.run_alone(loop, test, limit), tests)
