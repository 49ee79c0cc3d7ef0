#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The one test command, and what CI runs: installs what is missing, builds with and without sanitizers, runs the
# suites and prints a table. It never asks. See --help.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
. tests/packages.sh

ALL_SUITES=(lint unit fuzz-regress sanitize integration e2e)
EXTRA_SUITES=(soak)
QUICK_SUITES=(lint unit fuzz-regress)
# Real guests and daemons on a shared machine come late now and then: what fails is tried once more, and the table says so.
TRY_AGAIN=(--reruns 1)
BUILD=${MEMTIDE_BUILD:-$PWD/build}
BUILD_SANITIZE=$PWD/build-sanitize
RESULTS=$BUILD/test-results
PYTHON=/usr/bin/python3
quick=no
suites=()

usage() {
        cat <<USAGE
Usage: ./test.sh [OPTION...] [SUITE...]

Installs what is missing, builds, and runs the suites (by default all but: ${EXTRA_SUITES[*]}).

  --quick         under a minute: ${QUICK_SUITES[*]}, without the static analyser
  --list          print the suites and what each checks
  --no-install    install nothing
  -h, --help      this text

Environment, for suites with real guests: MEMTIDE_KERNEL (cloud, generic, 6.12, 5.10, or a path: see ./demo.sh --help)
and MEMTIDE_ACCEL (auto, kvm, tcg); for soak, see tests/soak/README.md.

Exits with 0 when nothing failed. Logs are kept in build/test-results/.
USAGE
}

list_suites() {
        cat <<LIST
lint          clang-format, shellcheck, length budgets, layers, docs parity, systemd units, scan-build
unit          one program per module, virtual time, and the simulator
fuzz-regress  every fuzz target over its corpus
sanitize      unit and fuzz-regress once more under ASan and UBSan
integration   the real daemons over sockets against scripted peers, under ASan and UBSan
e2e           real QEMU guests on a Debian kernel
soak          what takes long in real guests: storms, loads, kills, hostile hosts, systemd; only when named
LIST
}

say() {
        printf '== %s\n' "$*"
}

# configure DIR [MESON OPTION...]
configure() {
        local dir=$1
        shift
        [ -f "$dir/build.ninja" ] && return 0
        meson setup --fatal-meson-warnings -Dwerror=true "$@" "$dir" >"$RESULTS/$(basename "$dir")-setup.log" 2>&1 || {
                tail -n 20 "$RESULTS/$(basename "$dir")-setup.log"
                return 1
        }
}

# compile DIR [MESON OPTION...]: configures where needed, builds, and shows the end of the log on failure
compile() {
        local log
        log=$RESULTS/$(basename "$1")-build.log
        if ! configure "$@"; then
                return 1
        fi
        if ! ninja -C "$1" >"$log" 2>&1; then
                grep -E -A 12 'error:|FAILED' "$log" | tail -n 60
                return 1
        fi
}

build_sanitize() {
        compile "$BUILD_SANITIZE" -Db_sanitize=address,undefined -Dman=false
}

# meson_suites NAME BUILD SUITE...: leaves NAME.json, one line per test
meson_suites() {
        local name=$1 dir=$2 suite
        local -a arguments=()
        shift 2
        for suite in "$@"; do
                arguments+=(--suite "$suite")
        done
        meson test -C "$dir" --no-rebuild --print-errorlogs --logbase "$name" "${arguments[@]}" \
                >"$RESULTS/$name.log" 2>&1 || grep -vE '^ *[0-9]+/[0-9]+ .* OK ' "$RESULTS/$name.log" | tail -n 60
        cp "$dir/meson-logs/$name.json" "$RESULTS/$name.json"
}

# pytest_suite NAME BUILD FOLDER [OPTION...]: leaves NAME.xml, and NAME.unsteady of what was tried again
pytest_suite() {
        local name=$1 dir=$2 folder=$3
        shift 3
        MEMTIDE_BUILD=$dir ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} MEMTIDE_UNSTEADY=$RESULTS/$name.unsteady \
                "$PYTHON" -B -m pytest -q -rs -p no:cacheprovider -p tests.unsteady --junitxml "$RESULTS/$name.xml" "$@" "$folder" \
                >"$RESULTS/$name.log" 2>&1 || tail -n 80 "$RESULTS/$name.log"
}

run_lint() {
        QUICK=$quick RESULTS=$RESULTS BUILD=$BUILD tests/lint/run
}

run_unit() {
        meson_suites unit "$BUILD" unit sim
}

run_fuzz-regress() {
        meson_suites fuzz-regress "$BUILD" fuzz-regress
}

run_sanitize() {
        build_sanitize || return 1
        ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
                meson_suites sanitize "$BUILD_SANITIZE" unit sim fuzz-regress
}

run_integration() {
        build_sanitize || return 1
        # Three at a time: they wait for the daemons more than they work. A file stays with one of the three.
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
                pytest_suite integration "$BUILD_SANITIZE" tests/integration \
                        "${TRY_AGAIN[@]}" -n 3 --dist loadfile
}

run_e2e() {
        pytest_suite e2e "$BUILD" tests/e2e "${TRY_AGAIN[@]}"
}

run_soak() {
        pytest_suite soak "$BUILD" tests/soak
}

parse_arguments() {
        install=yes
        while [ $# -gt 0 ]; do
                case $1 in
                --quick) quick=yes ;;
                --no-install) install=no ;;
                --list)
                        list_suites
                        exit 0
                        ;;
                -h | --help)
                        usage
                        exit 0
                        ;;
                -*)
                        echo "test.sh: unknown option $1 (see --help)" >&2
                        exit 2
                        ;;
                *)
                        if [[ " ${ALL_SUITES[*]} ${EXTRA_SUITES[*]} " != *" $1 "* ]]; then
                                echo "test.sh: no suite '$1'; there are: ${ALL_SUITES[*]} ${EXTRA_SUITES[*]}" >&2
                                exit 2
                        fi
                        suites+=("$1")
                        ;;
                esac
                shift
        done
        if [ ${#suites[@]} -eq 0 ]; then
                suites=("${ALL_SUITES[@]}")
                [ "$quick" = no ] || suites=("${QUICK_SUITES[@]}")
        fi
}

main() {
        local suite started
        local -a packages=("${PACKAGES_BUILD[@]}" "${PACKAGES_GUEST[@]}" "${PACKAGES_TEST[@]}")
        parse_arguments "$@"
        [[ " ${suites[*]} " != *' soak '* ]] || packages+=("${PACKAGES_SOAK[@]}")
        if [ "$install" = yes ]; then
                packages_install now "${packages[@]}" || exit 1
        fi
        mkdir -p "$BUILD"
        rm -rf "$RESULTS"
        mkdir -p "$RESULTS"

        say 'building'
        if ! compile "$BUILD"; then
                echo '0 passed, 1 failed, 0 skipped'
                exit 1
        fi
        for suite in "${suites[@]}"; do
                say "$suite"
                started=$SECONDS
                "run_$suite" || echo "$suite: could not run to its end"
                echo $((SECONDS - started)) >"$RESULTS/$suite.seconds"
        done
        "$PYTHON" -B tests/summary.py "$RESULTS" "${suites[@]}"
}

main "$@"
