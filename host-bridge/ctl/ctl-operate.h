/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The verbs that change something on a host: resize, hold, resume. Words are the verb and what follows it. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

typedef struct CtlOperate {
        bool json, dry_run, wait;
} CtlOperate;

/* Each returns 0, -EINVAL for wrong usage (said), or -errno after a complaint on stderr. */
int ctl_resize(const CtlOperate *options, sd_bus *bus, char *words[]);
int ctl_hold(const CtlOperate *options, sd_bus *bus, char *words[]);
int ctl_resume(const CtlOperate *options, sd_bus *bus, char *words[]);
