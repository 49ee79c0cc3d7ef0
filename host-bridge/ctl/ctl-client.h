/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* memtidectl's side of org.memtide.Bridge1, and in a guest of org.memtide.Agent1: one call, one JSON value. */

#include <jansson.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/*
 * Connects to the control socket of peer, a daemon's name. Complains on stderr about what failed and what to do.
 * Returns 0 with *ret owned by the caller, or -errno.
 */
int ctl_connect(const char *socket_path, const char *peer, sd_bus **ret);

/*
 * Calls method; signature says which of name ("s") and most ("u") it takes: "", "s" or "su".
 * The answer, a{sv} or aa{sv}, becomes an object or an array of objects. Complains on stderr.
 * Returns 0 with *ret owned by the caller, or -errno.
 */
int ctl_call(sd_bus *bus, const char *method, const char *signature, const char *name, uint32_t most,
             json_t **ret);

/*
 * Sends a call that the caller has put together. ret NULL: nothing is answered. An answer of a{sv} and aa{sv} becomes
 * one object with the latter as "steps". Complains on stderr.
 */
int ctl_send(sd_bus *bus, sd_bus_message *call, json_t **ret);

/* The same of the agent's methods; signature is "" or "u". */
int ctl_call_agent(sd_bus *bus, const char *method, const char *signature, uint32_t most, json_t **ret);
