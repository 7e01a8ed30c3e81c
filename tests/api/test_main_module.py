"""python -m pyaio runs a program as python runs it, with asyncio's own calls giving pyaio loops.

python itself is the oracle: each program runs once under each, and exit code, output and errors
must be the same to the letter.
"""

import inspect
import os
import signal
import subprocess
import sys

import pytest
from helpers import HANG, Child, child_env, run_python

SHOW_COMMAND = """
import sys
main = sys.modules["__main__"]
print(sys.argv)
print(sys.path)
print(__name__, __package__, __doc__, main.__dict__ is globals())
"""

SHOW = (
    SHOW_COMMAND
    + """
print(globals().get("__file__"), getattr(__spec__, "name", None))
print(sorted(n for n in globals() if n not in ("__annotations__", "__conditional_annotations__")))
"""
)


def write(path, source):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(inspect.cleandoc(source) + "\n")


@pytest.fixture
def both(tmp_path, pyaio):
    """`both(*args)`: run `python *args` and `python -m pyaio *args`; return what both gave."""

    def both(*args, flags=(), input=""):
        def run(*before):
            done = subprocess.run(
                [sys.executable, *flags, *before, *args],
                input=input,
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=child_env({"PYTHONDONTWRITEBYTECODE": "1"}),
                timeout=HANG,
            )
            return done.returncode, done.stdout, done.stderr

        plain, ours = run(), run("-m", "pyaio")
        assert ours == plain
        return plain

    return both


# What a program sees


@pytest.mark.parametrize("arguments", [(), ("one", "--two", "-m", "-c", "3 4", "")])
def test_a_script(both, tmp_path, arguments):
    write(tmp_path / "script.py", SHOW)
    code, out, _ = both("script.py", *arguments)
    assert code == 0 and out.startswith(repr(["script.py", *arguments]))


def test_a_script_in_another_folder(both, tmp_path):
    write(tmp_path / "folder" / "neighbour.py", "print('imported')")
    write(tmp_path / "folder" / "script.py", "import neighbour\n" + SHOW)
    code, out, _ = both(os.path.join("folder", "script.py"))
    assert code == 0 and out.startswith("imported\n")


def test_a_script_by_its_absolute_path(both, tmp_path):
    write(tmp_path / "script.py", SHOW)
    assert both(str(tmp_path / "script.py"), "argument")[0] == 0


def test_a_script_through_a_symbolic_link(both, tmp_path):
    write(tmp_path / "real" / "script.py", SHOW)
    (tmp_path / "link.py").symlink_to(tmp_path / "real" / "script.py")
    assert both("link.py")[0] == 0


def test_a_script_without_an_extension(both, tmp_path):
    write(tmp_path / "script", SHOW)
    assert both("script")[0] == 0


def test_a_script_with_a_doc_string_and_a_coding_line(both, tmp_path):
    source = "# -*- coding: latin-1 -*-\n'''The doc.'''\nname = 'caf\xe9'\nprint(__doc__, name)\n"
    (tmp_path / "script.py").write_bytes(source.encode("latin-1"))
    assert both("script.py")[1].startswith("The doc. caf")


def test_a_folder_with_a_main_module(both, tmp_path):
    write(tmp_path / "folder" / "__main__.py", SHOW)
    assert both("folder", "argument")[0] == 0


def test_a_module(both, tmp_path):
    write(tmp_path / "module.py", SHOW)
    code, out, _ = both("-m", "module", "argument", "-c")
    assert code == 0 and "'argument', '-c']" in out


def test_an_option_and_its_argument_in_one_word(both, tmp_path):
    write(tmp_path / "module.py", SHOW)
    code, out, _ = both("-mmodule", "argument")
    assert code == 0 and "'argument']" in out
    assert both("-cimport sys; print(sys.argv)", "argument")[1] == "['-c', 'argument']\n"


