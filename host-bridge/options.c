/* SPDX-License-Identifier: Apache-2.0 */

/* As few options as possible: what an operator keeps belongs into bridge.conf(5). */

#include "host-bridge/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum {
        OPT_CONFIG = 0x100,
        OPT_RUNTIME_DIR,
        OPT_LEASE_DIR,
        OPT_ADOPT,
        OPT_LOG_LEVEL,
        OPT_LOG_TARGET,
        OPT_DUMP_CONFIG,
        OPT_CHECK,
        OPT_VERSION,
};

static const struct option long_options[] = {
        {"config", required_argument, NULL, OPT_CONFIG},
        {"runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR},
        {"lease-dir", required_argument, NULL, OPT_LEASE_DIR},
        {"adopt", no_argument, NULL, OPT_ADOPT},
        {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
        {"log-target", required_argument, NULL, OPT_LOG_TARGET},
        {"dump-config", no_argument, NULL, OPT_DUMP_CONFIG},
        {"check", no_argument, NULL, OPT_CHECK},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPT_VERSION},
        {},
};

static void print_help(void) {
        (void) printf("memtide-bridge [OPTION...]\n\n"
                      "Gives the VMs of this host the memory that their guests need, and takes back what "
                      "they do not.\n\n"
                      "  --config=FILE         read FILE in place of bridge.conf; vm.d/ is then looked for "
                      "beside it\n"
                      "  --runtime-dir=DIR     discovery folder DIR/vms, control socket DIR/bridge.sock\n"
                      "                        (default " DEFAULT_RUNTIME_DIR ")\n"
                      "  --lease-dir=DIR       where the bridges of this host agree on who resizes a VM\n"
                      "                        (default " DEFAULT_LEASE_DIR ")\n"
                      "  --adopt               give Max=device to every VM that is discovered\n"
                      "  --log-level=LEVEL     error, warning, notice, info or debug (default info)\n"
                      "  --log-target=TARGET   auto, journal or stderr (default auto)\n"
                      "  --dump-config         print the configuration with the origin of each value\n"
                      "  --check               check the configuration\n"
                      "  -h, --help            print this\n"
                      "  --version             print the version\n\n"
                      "See memtide-bridge(8) and bridge.conf(5).\n");
}

static int complain(const char *option, const char *value, const char *allowed) {
        (void) fprintf(stderr, "memtide-bridge: --%s=%s: %s is allowed\n", option, value, allowed);
        return -EINVAL;
}

static int take_log_level(const char *value, Options *options) {
        options->log_level = log_level_from_string(value);
        return options->log_level >= 0
                       ? 1
                       : complain("log-level", value, "error, warning, notice, info, debug or 0 to 7");
}

static int take_log_target(const char *value, Options *options) {
        int target = log_target_from_string(value);

        if (target < 0)
                return complain("log-target", value, "auto, journal or stderr");
        options->log_target = (LogTarget) target;
        return 1;
}

/* One option. Returns 1 to go on, 0 if the call is answered, or -EINVAL. */
static int take_option(int c, const char *value, Options *options) {
        switch (c) {

        case OPT_CONFIG:
                options->config_file = value;
                return 1;

        case OPT_RUNTIME_DIR:
                options->runtime_dir = value;
                return 1;

        case OPT_LEASE_DIR:
                options->lease_dir = value;
                return 1;

        case OPT_ADOPT:
                options->adopt = true;
                return 1;

        case OPT_LOG_LEVEL:
                return take_log_level(value, options);

        case OPT_LOG_TARGET:
                return take_log_target(value, options);

        case OPT_DUMP_CONFIG:
                options->dump_config = true;
                return 1;

        case OPT_CHECK:
                options->check = true;
                return 1;

        case 'h':
                print_help();
                return 0;

        case OPT_VERSION:
                (void) printf("memtide-bridge %s\n", MEMTIDE_VERSION);
                return 0;

        default: /* getopt's word, not an enum of ours; it has complained */
                return -EINVAL;
        }
}

int options_parse(int argc, char *argv[], Options *ret) {
        Options options = {
                .runtime_dir = DEFAULT_RUNTIME_DIR,
                .lease_dir = DEFAULT_LEASE_DIR,
                .log_level = LOG_INFO,
        };
        int c, r;

        assert(ret);

        while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
                r = take_option(c, optarg, &options);
                if (r <= 0)
                        return r;
        }
        if (optind < argc) {
                (void) fprintf(stderr, "memtide-bridge: \"%s\": no arguments are allowed\n", argv[optind]);
                return -EINVAL;
        }
        *ret = options;
        return 1;
}
