# SPDX-License-Identifier: Apache-2.0
"""Real guests for the demo and the end-to-end tests: kernel, initramfs, QEMU, a load and its instrument."""
