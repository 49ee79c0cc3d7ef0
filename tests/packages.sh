# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What memtide needs from Debian, and how it gets there. Sourced by demo.sh and test.sh.

# shellcheck disable=SC2034 # the lists are for those who source this
PACKAGES_BUILD=(
        gcc libc6-dev meson ninja-build pkg-config scdoc
        libsystemd-dev libudev-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
        libinih-dev libjansson-dev libmicrohttpd-dev libsqlite3-dev uthash-dev)
# shellcheck disable=SC2034
PACKAGES_GUEST=(python3 qemu-system-x86 busybox-static kmod gzip ca-certificates debian-archive-keyring)
# shellcheck disable=SC2034
PACKAGES_TEST=(
        git libcmocka-dev libumockdev-dev umockdev python3-pytest python3-pytest-xdist python3-pytest-rerunfailures
        python3-protobuf python3-gi dbus systemd man-db qemu-utils
        clang clang-format clang-tools shellcheck gnuplot-nox
        libvirt-dev libxml2-dev libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients)
# shellcheck disable=SC2034
PACKAGES_SOAK=(mmdebstrap e2fsprogs)

# Prints those of the given packages that are not installed.
packages_missing() {
        local package
        for package in "$@"; do
                dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
                        printf '%s\n' "$package"
        done
}

# packages_install ask|now PACKAGE...: installs what is missing; "ask" asks once on a terminal.
# Without root it uses sudo. Returns 1 with the command to run when it may not or cannot.
packages_install() {
        local mode=$1 missing answer
        local -a run=()
        shift
        mapfile -t missing < <(packages_missing "$@")
        [ ${#missing[@]} -gt 0 ] || return 0

        [ "$(id -u)" -eq 0 ] || run=(sudo)
        printf 'missing: %s\n' "${missing[*]}"
        printf '  %s\n' "${run[*]:+${run[*]} }apt-get install --no-install-recommends ${missing[*]}"
        if [ "$mode" = ask ]; then
                if [ ! -t 0 ]; then
                        echo 'not a terminal, so nothing was installed: run the line above, or pass --yes' >&2
                        return 1
                fi
                read -r -p 'Install these now? [Y/n] ' answer
                case $answer in
                '' | y | Y | yes) ;;
                *)
                        echo 'nothing was installed' >&2
                        return 1
                        ;;
                esac
        fi
        "${run[@]}" apt-get -q update >/dev/null || echo 'warning: the package lists could not be renewed' >&2
        "${run[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get -q install -y --no-install-recommends "${missing[@]}" >/dev/null
}
