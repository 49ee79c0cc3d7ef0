/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The methods of org.memtide.Bridge1 that change something. Each answers the call or sets error. */

#include <systemd/sd-bus.h>

#include "host-bridge/surfaces/control.h"

/*
 * Peer to peer only root and the bridge's own user may; on the system bus its policy has decided before we see the call
 * (org.memtide.Bridge1.conf). Returns 0 or a negative error.
 */
int bus_check_caller(sd_bus_message *call, sd_bus_error *error);

int bus_answer_plan(sd_bus_message *call, const Control *control, sd_bus_error *error);
int bus_answer_resize(sd_bus_message *call, const Control *control, sd_bus_error *error);
int bus_answer_hold(sd_bus_message *call, const Control *control, sd_bus_error *error);
int bus_answer_resume(sd_bus_message *call, const Control *control, sd_bus_error *error);
