#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A real guest runs out of memory and does not die. Installs what is missing, builds, and hands over to tests/demo.
# See --help.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/packages.sh
. "$ROOT/tests/packages.sh"

PYTHON=/usr/bin/python3
# A build made for the tests does as well; one made here leaves the tests' dependencies out.
BUILD=${MEMTIDE_BUILD:-$ROOT/build}
[ -n "${MEMTIDE_BUILD:-}" ] || [ -f "$BUILD/build.ninja" ] || BUILD=$ROOT/build-demo

usage() {
        cat <<USAGE
Usage: ./demo.sh [OPTION...]

Boots a real 512 MiB guest, lets a program in it ask for 1.5 GiB, and shows how memtide sees it coming, grows the
guest, and gives the memory back when the program is done. Beside it, the same guest without an agent and one that
a polling script serves. Takes about a minute; needs no KVM, no root (but to install packages) and no network
beyond the Debian mirrors that this machine uses.

  --yes             install what is missing without asking
  --no-install      install nothing; say what is missing
  --accel=A         auto (default): KVM if a guest really boots with it, else TCG; kvm; tcg
  --kernel=K        cloud (default), generic: Debian's current kernel of that kind; 6.12, 5.10: the cloud kernel of
                    another Debian; or a path to a .deb, an unpacked package or a vmlinuz. Fetched kernels are unpacked in
                    ~/.cache/memtide, never installed
  --contrast        also the two guests without agent (default, but not where CI=true)
  --no-contrast     the guest with the agent alone
  --seconds=N       end the shrink phase N seconds after the start at the latest, 60 to 3600 (default 180)
  --json=FILE       write the figures
  --plot=FILE       draw memory, available, stall and actions over time; FILE ends in .png or .svg (needs gnuplot)
  --keep            keep the logs also when all went well
  -h, --help        this text

Exits with 0 when every claim held, 1 when one did not, 2 on wrong usage, 130 on Ctrl-C. Environment: MEMTIDE_BUILD
(a meson build folder to use), MEMTIDE_CACHE (instead of ~/.cache/memtide).
USAGE
}

say() { # say SECONDS TEXT: one step is done
        printf '✔ %s  [%s s]\n' "$2" "$1"
}

install_packages() { # install_packages ask|now|no
        local -a wanted=("${PACKAGES_BUILD[@]}" "${PACKAGES_GUEST[@]}") missing
        [ "$plot" = no ] || wanted+=(gnuplot-nox)
        if [ "$1" != no ]; then
                packages_install "$1" "${wanted[@]}"
                return
        fi
        mapfile -t missing < <(packages_missing "${wanted[@]}")
        [ ${#missing[@]} -eq 0 ] && return
        printf 'missing; install them by\n  apt-get install --no-install-recommends %s\n' "${missing[*]}" >&2
        return 1
}

build() { # the daemons and the tool, nothing else; the log is shown only when it fails
        local log=$BUILD/demo-build.log
        mkdir -p "$BUILD"
        [ -f "$BUILD/build.ninja" ] || meson setup -Dtests=false -Dman=false "$BUILD" "$ROOT" >"$log" 2>&1 ||
                { cat "$log" >&2 && return 1; }
        ninja -C "$BUILD" agent/memtide-agent host-bridge/memtide-bridge host-bridge/memtidectl >"$log" 2>&1 ||
                { tail -n 40 "$log" >&2 && return 1; }
}

main() {
        local install=ask plot=no started
        local -a options=()
        while [ $# -gt 0 ]; do
                case $1 in
                --yes) install=now ;;
                --no-install) install=no ;;
                -h | --help)
                        usage
                        exit 0
                        ;;
                --plot | --plot=*)
                        plot=yes
                        options+=("$1")
                        ;;
                *) options+=("$1") ;;
                esac
                shift
        done

        # Wrong options are told before anything is installed, where Python is there to tell.
        export PYTHONPATH=$ROOT
        options=(-B -m tests.demo --build "$BUILD" "${options[@]}")
        [ ! -x "$PYTHON" ] || "$PYTHON" "${options[@]}" --check || exit

        started=$SECONDS
        install_packages "$install" || exit 1
        say $((SECONDS - started)) 'packages'
        started=$SECONDS
        build || exit 1
        say $((SECONDS - started)) "build in $(basename "$BUILD")"
        exec "$PYTHON" "${options[@]}"
}

main "$@"
