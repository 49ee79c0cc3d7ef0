/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The table is the only place that knows a key: parsing, --dump-config and the test against
 * bridge.conf(5) all read it.
 */

#include "host-bridge/bridge-config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/parse.h"
#include "common/units.h"
#include "host-bridge/surfaces/snapshot.h"

const BridgeConfig bridge_config_defaults = {
        .budget_bytes = BRIDGE_SIZE_AUTO,
        .reserve_bytes = BRIDGE_SIZE_AUTO,
        .pool_bytes = BRIDGE_SIZE_AUTO,
        .overcommit_percent = 100,
        .pressure_limit_percent = 1,
        .preset = PRESET_BALANCED,
        .shrink_policy = SHRINK_POLICY_AUTO,
        .calm_before_shrink_usec = 60 * USEC_PER_SEC,
        .hold_after_grow_usec = 120 * USEC_PER_SEC,
        .hold_after_refusal_usec = 60 * USEC_PER_SEC,
        .dead_band_bytes = 64 * MIB,
        .confirm_timeout_usec = 5 * USEC_PER_SEC,
        .offer_timeout_usec = 3 * USEC_PER_SEC,
        .silence_usec = 300 * USEC_PER_MSEC,
        .report_interval_usec = USEC_PER_SEC,
        .mode = VM_MODE_MANAGED,
        .metrics_listen = {.family = AF_INET, .port = 9733},
        .libvirt_connect = BRIDGE_FILE_AUTO,
        .libvirt_module = BRIDGE_FILE_AUTO,
        .system_bus = BRIDGE_FILE_AUTO,
        .audit_file = BRIDGE_FILE_AUTO,
};

static const char *const shrink_policy_names[] = {
        [SHRINK_POLICY_AUTO] = "auto",
        [SHRINK_POLICY_NEVER] = "never",
        [SHRINK_POLICY_SCARCITY] = "scarcity",
        [SHRINK_POLICY_IDLE] = "idle",
        NULL,
};

static const char *const preset_names[] = {
        [PRESET_BALANCED] = "balanced",
        [PRESET_PERFORMANCE] = "performance",
        [PRESET_DENSITY] = "density",
        NULL,
};

ShrinkPolicy bridge_config_shrink_policy(const BridgeConfig *config) {
        if (config->shrink_policy != SHRINK_POLICY_AUTO)
                return (ShrinkPolicy) config->shrink_policy;
        switch ((Preset) config->preset) {

        case PRESET_PERFORMANCE:
                return SHRINK_POLICY_NEVER;

        case PRESET_DENSITY:
                return SHRINK_POLICY_IDLE;

        case PRESET_BALANCED:
                break;
        }
        return SHRINK_POLICY_SCARCITY;
}

/* Above 100 %, which parse_percent() is not for. */
static int parse_overcommit(const char *value, void *field) {
        size_t length = strlen(value);
        uint64_t percent;
        int r;

        if (length < 2 || value[length - 1] != '%')
                return -EINVAL;
        r = parse_u64(value, length - 1, &percent);
        if (r < 0)
                return r;
        if (percent < 50 || percent > 400)
                return -ERANGE;
        *(uint64_t *) field = percent;
        return 0;
}

static void format_overcommit(const void *field, char *buffer, size_t size) {
        (void) snprintf(buffer, size, "%" PRIu64 "%%", *(const uint64_t *) field);
}

static int parse_limit(const char *value, void *field) {
        uint64_t percent = PRESSURE_LIMIT_OFF;
        int r;

        if (strcmp(value, "off") != 0) {
                r = parse_percent(value, strlen(value), &percent);
                if (r < 0)
                        return r;
                if (percent < 1 || percent > 100)
                        return -ERANGE;
        }
        *(uint64_t *) field = percent;
        return 0;
}

static void format_limit(const void *field, char *buffer, size_t size) {
        uint64_t percent = *(const uint64_t *) field;

        if (percent == PRESSURE_LIMIT_OFF)
                (void) snprintf(buffer, size, "off");
        else
                (void) snprintf(buffer, size, "%" PRIu64 "%%", percent);
}

