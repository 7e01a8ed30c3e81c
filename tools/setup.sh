#!/bin/sh
# Makes everything ready to run pyaio from this checkout: installs what the system
# lacks, makes the virtual environment, builds the extension. The Makefile calls it:
#
#     tools/setup.sh [EXTRA...]       the extras of pyproject.toml: test demo bench lint
#
# bench also brings the event loops that pyaio is measured beside, the programs that are
# measured on them, and what the load is made with, as far as they are there.
#
# PYTHON  the interpreter to use (otherwise python3, or the newest python3.N)
# VENV    the virtual environment (.venv)
# The options of setup.py (PYAIO_WERROR=1 and so on) are passed on.
#
# What is up to date is left alone: a second call starts no download and no build.
set -eu

cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
MANAGERS="apt-get dnf apk brew"
NEEDS_LIBUV=1.44

# A user's install folder has no place in a virtual environment; the rest of pip's
# configuration stays as it is.
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

say() {
    printf '==> %s\n' "$*"
}

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# ---- the interpreter ----

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Prints the path of the interpreter; nothing when there is none.
find_python() {
    for name in ${PYTHON:-python3 python3.15 python3.14 python3.13 python3.12 python3.11}; do
        if have "$name" && is_new_enough "$name"; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

# Whether the packages of the system's package manager belong to this interpreter.
is_of_the_system() {
    "$1" -c 'import sys; sys.exit(sys.base_prefix not in ("/usr", "/"))'
}

# ---- what the system lacks ----

can_compile() {
    probe=$(mktemp -d)
    printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' >"$probe/probe.c"
    ${CC:-$@} -o "$probe/probe" "$probe/probe.c" >/dev/null 2>&1 && status=0 || status=1
    rm -rf "$probe"
    return "$status"
}

compiler_of() {
    "$1" -c 'import sysconfig; print((sysconfig.get_config_var("CC") or "cc").split()[0])'
}

has_headers() {
    "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

# Prints the names of what is missing, as in package_of().
missing() {
    python=$(find_python)
    if [ -z "$python" ]; then
        echo python headers venv
    else
        has_headers "$python" || echo headers
        "$python" -c 'import ensurepip, venv' 2>/dev/null || echo venv
    fi
    can_compile "$([ -z "$python" ] && echo cc || compiler_of "$python")" || echo compiler
    have make || echo make
    if ! have "${PKG_CONFIG:-pkg-config}"; then
        echo pkg-config libuv
    else
        "${PKG_CONFIG:-pkg-config}" --atleast-version=$NEEDS_LIBUV libuv || echo libuv
    fi
}

# package_of MANAGER NEED: the packages that bring it.
package_of() {
    case $1/$2 in
    apt-get/headers) echo "python$PYTHON_VERSION-dev" ;;
    apt-get/venv) echo "python$PYTHON_VERSION-venv" ;;
    apt-get/compiler) echo gcc libc6-dev ;;
    apt-get/libuv) echo libuv1-dev ;;
    apt-get/openssl) echo libssl-dev ;;
    dnf/headers) echo "python$PYTHON_VERSION-devel" ;;
    dnf/compiler) echo gcc ;;
    dnf/pkg-config) echo pkgconf-pkg-config ;;
    dnf/libuv) echo libuv-devel ;;
    dnf/openssl) echo openssl-devel ;;
    apk/headers) echo python3-dev ;;
    apk/compiler) echo gcc musl-dev ;;
    apk/pkg-config) echo pkgconf ;;
    apk/libuv) echo libuv-dev ;;
    apk/openssl) echo openssl-dev ;;
    brew/compiler) fail "there is no C compiler; install it with: xcode-select --install" ;;
    brew/pkg-config) echo pkgconf ;;
    brew/libuv) echo libuv ;;
    brew/python) echo python ;;
    */venv | brew/headers) echo "" ;;
    */python) echo python3 ;;
    *) echo "$2" ;;
    esac
}

# ---- installing it ----

find_manager() {
    for name in $MANAGERS; do
        if have "$name"; then
            echo "$name"
            return
        fi
    done
}

