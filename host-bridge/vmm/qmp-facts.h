/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What QEMU and its process say about themselves, beside memory: values of VmmFacts. Pure: JSON or text in, values out. What
 * is not understood is left as it was; nothing depends on it but what people are told.
 */

#include <jansson.h>

#include "host-bridge/policy/lacks.h"

/* query-version */
void qmp_facts_read_version(const json_t *value, VmmFacts *facts);

/* qom-list of a folder of devices: those that are passed through are added up. */
void qmp_facts_read_devices(const json_t *value, VmmFacts *facts);

/* query-memdev */
void qmp_facts_read_backends(const json_t *value, VmmFacts *facts);

/* /proc/PID/status of QEMU, NUL-terminated. */
void qmp_facts_read_process(const char *status, VmmFacts *facts);