static int parse_size_or_auto(const char *value, void *field) {
        uint64_t bytes = BRIDGE_SIZE_AUTO;
        int r;

        if (strcmp(value, "auto") != 0) {
                r = parse_size(value, strlen(value), &bytes);
                if (r < 0)
                        return r;
                if (bytes > MEMORY_BYTES_MAX)
                        return -ERANGE;
        }
        *(uint64_t *) field = bytes;
        return 0;
}

static void format_size_or_auto(const void *field, char *buffer, size_t size) {
        uint64_t bytes = *(const uint64_t *) field;
        char text[FORMAT_SIZE_MAX];

        (void) snprintf(buffer, size, "%s", bytes == BRIDGE_SIZE_AUTO ? "auto" : format_size(text, bytes));
}

static const struct {
        int family;
        const char *prefix;
} loopback[] = {
        {AF_INET, "127.0.0.1:"},
        {AF_INET6, "[::1]:"},
};

static int parse_listen(const char *value, void *field) {
        HttpAddress address = {0};
        uint64_t port;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(loopback); i++) {
                size_t length = strlen(loopback[i].prefix);

                if (strncmp(value, loopback[i].prefix, length) != 0)
                        continue;
                r = parse_u64(value + length, strlen(value + length), &port);
                if (r < 0)
                        return r;
                if (port < 1 || port > UINT16_MAX)
                        return -ERANGE;
                address = (HttpAddress){.family = loopback[i].family, .port = (unsigned) port};
        }
        if (address.family == 0 && strcmp(value, "off") != 0)
                return -EINVAL;
        *(HttpAddress *) field = address;
        return 0;
}

static void format_listen(const void *field, char *buffer, size_t size) {
        const HttpAddress *address = field;

        (void) snprintf(buffer, size, "off");
        for (size_t i = 0; i < ELEMENTSOF(loopback); i++)
                if (address->family == loopback[i].family)
                        (void) snprintf(buffer, size, "%s%u", loopback[i].prefix, address->port);
}

static int parse_file(const char *value, void *field) {
        if (value[0] != '/' && strcmp(value, BRIDGE_FILE_AUTO) != 0 && strcmp(value, BRIDGE_FILE_OFF) != 0)
                return -EINVAL;
        if (strlen(value) >= BRIDGE_PATH_MAX)
                return -ERANGE;
        memset(field, 0, BRIDGE_PATH_MAX);
        memcpy(field, value, strlen(value));
        return 0;
}

static int parse_module(const char *value, void *field) {
        return strcmp(value, BRIDGE_FILE_OFF) == 0 ? -EINVAL : parse_file(value, field);
}

static int parse_uri(const char *value, void *field) {
        if (!strchr(value, ':') && strcmp(value, BRIDGE_FILE_AUTO) != 0 &&
            strcmp(value, BRIDGE_FILE_OFF) != 0)
                return -EINVAL;
        if (strlen(value) >= BRIDGE_URI_MAX)
                return -ERANGE;
        memset(field, 0, BRIDGE_URI_MAX);
        memcpy(field, value, strlen(value));
        return 0;
}

static void format_file(const void *field, char *buffer, size_t size) {
        (void) snprintf(buffer, size, "%s", (const char *) field);
}

/* All of vm.conf(5) but the reference to this one. */
static int parse_mode(const char *value, void *field) {
        for (int mode = VM_MODE_MANAGED; mode < VM_MODE_MAX; mode++)
                if (strcmp(value, vm_mode_names[mode]) == 0) {
                        *(int *) field = mode;
                        return 0;
                }
        return -EINVAL;
}

static void format_mode(const void *field, char *buffer, size_t size) {
        (void) snprintf(buffer, size, "%s", vm_mode_to_string((VmMode) * (const int *) field));
}

#define SIZE_OR_AUTO(section_name, key_name, field, ...)                                                     \
        {                                                                                                    \
                .section = section_name, .key = key_name, .type = CONFIG_CUSTOM,                             \
                .offset = offsetof(BridgeConfig, field), .parse = parse_size_or_auto,                        \
                .format = format_size_or_auto, .allowed = "a size up to 64T, such as 16G, or \"auto\"",      \
                ##__VA_ARGS__,                                                                               \
        }
#define TIMESPAN(section_name, key_name, field, low, high, ...)                                              \
        {                                                                                                    \
                .section = section_name, .key = key_name, .type = CONFIG_TIMESPAN,                           \
                .offset = offsetof(BridgeConfig, field), .min = low, .max = high, ##__VA_ARGS__,             \
        }

