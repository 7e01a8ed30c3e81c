"""Builds the extension `pyaio._core` from csrc/; everything static is in pyproject.toml.

Options, all from the environment:
    PYAIO_STATIC_LIBUV=1                link libuv's archive instead of the shared library
    PYAIO_BACKEND=epoll or uv           how the loop waits: by epoll's own calls, which is the
                                        default on Linux, or by libuv, the default elsewhere
    PYAIO_WERROR=1                      warnings are errors
    PYAIO_DEBUG=1                       asserts on, nothing optimised
    PYAIO_SANITIZE=address,undefined    build with these sanitizers of the compiler
    PKG_CONFIG, CC, CFLAGS, LDFLAGS     as everywhere
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
LIBUV_MINIMUM = "1.44"
BACKENDS = ("epoll", "uv")

INSTALL = """
    Debian, Ubuntu   apt-get install gcc libc6-dev make pkg-config libuv1-dev python3-dev
    Fedora           dnf install gcc make pkgconf-pkg-config libuv-devel python3-devel
    Alpine           apk add gcc musl-dev make pkgconf libuv-dev python3-dev
    macOS            brew install pkgconf libuv
"""
INSTALL_STATIC = """
    Debian, Ubuntu   apt-get install libuv1-dev
    Fedora           dnf install libuv-static
    Alpine           apk add libuv-static
    macOS            brew install libuv
"""

STRICT = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]

SPEED = [
    "-fno-plt",  # a call of the interpreter takes no detour over a stub
    "-falign-functions=64",  # no function's speed depends on the length of those before it
    "-falign-loops=32",
]

INSTALL_PIC = """
    in libuv's sources   cmake -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DLIBUV_BUILD_TESTS=OFF \\
                               -DCMAKE_INSTALL_PREFIX=FOLDER . && make install
    for pyaio's build    export PKG_CONFIG_PATH=FOLDER/lib/pkgconfig
"""

PROBE = """\
#include <stdlib.h>
void *probe(void);
void *probe(void) { return malloc(1); }
"""
LIBUV_PROBE = """\
#include <uv.h>
uv_loop_t *probe(void);
uv_loop_t *probe(void) { return uv_default_loop(); }
"""


def stop(sentence, install=INSTALL):
    """End the build with one sentence and the command that helps."""
    sys.exit(f"\npyaio cannot be built: {sentence} Install what is needed with:\n{install}")


def option(name):
    return os.environ.get(name, "") not in ("", "0")


def relative(pattern):
    """The files of csrc/ that match, as setuptools wants them: relative, with slashes."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").rglob(pattern))


def backend():
    """Which of csrc/engine/backend_*.c is built."""
    name = os.environ.get("PYAIO_BACKEND") or ("epoll" if sys.platform == "linux" else "uv")
    if name not in BACKENDS:
        sys.exit(f"PYAIO_BACKEND has to be one of {', '.join(BACKENDS)}, not {name!r}.")
    return name


def sources():
    others = {f"csrc/engine/backend_{name}.c" for name in BACKENDS} - {
        f"csrc/engine/backend_{backend()}.c"
    }
    return [path for path in relative("*.c") if path not in others]


