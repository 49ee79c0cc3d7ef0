/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Answers of the control socket that do not come from the snapshot. */

#include <systemd/sd-bus.h>

#include "host-bridge/surfaces/bus.h"

/* Each answers call, now or later, and returns what a method handler returns. audit may be NULL. */
int bus_answer_history(sd_bus_message *call, Audit *audit, const char *vm, size_t most, sd_bus_error *error);
int bus_answer_config(sd_bus_message *call, const ConfigView *view);