# Prints what a command has to start with to run as root; fails when nothing does.
root_prefix() {
    if [ "$(id -u)" = 0 ] || [ "$1" = brew ]; then
        echo ""
    elif have sudo && sudo -n true 2>/dev/null; then
        echo "sudo -n"
    elif have sudo && [ -t 0 ]; then
        echo sudo
    else
        return 1
    fi
}

install_command() {
    manager=$1
    shift
    case $manager in
    apt-get) echo "apt-get install -y --no-install-recommends $*" ;;
    dnf) echo "dnf install -y $*" ;;
    apk) echo "apk add $*" ;;
    brew) echo "brew install $*" ;;
    esac
}

# install_packages NEED...: installs them, or says who has to do what.
install_packages() {
    manager=$(find_manager)
    [ -n "$manager" ] || fail "missing: $*; none of $MANAGERS is here to install it with."
    packages=
    for need in "$@"; do
        packages="$packages $(package_of "$manager" "$need")"
    done
    # shellcheck disable=SC2086  # a list of packages
    command=$(install_command "$manager" $packages)
    prefix=$(root_prefix "$manager") ||
        fail "missing: $*; run this as root, then try again: $command"
    say "Installing what is missing ($*): ${prefix:+$prefix }$command"
    if [ "$manager" = apt-get ]; then
        # An unreachable source must not stop what the others have.
        $prefix apt-get update -q || say "apt-get update failed; going on with the old lists"
        command="env DEBIAN_FRONTEND=noninteractive $command"
    fi
    # shellcheck disable=SC2086  # the words of a command
    $prefix $command </dev/null || fail "this failed: $prefix $command"
}

check_system() {
    [ -z "${CC:-}" ] || can_compile || fail "CC is $CC, and that compiles no program."
    python=$(find_python)
    PYTHON_VERSION=3
    if [ -n "$python" ]; then
        PYTHON_VERSION=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    elif [ -n "${PYTHON:-}" ]; then
        fail "$PYTHON is not a Python of 3.11 or newer."
    fi
    needs=$(missing | tr '\n' ' ')
    case " $needs" in
    *" headers "* | *" venv "*)
        if [ -n "$python" ] && ! is_of_the_system "$python"; then
            fail "$python lacks its C headers or the modules venv and ensurepip;" \
                "install it whole, or choose another interpreter with PYTHON=..."
        fi
        ;;
    esac
    # shellcheck disable=SC2086  # a list of needs
    [ -z "$needs" ] || install_packages $needs
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or newer is needed; name it with PYTHON=..."
    left=$(missing | tr '\n' ' ')
    [ -z "$left" ] || fail "still missing, or too old (libuv has to be $NEEDS_LIBUV): $left"
}

# ---- the virtual environment ----

# Whether the virtual environment runs, and on the interpreter that was asked for.
has_venv() {
    [ -x "$VENV/bin/python" ] && is_new_enough "$VENV/bin/python" || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version_of "$VENV/bin/python")" = "$(version_of "$PYTHON")" ]
}

version_of() {
    "$1" -c 'import sys; print(sys.version)' 2>/dev/null
}

make_venv() {
    say "Making the virtual environment $VENV with $("$python" -V) ($python)"
    rm -rf "$VENV"
    "$python" -m venv "$VENV" || fail "$python could not make the environment $VENV."
    mkdir -p "$STAMPS"
}

# is_current STAMP KEY
is_current() {
    [ -f "$STAMPS/$1" ] && [ "$(cat "$STAMPS/$1")" = "$2" ]
}

stamp() {
    printf '%s\n' "$2" >"$STAMPS/$1"
}

# Prints the requirements of the extras and groups; "build" is what the build itself needs.
requirements() {
    "$VENV/bin/python" - "$@" <<'PYTHON'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    pyproject = tomllib.load(file)
extras = pyproject["project"]["optional-dependencies"]
extras["build"] = pyproject["build-system"]["requires"]
extras.update(pyproject["dependency-groups"])
for name in sys.argv[1:]:
    if name not in extras:
        sys.exit(f"setup: there is no extra {name!r}, only {', '.join(sorted(extras))}.")
    print("\n".join(extras[name]))
PYTHON
}