def pkg_config(*args):
    """What pkg-config answers, split as a shell would; None where it says no."""
    command = [*shlex.split(os.environ.get("PKG_CONFIG", "pkg-config")), *args, "libuv"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        stop(f"{command[0]} was not found, and libuv is looked up through it.")
    return shlex.split(done.stdout) if done.returncode == 0 else None


def libuv_version():
    found = pkg_config("--modversion")
    if found is None:
        stop(f"libuv {LIBUV_MINIMUM} or newer is needed, and pkg-config does not know libuv.")
    if pkg_config(f"--atleast-version={LIBUV_MINIMUM}") is None:
        stop(f"libuv {LIBUV_MINIMUM} or newer is needed, and the one here is {found[0]}.")
    return found[0]


def libuv_archive():
    folder = Path(pkg_config("--variable=libdir")[0])
    for name in ("libuv_a.a", "libuv.a"):
        if (folder / name).exists():
            return folder / name
    return stop(
        f"PYAIO_STATIC_LIBUV is set, and {folder} holds no libuv_a.a or libuv.a.", INSTALL_STATIC
    )


def check_python_headers():
    folder = sysconfig.get_path("include")
    if not Path(folder, "Python.h").exists():
        stop(f"Python.h of {sys.executable} was not found in {folder}.")


class BuildCore(build_ext):
    """Finds libuv, chooses the compiler's options, and compiles on all cores."""

    def build_extensions(self):
        self.check_requirements()
        for extension in self.extensions:
            self.configure(extension)
            extension.depends.append(self.record_options(extension))
        super().build_extensions()

    def build_extension(self, ext):
        """Compile the sources side by side: setuptools takes one after the other."""
        compile_one_by_one = self.compiler.compile

        def compile_all(sources, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                compiled = pool.map(lambda one: compile_one_by_one([one], **options), sources)
                return [name for names in compiled for name in names]

        self.compiler.compile = compile_all
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = compile_one_by_one

    def check_requirements(self):
        compiler = self.compiler.compiler_so[0]
        if shutil.which(compiler) is None:
            stop(f"the C compiler {compiler} was not found.")
        if not self.can_build():
            stop(f"the C compiler {compiler} does not build even a small library.")
        check_python_headers()
        self.libuv = libuv_version()

    def configure(self, ext):
        version = self.distribution.get_version()
        ext.define_macros += [("PYAIO_VERSION", f'"{version}"'), ("_GNU_SOURCE", "1")]
        compile_args = ["-std=c11", "-fvisibility=hidden", *STRICT, *pkg_config("--cflags")]
        both = self.mode_args()
        if option("PYAIO_WERROR"):
            both.append("-Werror")
        ext.extra_compile_args += compile_args + both
        ext.extra_link_args += both + self.libuv_link_args()
        print(f"pyaio {version}: {backend()}, libuv {self.libuv}, {' '.join(both)}", flush=True)

    def libuv_link_args(self):
        if not option("PYAIO_STATIC_LIBUV"):
            return pkg_config("--libs")
        archive = libuv_archive()
        others = [arg for arg in pkg_config("--static", "--libs") if not arg.startswith("-luv")]
        args = [str(archive), *others]
        if not self.can_build(*pkg_config("--cflags"), source=LIBUV_PROBE, libraries=args):
            # So it is in Debian: the archive serves programs, not shared libraries.
            stop(f"{archive} was built without -fPIC and fits no extension.", INSTALL_PIC)
        return args

    def mode_args(self):
        """What the compiler and the linker both take: optimisation, asserts, sanitizers."""
        sanitizers, debug = os.environ.get("PYAIO_SANITIZE", ""), option("PYAIO_DEBUG")
        args = ["-UNDEBUG" if debug else "-DNDEBUG"]
        if sanitizers:
            args += ["-O1", "-g", "-fno-omit-frame-pointer", f"-fsanitize={sanitizers}"]
            return [*args, "-fno-sanitize-recover=all"]
        if debug:
            return [*args, "-O0", "-g3"]
        if "-O" not in os.environ.get("CFLAGS", ""):
            args.append("-O3")
        return [*args, *self.speed_args(), *self.lto_args()]

    def speed_args(self):
        """The options of SPEED that this compiler knows."""
        return [flag for flag in SPEED if self.can_build(flag, "-Werror")]

    def lto_args(self):
        """The option for link-time optimisation that this compiler and linker take, if any."""
        return [flag for flag in ("-flto=auto", "-flto") if self.can_build(flag)][:1]

    def can_build(self, *flags, source=PROBE, libraries=()):
        """Whether a shared library comes out of the compiler and linker with these flags."""
        with TemporaryDirectory() as folder:
            probe = Path(folder, "probe.c")
            probe.write_text(source)
            command = [*self.compiler.compiler_so, *flags, "-shared", str(probe), *libraries]
            command += ["-o", str(Path(folder, "probe.so"))]
            return subprocess.run(command, capture_output=True).returncode == 0

    def record_options(self, ext):
        """A file that is newer than the build whenever its options are others.

        setuptools compares dates only; without this a build with other options, another
        compiler or another libuv would keep the objects of the one before.
        """
        options = [
            sys.version, *self.compiler.compiler_so, self.libuv, backend(),
            *ext.extra_compile_args, *ext.extra_link_args, *map(str, ext.define_macros),
        ]  # fmt: skip
        record = Path(self.build_temp).parent / "pyaio-options.txt"
        record.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(options)
        if not record.exists() or record.read_text() != text:
            record.write_text(text)
        return str(record)


setup(
    ext_modules=[
        Extension(
            "pyaio._core",
            sources=sources(),
            depends=relative("*.h"),
            include_dirs=["csrc"],
            libraries=["m"],
        )
    ],
    cmdclass={"build_ext": BuildCore},
)
