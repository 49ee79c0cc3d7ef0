#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
#
# /init of a test guest: load the modules, start the agent and the instrument, then do what the control
# port says. Ports are found by name in sysfs, since nothing here makes /dev/virtio-ports links.
#
# Kernel command line: memtide.agent=0|1, memtide.agent_args=A,B,.. , memtide.sample_ms=N, memtide.zram=SIZE,
# memtide.cgroup=v2|v1|none

/bin/busybox --install -s /bin
export PATH=/bin HOME=/
# shellcheck source=tests/guest/obey.sh
. /obey.sh

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /run /tmp
echo -1000 >/proc/self/oom_score_adj # init's death would be a kernel panic; the load sets its own to 0

option() { # option NAME DEFAULT: memtide.NAME= of the kernel command line
        local value
        value=$(tr ' ' '\n' </proc/cmdline | sed -n "s/^memtide\.$1=//p")
        echo "${value:-$2}"
}

mount_cgroups() { # mount_cgroups v2|v1|none: v1 as systemd lays it out, with the one controller that matters here
        case $1 in
        v2) mount -t cgroup2 cgroup2 /sys/fs/cgroup ;;
        v1)
                mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
                mkdir /sys/fs/cgroup/memory
                mount -t cgroup -o memory cgroup /sys/fs/cgroup/memory
                ;;
        esac
}

port() { # port NAME: the device of a virtio-serial port
        local folder
        for folder in /sys/class/virtio-ports/*; do
                if [ "$(cat "$folder/name" 2>/dev/null)" = "$1" ]; then
                        echo "/dev/${folder##*/}"
                        return
                fi
        done
}

wait_for_port() { # the ports appear a moment after their driver
        local tries=0 device
        while [ $tries -lt 100 ]; do
                device=$(port "$1")
                [ -c "$device" ] && echo "$device" && return
                tries=$((tries + 1))
                usleep 20000
        done
}

start_agent() { # its log goes to a port that QEMU writes to a file: it outlives a panic
        # shellcheck disable=SC2046 # words are wanted
        /bin/memtide-agent $(option agent_args "--wait-for-port" | tr ',' ' ') </dev/null >&5 2>&5 3>&- &
        echo $! >/run/agent.pid
}

# shellcheck disable=SC2317 # commands of the control port
stop_agent() { # stop_agent SIGNAL: and wait for its end
        kill -"$1" "$(cat /run/agent.pid)" && wait "$(cat /run/agent.pid)"
        return 0
}

# shellcheck disable=SC2317
start_load() { # start_load BYTES RATE_MIB_S HOLD_S: in the background; `load status` tells its fate
        load ramp "$@" </dev/null >&5 2>&5 3>&- &
}

make_swap() { # zram: the only swap that a guest without a disk can have
        while read -r module; do insmod "/modules/$module"; done </modules/zram.list
        echo "$1" >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null && swapon /dev/zram0 && return
        echo "memtide-test: no swap" >/dev/console
}

mount_cgroups "$(option cgroup v2)"
while read -r module; do insmod "/modules/$module"; done </modules/base.list

exec 5>/dev/null
log=$(wait_for_port memtide.test.log) && [ -n "$log" ] && exec 5>"$log"
[ "$(option zram 0)" = 0 ] || make_swap "$(option zram 0)"
samples=$(port memtide.test.samples)
[ -n "$samples" ] && sampler "$samples" "$(option sample_ms 100)" >&5 2>&5 &
[ "$(option agent 1)" = 1 ] && [ -x /bin/memtide-agent ] && start_agent

echo "memtide-test: up after $(cut -d ' ' -f 1 /proc/uptime) s" >/dev/console
control=$(port memtide.test.control)
[ -z "$control" ] || serve "$control"
while :; do sleep 3600; done # the accelerator's probe only waits for the line above
