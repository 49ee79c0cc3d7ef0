# SPDX-License-Identifier: Apache-2.0
"""Thousands of fake VMs in two processes: farm.c, and what drives it."""
