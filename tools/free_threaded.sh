#!/bin/sh
# A CPython without the GIL, in a folder, built from Debian's source package: no package of
# Debian's has one.
#
#   tools/free_threaded.sh make FOLDER      makes FOLDER/bin/python3.13t, if it is not there
#
# Needs root for what the build takes from the system's packages. Takes some minutes.
#
# PYAIO_DEBIAN_MIRROR   where the source comes from (what apt's sources here say)
set -eu

VERSION=3.13
SUITE=trixie
# Without these the interpreter lacks modules that the tests use.
NEEDS="gcc make xz-utils libc6-dev libssl-dev zlib1g-dev libffi-dev libsqlite3-dev libbz2-dev liblzma-dev"

say() {
    printf '==> %s\n' "$*" >&2
}

fail() {
    printf 'free_threaded: %s\n' "$*" >&2
    exit 1
}

# The source archive, in the present folder.
get_source() {
    mirror=$(sh "$TOOLS/debian_tree.sh" mirror) || exit 1
    mkdir -p lists/partial
    echo "deb-src $mirror $SUITE main" >sources.list
    options="-o Dir::Etc::sourcelist=$PWD/sources.list -o Dir::Etc::sourceparts=-
        -o Dir::State::lists=$PWD/lists -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086  # a list of options
    {
        apt-get $options update -q &&
            apt-get $options source -q --download-only --only-source --tar-only "python$VERSION"
    } >source.log 2>&1 || {
        tail -n 20 source.log >&2
        fail "Debian's source of Python $VERSION could not be had."
    }
}

build() {
    tar xf "python${VERSION}"_*.orig.tar.xz
    cd Python-*/
    # To compile each module three times over takes as long as to build the interpreter; it
    # compiles what it imports. Virtual environments find the pip that they need.
    {
        ./configure -q --disable-gil --with-ensurepip=no --prefix="$1" &&
            make -s -j "$(nproc)" && make -s install COMPILEALL_OPTS=-l
    } >../build.log 2>&1 || {
        tail -n 20 ../build.log >&2
        fail "Python $VERSION could not be built."
    }
}

make_interpreter() {
    if "$1/bin/python${VERSION}t" -c '' 2>/dev/null; then
        return
    fi
    say "Building Python $VERSION without the GIL in $1"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $NEEDS \
        >install.log 2>&1 || {
        tail -n 20 install.log >&2
        fail "this could not be installed: $NEEDS"
    }
    get_source
    build "$1"
}

TOOLS=$(cd "$(dirname "$0")" && pwd)
case ${1:-} in
make) make_interpreter "$2" ;;
*) fail "there is no ${1:-nothing}, only make." ;;
esac
