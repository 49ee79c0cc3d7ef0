# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: what memtide costs and how fast it is, each beside a peer in the same run. See README.md."""