def test_a_script_behind_the_end_of_the_options(both, tmp_path):
    write(tmp_path / "script.py", SHOW)
    code, out, _ = both("--", "script.py", "--", "argument")
    assert code == 0 and out.startswith(repr(["script.py", "--", "argument"]))


def test_a_module_in_a_package(both, tmp_path):
    write(tmp_path / "package" / "__init__.py", "")
    write(tmp_path / "package" / "module.py", "from . import other\n" + SHOW)
    write(tmp_path / "package" / "other.py", "print('relative')")
    assert both("-m", "package.module")[0] == 0


def test_a_package_with_a_main_module(both, tmp_path):
    write(tmp_path / "package" / "__init__.py", "print('package')")
    write(tmp_path / "package" / "__main__.py", SHOW)
    assert both("-m", "package", "argument")[0] == 0


def test_a_command(both):
    code, out, _ = both("-c", SHOW_COMMAND, "argument", "-m")
    assert code == 0 and out.startswith("['-c', 'argument', '-m']")


def test_a_program_on_standard_input(both):
    code, out, _ = both("-", "argument", input=SHOW_COMMAND)
    assert code == 0 and out.startswith("['-', 'argument']")


def test_a_program_on_standard_input_without_an_argument(both):
    assert both(input=SHOW_COMMAND)[0] == 0


@pytest.mark.parametrize("flags", [("-O",), ("-X", "dev"), ("-P",), ("-I",), ("-W", "error")])
def test_flags_of_the_interpreter(both, tmp_path, flags):
    if "-I" in flags and os.environ.get("PYTHONPATH"):
        pytest.skip("-I hides the PYTHONPATH that pyaio may be found by")
    write(tmp_path / "script.py", SHOW + "print(sys.flags, sys.warnoptions, __debug__)\n")
    assert both("script.py", flags=flags)[0] == 0


def test_the_script_reads_standard_input(both, tmp_path):
    write(tmp_path / "script.py", "print(input() + '!')")
    assert both("script.py", input="hello\n")[1] == "hello!\n"


def test_what_is_pickled_in_main_is_found_there(both, tmp_path):
    write(
        tmp_path / "script.py",
        """
        import pickle, __main__
        class Point:
            pass
        assert type(pickle.loads(pickle.dumps(Point()))) is Point is __main__.Point
        print(Point.__module__)
        """,
    )
    assert both("script.py")[:2] == (0, "__main__\n")


def test_a_function_shows_its_source(both, tmp_path):
    write(
        tmp_path / "script.py",
        """
        import inspect
        def function():
            return 1
        print(inspect.getsource(function))
        """,
    )
    assert both("script.py")[0] == 0


def test_exit_handlers_and_threads_end_as_usual(both, tmp_path):
    write(
        tmp_path / "script.py",
        """
        import atexit, threading
        atexit.register(print, "at exit")
        def work():
            threading.main_thread().join()
            print("thread")
        threading.Thread(target=work).start()
        print("main")
        """,
    )
    assert both("script.py")[1] == "main\nthread\nat exit\n"


def test_a_global_lives_until_the_end(both, tmp_path):
    write(
        tmp_path / "script.py",
        """
        import atexit
        value = "alive"
        atexit.register(lambda: print(value))
        """,
    )
    assert both("script.py")[1] == "alive\n"


def test_deprecation_warnings_of_main_are_shown(both, tmp_path):
    write(tmp_path / "script.py", "import warnings; warnings.warn('old', DeprecationWarning)")
    assert "DeprecationWarning: old" in both("script.py")[2]


# How a program ends

