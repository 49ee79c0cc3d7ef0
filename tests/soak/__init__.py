# SPDX-License-Identifier: Apache-2.0
"""What takes long in real guests."""
