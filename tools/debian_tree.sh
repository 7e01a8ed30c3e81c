#!/bin/sh
# A Debian testing in a folder, for interpreters that this machine's own system has not.
#
#   tools/debian_tree.sh make TREE PACKAGE...           make it, or add what it lacks
#   tools/debian_tree.sh run TREE FOLDER COMMAND...     run a command in it, in FOLDER,
#                                                       which is the same inside and outside
#   tools/debian_tree.sh mirror                         print where the packages come from
#
# Needs root. Every mount is made in a mount namespace of the command's own: none is ever
# to be undone, and the folder can be removed at any time like any other.
#
# PYAIO_DEBIAN_MIRROR   where the packages come from (what apt's sources here say)
set -eu

SUITE=forky
SCRIPT=/usr/share/debootstrap/scripts/sid

say() {
    printf '==> %s\n' "$*" >&2
}

fail() {
    printf 'debian_tree: %s\n' "$*" >&2
    exit 1
}

# Debian's own mirror; other sources of apt are not asked.
mirror() {
    if [ -n "${PYAIO_DEBIAN_MIRROR:-}" ]; then
        echo "$PYAIO_DEBIAN_MIRROR"
        return
    fi
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources 2>/dev/null |
        grep -v '^ *#' | tr ' \t' '\n\n' | grep -E '^https?://.*/debian/?$' | head -n 1
}

mirror_or_fail() {
    from=$(mirror)
    [ -n "$from" ] || fail "apt's sources name no Debian mirror; name one in PYAIO_DEBIAN_MIRROR."
    echo "$from"
}

make_tree() {
    from=$(mirror_or_fail)
    command -v debootstrap >/dev/null ||
        apt-get install -y -q --no-install-recommends debootstrap >&2 ||
        fail "debootstrap is needed, and could not be installed."
    say "Making a Debian testing in $1"
    rm -rf --one-file-system "$1.part"
    mkdir -p "$1.part"
    # Signatures are checked where Debian's keys are here (debian-archive-keyring).
    unshare --mount --propagation private debootstrap --variant=minbase \
        "$SUITE" "$1.part" "$from" "$SCRIPT" >&2 || fail "debootstrap failed."
    # A proxy, or what else apt needs here to reach the mirror.
    grep -ls Acquire /etc/apt/apt.conf.d/* | xargs -r cp -t "$1.part/etc/apt/apt.conf.d"
    mv "$1.part" "$1"
}

add_packages() {
    tree=$1
    shift
    if has_packages "$tree" "$@"; then
        return
    fi
    say "Installing $* in $tree"
    in_namespace bare "$tree" / apt-get update -q >"$tree.log" 2>&1 &&
        in_namespace bare "$tree" / env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -q -f --no-install-recommends "$@" >>"$tree.log" 2>&1 || {
        tail -n 20 "$tree.log" >&2
        fail "this could not be installed in $tree: $*"
    }
}

has_packages() {
    tree=$1
    shift
    states=$(in_namespace bare "$tree" / dpkg-query -W -f '${db:Status-Status}\n' "$@" 2>/dev/null) &&
        ! printf '%s\n' "$states" | grep -qvx installed
}

# in_namespace MODE TREE FOLDER COMMAND...
in_namespace() {
    unshare --mount --propagation private sh -eu "$0" "$@"
}

# What a program of this machine finds at a path, one in the tree finds there, too.
share() {
    [ -e "$2" ] || return 0
    if [ -d "$2" ]; then
        mkdir -p "$1$2"
    elif [ ! -e "$1$2" ]; then
        mkdir -p "$(dirname "$1$2")"
        rm -f "$1$2" # a link that leads nowhere
        : >"$1$2"
    fi
    mount --bind "$(readlink -f "$2")" "$1$2"
}

share_to_read() {
    [ -e "$2" ] || return 0
    share "$1" "$2"
    mount -o remount,bind,ro "$1$2"
}

# The files of pip's configuration, and the files and folders that it names. The pages of an
# index link to files beside it: its parent folder is shared, too.
pip_paths() {
    files="/etc/pip.conf $HOME/.config/pip $HOME/.pip ${PIP_CONFIG_FILE:-}"
    for file in $files; do
        echo "$file"
    done
    # shellcheck disable=SC2086  # a list of files
    {
        grep -rhs / $files || true
        env | grep -E '^(PIP_|SSL_CERT_|REQUESTS_CA_)' | grep -v '^PIP_CACHE_DIR=' || true
    } | grep -oE '(^|[= ]|file://)/[^ ,]+' | sed -E 's,^[= ],,; s,^file://(.*[^/])/[^/]+/?$,\1,'
}

# For the package manager: what it installs must not meet anything of this machine's.
share_the_system() {
    for path in /proc /dev /dev/pts /dev/shm; do
        share "$1" "$path"
    done
    for path in /etc/resolv.conf /etc/hosts; do
        share_to_read "$1" "$path"
    done
}

# For what is built and run there: pip finds what it finds outside.
share_pip() {
    for path in /etc/ssl/certs /usr/share/ca-certificates /usr/local/share/ca-certificates \
        $(pip_paths | sort -u); do
        case $path in
        /etc/ssl/certs/*) ;; # in the folder
        *) share_to_read "$1" "$path" ;;
        esac
    done
}

enter() {
    tree=$1 folder=$2
    shift 2
    # Of this machine, not of the tree:
    unset TMPDIR LD_LIBRARY_PATH LD_PRELOAD PYTHONPATH PYTHONHOME VIRTUAL_ENV
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    exec chroot "$tree" sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
}

main() {
    action=$1
    shift
    case $action in
    mirror) mirror_or_fail ;;
    make)
        [ "$(id -u)" = 0 ] || fail "only root can make a tree."
        mkdir -p "$(dirname "$1")"
        exec 9>"$1.lock"
        flock 9
        [ -d "$1" ] || make_tree "$1"
        add_packages "$@" 9>&-
        ;;
    run) exec unshare --mount --propagation private sh -eu "$0" full "$@" ;;
    bare)
        share_the_system "$1"
        enter "$@"
        ;;
    full)
        share_the_system "$1"
        share_pip "$1"
        [ "$2" = / ] || share "$1" "$2"
        enter "$@"
        ;;
    *) fail "there is no $action, only make, run and mirror." ;;
    esac
}

main "$@"
