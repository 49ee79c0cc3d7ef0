/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/agent-options.h"

#include <assert.h>
#include <getopt.h>
#include <string.h>

static void help(void) {
        puts("Usage: memtide-agent [OPTION...]\n"
             "       memtide-agent [OPTION...] doctor\n"
             "       memtide-agent [OPTION...] release\n"
             "       memtide-agent replay FILE\n\n"
             "Reports the memory pressure of this guest to its host, and onlines hot-plugged memory.\n"
             "doctor prints what this guest has and lacks for it, each with the fix; exits with 1 if it "
             "lacks any.\n"
             "release leaves it to the kernel to put memory online, if an agent has changed that and was "
             "killed.\n"
             "replay decides again on what a recording has, prints it, and exits with 1 if it differs.\n\n"
             "  --config FILE              read FILE instead of agent.conf and its drop-ins\n"
             "  --wait-for-port            wait where the port to the host is missing\n"
             "  --port PATH                use this device or Unix socket as the port\n"
             "  --root DIR                 look below DIR for /proc, /sys, /dev and /etc\n"
             "  --record FILE              write all that is seen, asked and decided to FILE\n"
             "  --uevents auto|kernel|udev where to hear of memory blocks\n"
             "  --log-level LEVEL          error, warning, notice, info or debug\n"
             "  --log-target TARGET        auto, journal or stderr\n"
             "  --check                    check the configuration, and exit\n"
             "  --dump-config              print the configuration in force, and exit\n"
             "  --json                     doctor: print JSON\n"
             "  --help                     print this text, and exit\n"
             "  --version                  print the version, and exit\n\n"
             "Exits with 3 where there is no port to the host.");
}

static int complain(const char *option, const char *value, const char *allowed) {
        fprintf(stderr, "memtide-agent: --%s=%s: allowed are %s\n", option, value, allowed);
        return -EINVAL;
}

static int take_log_target(CommandLine *line, const char *value) {
        int target = log_target_from_string(value);

        if (target < 0)
                return complain("log-target", value, "auto, journal, stderr");
        line->log_target = (LogTarget) target;
        return 1;
}

enum {
        OPTION_CONFIG = 0x100,
        OPTION_WAIT_FOR_PORT,
        OPTION_PORT,
        OPTION_ROOT,
        OPTION_RECORD,
        OPTION_UEVENTS,
        OPTION_LOG_LEVEL,
        OPTION_LOG_TARGET,
        OPTION_CHECK,
        OPTION_DUMP_CONFIG,
        OPTION_JSON,
        OPTION_HELP,
        OPTION_VERSION,
};

static const struct option options[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"wait-for-port", no_argument, NULL, OPTION_WAIT_FOR_PORT},
        {"port", required_argument, NULL, OPTION_PORT},
        {"root", required_argument, NULL, OPTION_ROOT},
        {"record", required_argument, NULL, OPTION_RECORD},
        {"uevents", required_argument, NULL, OPTION_UEVENTS},
        {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
        {"log-target", required_argument, NULL, OPTION_LOG_TARGET},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"dump-config", no_argument, NULL, OPTION_DUMP_CONFIG},
        {"json", no_argument, NULL, OPTION_JSON},
        {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION},
        {},
};

/* Returns as command_line_parse(). */
static int command_line_take(CommandLine *line, int option, const char *value) {
        switch (option) {
        case OPTION_CONFIG:
                line->agent.config_path = value;
                return 1;
        case OPTION_WAIT_FOR_PORT:
                line->agent.wait_for_port = true;
                return 1;
        case OPTION_PORT:
                line->agent.port_path = value;
                return 1;
        case OPTION_ROOT:
                line->root = value;
                return 1;
        case OPTION_RECORD:
                line->agent.record_path = value;
                return 1;
        case OPTION_UEVENTS:
                line->uevents = agent_config_uevents_from_string(value);
                return line->uevents >= 0 ? 1 : complain("uevents", value, "auto, kernel, udev");
        case OPTION_LOG_LEVEL:
                line->log_level = log_level_from_string(value);
                return line->log_level >= 0
                               ? 1
                               : complain("log-level", value, "error, warning, notice, info, debug");
        case OPTION_LOG_TARGET:
                return take_log_target(line, value);
        case OPTION_CHECK:
                line->check = true;
                return 1;
        case OPTION_DUMP_CONFIG:
                line->dump_config = true;
                return 1;
        case OPTION_JSON:
                line->json = true;
                return 1;
        case OPTION_HELP:
                help();
                return 0;
        case OPTION_VERSION:
                puts("memtide-agent " MEMTIDE_VERSION);
                return 0;
        default: /* getopt's own characters; it has said what is wrong */
                return -EINVAL;
        }
}

static void take_verb(CommandLine *line, int argc, char **argv) {
        const char *verb = optind < argc ? argv[optind] : "";

        line->doctor = strcmp(verb, "doctor") == 0;
        line->release = strcmp(verb, "release") == 0;
        if (strcmp(verb, "replay") == 0 && optind + 1 < argc)
                line->replay_path = argv[++optind];
        optind += line->doctor || line->release || line->replay_path;
}

int command_line_parse(int argc, char **argv, CommandLine *ret) {
        CommandLine line = {.root = "/", .uevents = -1, .log_level = LOG_INFO};

        assert(ret);

        for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
                int r = command_line_take(&line, option, optarg);

                if (r <= 0)
                        return r;
        }

        take_verb(&line, argc, argv);
        if (optind < argc) {
                fprintf(stderr, "memtide-agent: unexpected argument: %s\n", argv[optind]);
                return -EINVAL;
        }
        *ret = line;
        return 1;
}
