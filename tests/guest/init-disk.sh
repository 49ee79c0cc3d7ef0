#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
#
# /init of a guest whose root is its first disk: mounts that and hands over. All other modules are for the udev there to load.

/bin/busybox --install -s /bin
export PATH=/bin

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/base.list
mkdir /disk
mount -t ext4 /dev/vda /disk || exec sh
for place in proc sys dev; do mount --move /$place /disk/$place; done
exec switch_root /disk /sbin/init
