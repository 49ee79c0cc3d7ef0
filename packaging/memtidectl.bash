# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# bash completion for memtidectl: verbs, options, and the VMs that the bridge knows.

_memtidectl_vms() {
        memtidectl list --json 2>/dev/null | sed -n 's/^ *"name": "\([A-Za-z0-9._-]*\)".*/\1/p'
}

_memtidectl() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb='' word
        local verbs='list status explain history doctor resize hold resume cat-config verify on'
        local options='--json --lines --socket --guest --dry-run --wait --once --help --version'

        COMPREPLY=()
        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
                case $word in
                -*) ;;
                *) verb=${verb:-$word} ;;
                esac
        done
        case $previous in
        --socket | verify)
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                return
                ;;
        esac
        case $current in
        -*)
                mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
                return
                ;;
        esac
        case $verb in
        '') mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$current") ;;
        on) mapfile -t COMPREPLY < <(compgen -W 'shrink-prepare grown low-memory' -- "$current") ;;
        status | explain | history | doctor | resize | hold | resume)
                [ "$previous" != "$verb" ] || mapfile -t COMPREPLY < <(compgen -W "$(_memtidectl_vms)" -- "$current")
                ;;
        esac
}

complete -F _memtidectl memtidectl
