/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* bridge.conf: what the operator says about the whole host. */

#include <stdint.h>

#include "common/config.h"
#include "host-bridge/surfaces/http.h"

#define BRIDGE_SIZE_AUTO UINT64_MAX
#define BRIDGE_FILE_AUTO "auto"
#define BRIDGE_FILE_OFF  "off"
#define BRIDGE_PATH_MAX  128U
#define BRIDGE_URI_MAX   256U

typedef enum ShrinkPolicy {
        SHRINK_POLICY_AUTO, /* by the preset */
        SHRINK_POLICY_NEVER,
        SHRINK_POLICY_SCARCITY,
        SHRINK_POLICY_IDLE,
} ShrinkPolicy;

#define PRESSURE_LIMIT_OFF UINT64_MAX

typedef enum Preset {
        PRESET_BALANCED,
        PRESET_PERFORMANCE,
        PRESET_DENSITY,
} Preset;

typedef struct BridgeConfig {
        uint64_t budget_bytes;  /* BRIDGE_SIZE_AUTO: the host's memory less the reserve */
        uint64_t reserve_bytes; /* BRIDGE_SIZE_AUTO: 4 % of the host's memory, at least 2 GiB */
        uint64_t pool_bytes;    /* BRIDGE_SIZE_AUTO: pool_target_bytes() */
        uint64_t overcommit_percent;
        uint64_t pressure_limit_percent; /* PRESSURE_LIMIT_OFF: the host's pressure is not looked at */
        int preset;                      /* Preset */
        int shrink_policy;               /* ShrinkPolicy */
        int mode;                        /* VmMode, of VMs whose file does not say */
        uint64_t calm_before_shrink_usec, hold_after_grow_usec, hold_after_refusal_usec;
        uint64_t dead_band_bytes;
        uint64_t confirm_timeout_usec, offer_timeout_usec, silence_usec;
        uint64_t report_interval_usec;
        HttpAddress metrics_listen;
        char libvirt_connect[BRIDGE_URI_MAX]; /* a URI, or BRIDGE_FILE_AUTO, or BRIDGE_FILE_OFF */
        char libvirt_module[BRIDGE_PATH_MAX]; /* absolute, or BRIDGE_FILE_AUTO */
        char system_bus[BRIDGE_PATH_MAX];     /* as audit_file */
        char audit_file[BRIDGE_PATH_MAX];     /* absolute, or BRIDGE_FILE_AUTO, or BRIDGE_FILE_OFF */
} BridgeConfig;

/* What the keys that leave it to the preset come to: never SHRINK_POLICY_AUTO. */
ShrinkPolicy bridge_config_shrink_policy(const BridgeConfig *config);

extern const BridgeConfig bridge_config_defaults;
extern const ConfigTable bridge_config_table;
#define BRIDGE_CONFIG_KEYS 21U