ENDINGS = {
    "exit with a code": ("import sys; sys.exit(3)", 3),
    "exit with a message": ("import sys; sys.exit('a message')", 1),
    "exit with nothing": ("import sys; sys.exit()", 0),
    "exit with an object": ("raise SystemExit([1])", 1),
    "exit at once": ("import os; os._exit(5)", 5),
    "quit": ("quit(4)", 4),
    "an exception": ("def function():\n    1 / 0\n\nfunction()", 1),
    "a chained exception": (
        "try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError() from e",
        1,
    ),
    "an exception group": ("raise ExceptionGroup('group', [ValueError(1), TypeError(2)])", 1),
    "a syntax error": ("def function(:\n    pass", 1),
    "an indentation error": ("if True:\npass", 1),
    "a failing import": ("import no_such_module", 1),
    "an exception hook": ("import sys; sys.excepthook = lambda *e: print('hook', e[0]); 1 / 0", 1),
    "a base exception": ("class Odd(BaseException): pass\nraise Odd('odd')", 1),
    "a kill": ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM),
    "nothing": ("", 0),
}


@pytest.mark.parametrize(("source", "code"), ENDINGS.values(), ids=ENDINGS)
def test_the_end_of_a_script(both, tmp_path, source, code):
    (tmp_path / "script.py").write_text(source + "\n")
    assert both("script.py")[0] == code


@pytest.mark.parametrize("name", ["exit with a code", "an exception", "a syntax error"])
def test_the_end_of_a_command(both, name):
    source, code = ENDINGS[name]
    assert both("-c", source)[0] == code


@pytest.mark.parametrize("name", ["exit with a code", "exit with a message", "nothing"])
def test_the_end_of_a_module(both, tmp_path, name):
    source, code = ENDINGS[name]
    (tmp_path / "module.py").write_text(source + "\n")
    assert both("-m", "module")[0] == code


