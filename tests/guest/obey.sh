# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
#
# The guest's end of the control port (control.py): sourced by whoever has the port, and by the functions of whom
# a command may call.

obey() { # a line in: "ID COMMAND"; out: "@< ID", the command's output, "@> ID EXITCODE"
        local id command code
        while IFS= read -r line; do
                id=${line%% *}
                command=${line#* }
                echo "@< $id"
                eval "$command"
                code=$?
                echo "@> $id $code"
        done
}

serve() { # serve DEVICE: does not return
        exec 3<>"$1" # one open for both directions: a second one is refused
        while :; do
                obey <&3 >&3 2>&1
                sleep 0.1 # end of file means that no host is connected: wait for the next
        done
}