static const ConfigKey bridge_keys[] = {
        SIZE_OR_AUTO("Host", "Budget", budget_bytes),
        SIZE_OR_AUTO("Host", "Reserve", reserve_bytes),
        SIZE_OR_AUTO("Host", "Pool", pool_bytes, .fixed = true),
        {
                .section = "Host",
                .key = "Overcommit",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(BridgeConfig, overcommit_percent),
                .parse = parse_overcommit,
                .format = format_overcommit,
                .allowed = "50% to 400%",
        },
        {
                .section = "Host",
                .key = "PressureLimit",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(BridgeConfig, pressure_limit_percent),
                .parse = parse_limit,
                .format = format_limit,
                .allowed = "1% to 100%, or off",
        },
        {
                .section = "Policy",
                .key = "Preset",
                .type = CONFIG_ENUM,
                .offset = offsetof(BridgeConfig, preset),
                .names = preset_names,
        },
        {
                .section = "Shrink",
                .key = "Policy",
                .type = CONFIG_ENUM,
                .offset = offsetof(BridgeConfig, shrink_policy),
                .names = shrink_policy_names,
        },
        TIMESPAN("Shrink", "CalmBeforeShrink", calm_before_shrink_usec, 0, 86400 * USEC_PER_SEC),
        TIMESPAN("Shrink", "HoldAfterGrow", hold_after_grow_usec, 0, 86400 * USEC_PER_SEC),
        TIMESPAN("Shrink", "HoldAfterRefusal", hold_after_refusal_usec, 0, 86400 * USEC_PER_SEC),
        {
                .section = "Shrink",
                .key = "DeadBand",
                .type = CONFIG_SIZE,
                .offset = offsetof(BridgeConfig, dead_band_bytes),
                .max = TIB,
        },
        TIMESPAN("Resize", "ConfirmTimeout", confirm_timeout_usec, 100 * USEC_PER_MSEC, 300 * USEC_PER_SEC),
        TIMESPAN("Resize", "OfferTimeout", offer_timeout_usec, 100 * USEC_PER_MSEC, 300 * USEC_PER_SEC),
        TIMESPAN("Resize", "Silence", silence_usec, 50 * USEC_PER_MSEC, 10 * USEC_PER_SEC),
        TIMESPAN("Bridge", "ReportInterval", report_interval_usec, 100 * USEC_PER_MSEC, 10 * USEC_PER_SEC,
                 .fixed = true),
        {
                .section = "Bridge",
                .key = "Mode",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(BridgeConfig, mode),
                .parse = parse_mode,
                .format = format_mode,
                .allowed = "managed, shadow or observed",
        },
        {
                .section = "Bridge",
                .key = "SystemBus",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(BridgeConfig, system_bus),
                .parse = parse_file,
                .format = format_file,
                .allowed = "auto, off, or an absolute path of at most 127 characters",
                .fixed = true,
        },
        {
                .section = "Metrics",
                .key = "Listen",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(BridgeConfig, metrics_listen),
                .parse = parse_listen,
                .format = format_listen,
                .allowed = "off, 127.0.0.1:PORT or [::1]:PORT",
                .fixed = true,
        },
        {
                .section = "Libvirt",
                .key = "Connect",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(BridgeConfig, libvirt_connect),
                .parse = parse_uri,
                .format = format_file,
                .allowed = "auto, off, or a URI of at most 255 characters, such as qemu:///system",
                .fixed = true,
        },
        {
                .section = "Libvirt",
                .key = "Module",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(BridgeConfig, libvirt_module),
                .parse = parse_module,
                .format = format_file,
                .allowed = "auto, or an absolute path of at most 127 characters",
                .fixed = true,
        },
        {
                .section = "Audit",
                .key = "File",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(BridgeConfig, audit_file),
                .parse = parse_file,
                .format = format_file,
                .allowed = "auto, off, or an absolute path of at most 127 characters",
                .fixed = true,
        },
};
_Static_assert(ELEMENTSOF(bridge_keys) == BRIDGE_CONFIG_KEYS, "BRIDGE_CONFIG_KEYS counts the table");

const ConfigTable bridge_config_table = {
        .name = "bridge",
        .keys = bridge_keys,
        .n_keys = ELEMENTSOF(bridge_keys),
};
