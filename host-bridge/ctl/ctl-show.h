/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What memtidectl prints for people, from the JSON that it would print for programs. */

#include <jansson.h>
#include <stdio.h>

/* A table, one line per VM, and one line about the host. vms: array; bridge: object. */
void ctl_show_list(const json_t *bridge, const json_t *vms, FILE *out);

/* All about one VM, by topic. */
void ctl_show_status(const json_t *vm, FILE *out);

/* What VMs lack, by VM, with the fix of each. lacks: array. */
void ctl_show_lacks(const json_t *lacks, FILE *out);

/* A table of decisions, one line each. decisions: array. */
void ctl_show_history(const json_t *decisions, FILE *out);

/* Configuration as a file that would load to the same. keys: array. */
void ctl_show_config(const json_t *keys, FILE *out);

/* One decision: why, by which rule, from which inputs, what was done and what the guest confirmed. */
void ctl_show_decision(const json_t *decision, FILE *out);

/* The same of an operator's resize, with what was asked for and, of a forecast, its steps. */
void ctl_show_resize(const json_t *decision, FILE *out);

/* In a guest: what its agent says of it, and what happened lately. */
void ctl_show_guest(const json_t *status, const json_t *events, FILE *out);
