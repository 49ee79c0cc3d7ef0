# SPDX-License-Identifier: Apache-2.0
"""The demo: a real guest that runs out of memory and does not die, beside two that have no agent."""
