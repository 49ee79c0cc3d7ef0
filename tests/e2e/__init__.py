# SPDX-License-Identifier: Apache-2.0
"""Named scenarios on real QEMU guests."""
