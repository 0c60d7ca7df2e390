#!/bin/sh
# The first program of the guest (see guest.py): it does what can't wait for Python, has
# tests.nfs.server do the rest, and switches the guest off.
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/tmp /run/home
ip link set lo up
cd "$GUEST_FOLDER" || exit
HOME=/run/home TMPDIR=/run/tmp LANG=C.UTF-8 PATH=$GUEST_PATH "$GUEST_PYTHON" -m tests.nfs.server \
    "$GUEST_MODULES" "$GUEST_ARGUMENTS" </dev/null
sync
echo o >/proc/sysrq-trigger
sleep 60