def test_a_traceback_of_a_module_shows_no_frame_of_ours(tmp_path, pyaio):
    # Nor need it show those of runpy, which python itself does.
    (tmp_path / "module.py").write_text("1 / 0\n")
    done = run_python("-m", "pyaio", "-m", "module", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "module.py" in done.stderr and "/pyaio/" not in done.stderr


def test_a_traceback_out_of_asyncio_run_is_the_same(both, tmp_path):
    write(
        tmp_path / "script.py",
        """
        import asyncio
        async def main():
            await asyncio.sleep(0)
            raise LookupError("from main")
        asyncio.run(main())
        """,
    )
    code, _, errors = both("script.py")
    assert code == 1 and errors.endswith("LookupError: from main\n")


def test_ctrl_c_ends_a_script_as_python_does(tmp_path, pyaio):
    write(
        tmp_path / "script.py",
        """
        import asyncio
        async def main():
            print("ready", flush=True)
            await asyncio.sleep(3600)
        asyncio.run(main())
        """,
    )
    with Child(["-m", "pyaio", str(tmp_path / "script.py")]) as process:
        process.expect("ready")
        process.signal()
        code, _, errors = process.finish()
    assert code == -signal.SIGINT and errors.endswith("KeyboardInterrupt\n")
    assert os.path.join("pyaio", "__main__.py") not in errors


# What cannot be run


def test_a_missing_script(both):
    code, out, errors = both("missing.py")
    assert (code, out) == (2, "")
    assert "can't open file" in errors and "No such file or directory" in errors


def test_a_missing_script_in_a_missing_folder(both):
    assert both("no/such/folder/missing.py", "argument")[0] == 2


def test_a_folder_without_a_main_module(both, tmp_path):
    (tmp_path / "folder").mkdir()
    assert both("folder")[0] == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_script_that_cannot_be_read(both, tmp_path):
    write(tmp_path / "script.py", SHOW)
    (tmp_path / "script.py").chmod(0)
    assert both("script.py")[0] == 2


@pytest.mark.parametrize("module", ["no_such_module", "no.such.module", "sys"])
def test_a_missing_module(both, module):
    code, out, errors = both("-m", module)
    assert (code, out) == (1, "") and module.partition(".")[0] in errors


def test_a_package_without_a_main_module(both, tmp_path):
    write(tmp_path / "package" / "__init__.py", "")
    code, _, errors = both("-m", "package")
    assert code == 1 and "cannot be directly executed" in errors


@pytest.mark.parametrize("option", ["-m", "-c"])
def test_an_option_without_its_argument_is_refused(pyaio, option):
    done = run_python("-m", "pyaio", option)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_an_unknown_option_is_refused(pyaio):
    done = run_python("-m", "pyaio", "--no-such-option")
    assert done.returncode == 2 and "--no-such-option" in done.stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_shows_the_usage(pyaio, option):
    done = run_python("-m", "pyaio", option)
    assert done.returncode == 0 and "python -m pyaio" in done.stdout


def test_on_a_terminal_it_shows_the_usage_without_arguments(pyaio):
    ours, theirs = os.openpty()
    try:
        command = [sys.executable, "-m", "pyaio"]
        out = subprocess.check_output(command, stdin=theirs, text=True, timeout=HANG)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "python -m pyaio" in out


# The loops that it gets

LOOPS = {
    "asyncio.run": """
        async def main():
            return asyncio.get_running_loop()
        show(asyncio.run(main()))
    """,
    "asyncio.Runner": """
        with asyncio.Runner() as runner:
            show(runner.get_loop())
    """,
    "Runner(debug)": """
        with asyncio.Runner(debug=True) as runner:
            show(runner.get_loop())
    """,
    "asyncio.new_event_loop": """
        loop = asyncio.new_event_loop()
        show(loop)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    """,
    "asyncio.events.new_event_loop": """
        import asyncio.events
        loop = asyncio.events.new_event_loop()
        show(loop)
        loop.close()
    """,
    "from asyncio import new_event_loop": """
        from asyncio import new_event_loop
        loop = new_event_loop()
        show(loop)
        loop.close()
    """,
    "in a thread": """
        import threading
        async def main():
            show(asyncio.get_running_loop())
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        thread.join()
    """,
    "IsolatedAsyncioTestCase": """
        import io, logging, unittest
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # it is in debug mode
        class Case(unittest.IsolatedAsyncioTestCase):
            async def test(self):
                show(asyncio.get_running_loop())
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(Case)
        assert unittest.TextTestRunner(io.StringIO()).run(suite).wasSuccessful()
    """,
}

SHOW_LOOP = """
import asyncio

def show(loop):
    import pyaio
    print(isinstance(loop, pyaio.Loop))

"""


@pytest.mark.parametrize("way", ["script", "module", "command", "stdin"])
@pytest.mark.parametrize("body", LOOPS.values(), ids=LOOPS)
def test_an_unchanged_program_gets_a_pyaio_loop(tmp_path, pyaio, body, way):
    source = SHOW_LOOP + inspect.cleandoc(body)
    (tmp_path / "module.py").write_text(source)
    args = {
        "script": ["module.py"],
        "module": ["-m", "module"],
        "command": ["-c", source],
        "stdin": ["-"],
    }[way]
    done = run_python(
        "-W", "error", "-m", "pyaio", *args, cwd=tmp_path, input=source if way == "stdin" else None
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_program_that_asks_for_another_loop_gets_that(tmp_path, pyaio):
    source = SHOW_LOOP + inspect.cleandoc(
        """
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            show(runner.get_loop())
        loop = asyncio.SelectorEventLoop()
        show(loop)
        loop.close()
        """
    )
    done = run_python("-W", "error", "-m", "pyaio", "-c", source)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\nFalse\n", "")


SPAWNING = """
import asyncio, multiprocessing
from concurrent.futures import ProcessPoolExecutor

def double(x):
    return 2 * x

async def main():
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        print(await asyncio.gather(*(loop.run_in_executor(pool, double, i) for i in range(4))))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["script", "module"])
def test_a_program_may_spawn_processes(both, tmp_path, way):
    (tmp_path / "module.py").write_text(SPAWNING)
    args = {"script": ["module.py"], "module": ["-m", "module"]}[way]
    assert both(*args)[:2] == (0, "[0, 2, 4, 6]\n")
