/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Runs a command at each event that the agent tells: the agent itself never forks. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

bool ctl_on_knows(const char *event);

/*
 * Runs command (NULL-terminated) at each event, one at a time, until SIGTERM or SIGINT or, with once, until the first
 * has ended. MEMTIDE_EVENT, MEMTIDE_BYTES, MEMTIDE_ID and MEMTIDE_LEVEL are in its environment. bus is connected.
 * Returns 0, or -errno after a message on stderr: the agent has gone, or the command of once has failed.
 */
int ctl_on(sd_bus *bus, const char *event, char *command[], bool once);