install_requirements() {
    wanted=
    for extra in build "$@"; do
        is_current "extra-$extra" "$PROJECT_KEY" || wanted="$wanted $extra"
    done
    [ -n "$wanted" ] || return 0
    # shellcheck disable=SC2086  # a list of names
    packages=$(requirements $wanted) || exit 1
    say "Installing Python packages for:$wanted"
    if is_free_threaded "$VENV/bin/python"; then
        # shellcheck disable=SC2086  # requirements hold no spaces
        install_what_there_is $packages
    else
        # shellcheck disable=SC2046,SC2086
        "$VENV/bin/python" -m pip install $packages ||
            fail "pip could not install:" $packages "(is the package index within reach?)"
    fi
    for extra in $wanted; do
        stamp "extra-$extra" "$PROJECT_KEY"
    done
}

is_free_threaded() {
    "$1" -c 'import sys, sysconfig; sys.exit(not sysconfig.get_config_var("Py_GIL_DISABLED"))'
}

# No sources: what has to be compiled first may need compilers of other languages.
install_what_there_is() {
    for name in "$@"; do
        "$VENV/bin/python" -m pip install --quiet --only-binary :all: "$name" ||
            say "$name is left out: there is no package of it for this interpreter and system"
    done
}

# Without one of them there is a column or a row less, and the benchmarks say so: no reason to stop.
install_measured() {
    ! is_current measured "$PROJECT_KEY" || return 0
    measured=$(requirements rivals apps) || exit 1
    say "Installing what is measured:" $measured
    # shellcheck disable=SC2086  # requirements hold no spaces
    install_what_there_is $measured
    stamp measured "$PROJECT_KEY"
}

# wrk, and OpenSSL's headers for the programs in C, which are for Linux. Each in a subshell, as
# install_packages ends what it is called from.
install_load() {
    [ "$(uname)" = Linux ] || return 0
    have wrk || (install_packages wrk) || say "Going on without wrk"
    "${PKG_CONFIG:-pkg-config}" --exists openssl || (install_packages openssl) ||
        say "Going on without OpenSSL's headers, and so without a load for servers"
}

# ---- pyaio itself ----

has_core() {
    "$VENV/bin/python" -I -S -c 'import os, sys, sysconfig
sys.exit(not os.path.exists("pyaio/_core" + sysconfig.get_config_var("EXT_SUFFIX")))'
}

install_project() {
    if ! is_current project "$PROJECT_KEY"; then
        say "Building pyaio and installing it into $VENV"
        "$VENV/bin/python" -m pip install --no-deps --no-build-isolation --editable . ||
            fail "pyaio could not be built; the reason stands above."
    elif ! is_current core "$CORE_KEY" || ! has_core; then
        say "Building pyaio's extension: the sources or the options have changed"
        "$VENV/bin/python" setup.py --quiet build_ext --inplace ||
            fail "pyaio could not be built; the reason stands above."
    else
        return 0
    fi
    check_core
    stamp project "$PROJECT_KEY"
    stamp core "$CORE_KEY"
}

# Sanitizers have to be loaded before Python is: then only a test run can tell.
check_core() {
    [ -n "${PYAIO_SANITIZE:-}" ] || "$VENV/bin/python" -c 'import pyaio' ||
        fail "pyaio was built, but does not load; the reason stands above."
}

# The content of what a step depends on, in a few bytes.
key_of() {
    cksum | tr -d ' '
}

main() {
    STAMPS=$VENV/.pyaio
    PROJECT_KEY=$(cat pyproject.toml setup.py | key_of)
    CORE_KEY=$({
        find csrc -name '*.[ch]' -exec cksum {} + | sort
        env | grep -E '^(PYAIO_|CC=|CFLAGS=|LDFLAGS=|PKG_CONFIG)' | sort || true
    } | key_of)

    if ! has_venv; then
        check_system
        make_venv
    elif ! is_current project "$PROJECT_KEY" || ! is_current core "$CORE_KEY"; then
        PYTHON=$VENV/bin/python check_system
    fi
    mkdir -p "$STAMPS"
    install_requirements "$@"
    case " $* " in *" bench "*)
        install_measured
        install_load
        ;;
    esac
    install_project
    say "Ready: $("$VENV/bin/python" -V) in $VENV"
}

main "$@"
