/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* memtidectl's side of org.memtide.Bridge1: one call, one JSON value. */

#include <jansson.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/*
 * Connects to the bridge's control socket. Complains on stderr about what failed and what to do.
 * Returns 0 with *ret owned by the caller, or -errno.
 */
int ctl_connect(const char *socket_path, sd_bus **ret);

/*
 * Calls method; signature says which of name ("s") and most ("u") it takes: "", "s" or "su".
 * The answer, a{sv} or aa{sv}, becomes an object or an array of objects. Complains on stderr.
 * Returns 0 with *ret owned by the caller, or -errno.
 */
int ctl_call(sd_bus *bus, const char *method, const char *signature, const char *name, uint32_t most,
             json_t **ret);
