/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Fields as D-Bus has them: a{sv}. */

#include <stddef.h>
#include <systemd/sd-bus.h>

#include "common/field.h"

/* Appends one dictionary of n fields. Returns 0 or more, or -errno. */
int bus_append_fields(sd_bus_message *message, const Field *fields, size_t n);
