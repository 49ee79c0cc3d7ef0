/* SPDX-License-Identifier: Apache-2.0 */

/*
 * memtidectl: shows, explains, and tells the bridge what to do. A verb is one row of a table: its name, what it takes, its
 * help line and its function; --help is printed from the same table.
 *
 * Exit status: 0 done; 1 the bridge could not be asked, knows no such VM, or did not do all of it; 2 wrong usage.
 */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/bus-agent.h"
#include "common/macro.h"
#include "common/parse.h"
#include "host-bridge/ctl/ctl-client.h"
#include "host-bridge/ctl/ctl-guest.h"
#include "host-bridge/ctl/ctl-operate.h"
#include "host-bridge/ctl/ctl-show.h"
#include "host-bridge/ctl/ctl-verify.h"
#include "host-bridge/surfaces/bus.h"

#define EXIT_USAGE    2
#define HISTORY_LINES 20U
#define BRIDGE_SOCKET "/run/memtide/bridge.sock"

static const char *arg_socket = NULL; /* NULL: the usual place */
/* As getopt_long() sets them. */
static int arg_json = 0, arg_guest = 0, arg_once = 0, arg_dry_run = 0, arg_wait = 0;
static uint32_t arg_lines = 0; /* 0: the verb's own default */

typedef struct Verb {
        const char *name, *argument, *help;
        int least, most;                        /* words, with the verb */
        int (*run)(sd_bus *bus, char *words[]); /* bus: NULL for a verb that asks nobody */
        bool local;
} Verb;

static int print_json(const json_t *value) {
        if (json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) < 0 || putchar('\n') == EOF)
                return -EIO;
        return 0;
}

static int verb_list(sd_bus *bus, char *words[]) {
        _cleanup_(json_decrefp) json_t *bridge = NULL, *vms = NULL, *both = NULL;
        int r;

        r = ctl_call(bus, "GetBridge", "", NULL, 0, &bridge);
        if (r >= 0)
                r = ctl_call(bus, "ListVms", "", NULL, 0, &vms);
        if (r < 0)
                return r;
        if (!arg_json) {
                ctl_show_list(bridge, vms, stdout);
                return 0;
        }
        both = json_pack("{s:O, s:O}", "bridge", bridge, "vms", vms);
        return both ? print_json(both) : -ENOMEM;
}

static int verb_status(sd_bus *bus, char *words[]) {
        _cleanup_(json_decrefp) json_t *status = NULL;
        int r;

        r = ctl_call(bus, "GetVm", "s", words[1], 0, &status);
        if (r < 0)
                return r;
        if (arg_json)
                return print_json(status);
        ctl_show_status(status, stdout);
        return 0;
}

static int verb_explain(sd_bus *bus, char *words[]) {
        const char *vm = words[1];
        _cleanup_(json_decrefp) json_t *decisions = NULL, *answer = NULL;
        uint32_t most = arg_lines > 0 ? arg_lines : arg_json ? BUS_DECISIONS_MAX : 1;
        const json_t *decision;
        size_t i;
        int r;

        r = ctl_call(bus, "ListDecisions", "su", vm, most, &decisions);
        if (r < 0)
                return r;
        if (arg_json) {
                answer = json_pack("{s:s, s:O}", "vm", vm, "decisions", decisions);
                return answer ? print_json(answer) : -ENOMEM;
        }
        if (json_array_size(decisions) == 0)
                printf("%s: nothing has been decided yet\n", vm);
        json_array_foreach(decisions, i, decision) {
                if (i > 0)
                        putchar('\n');
                ctl_show_decision(decision, stdout);
        }
        return 0;
}

static int verb_history(sd_bus *bus, char *words[]) {
        const char *vm = words[1];
        _cleanup_(json_decrefp) json_t *decisions = NULL, *answer = NULL;
        uint32_t most = arg_lines > 0 ? arg_lines : arg_json ? BUS_DECISIONS_MAX : HISTORY_LINES;
        int r;

        r = ctl_call(bus, "ListHistory", "su", vm, most, &decisions);
        if (r < 0)
                return r;
        if (arg_json) {
                answer = json_pack("{s:s, s:O}", "vm", vm, "decisions", decisions);
                return answer ? print_json(answer) : -ENOMEM;
        }
        if (json_array_size(decisions) == 0)
                printf("%s: nothing has been decided, as far back as the audit reaches\n", vm);
        else
                ctl_show_history(decisions, stdout);
        return 0;
}

static int verb_cat_config(sd_bus *bus, char *words[]) {
        _cleanup_(json_decrefp) json_t *keys = NULL, *answer = NULL;
        int r;

        r = ctl_call(bus, "ListConfig", "", NULL, 0, &keys);
        if (r < 0)
                return r;
        if (arg_json) {
                answer = json_pack("{s:O}", "config", keys);
                return answer ? print_json(answer) : -ENOMEM;
        }
        ctl_show_config(keys, stdout);
        return 0;
}

/* 1 where anything but a note is found. */
static int verb_doctor(sd_bus *bus, char *words[]) {
        _cleanup_(json_decrefp) json_t *lacks = NULL, *answer = NULL;
        const json_t *lack;
        bool healthy = true;
        size_t i;
        int r;

        r = ctl_call(bus, "Diagnose", "s", words[1] ? words[1] : "", 0, &lacks);
        if (r < 0)
                return r;
        json_array_foreach(lacks, i, lack) healthy =
                healthy && strcmp(json_string_value(json_object_get(lack, "severity")), "note") == 0;
        if (arg_json) {
                answer = json_pack("{s:O}", "lacks", lacks);
                r = answer ? print_json(answer) : -ENOMEM;
        } else if (json_array_size(lacks) == 0)
                printf("%s: nothing is in the way\n", words[1] ? words[1] : "all VMs");
        else
                ctl_show_lacks(lacks, stdout);
        return r < 0 ? r : healthy ? 0 : -ECANCELED;
}

static CtlOperate operate_options(void) {
        return (CtlOperate){.json = arg_json, .dry_run = arg_dry_run, .wait = arg_wait};
}

static int verb_resize(sd_bus *bus, char *words[]) {
        const CtlOperate options = operate_options();

        return ctl_resize(&options, bus, words);
}

static int verb_hold(sd_bus *bus, char *words[]) {
        const CtlOperate options = operate_options();

        return ctl_hold(&options, bus, words);
}

static int verb_resume(sd_bus *bus, char *words[]) {
        const CtlOperate options = operate_options();

        return ctl_resume(&options, bus, words);
}

static int verb_verify(sd_bus *bus, char *words[]) {
        return ctl_verify(words[1]);
}

static const Verb verbs[] = {
        {"list", "", "all VMs, one line each", 1, 1, verb_list},
        {"status", "VM", "one VM: size, guest, agent, what it lacks", 2, 2, verb_status},
        {"explain", "VM", "the last decision about it, with its inputs and outcome", 2, 2, verb_explain},
        {"history", "VM", "what was decided about it, one line each, also before a restart", 2, 2,
         verb_history},
        {"doctor", "[VM]", "what keeps memory from following its need, and the fix of each", 1, 2,
         verb_doctor},
        {"resize", "VM SIZE", "give it that size, within its limits and as far as its guest agrees", 3, 3,
         verb_resize},
        {"hold", "VM [TIME]", "decide nothing about it, for so long or until it is resumed", 2, 3, verb_hold},
        {"resume", "VM", "end a hold, or a yield to somebody else", 2, 2, verb_resume},
        {"cat-config", "", "the configuration in force, with the origin of each value", 1, 1,
         verb_cat_config},
        {"verify", "FILE", "check a configuration file of the bridge, of vm.d or of the agent", 2, 2,
         verb_verify, true},
};

static void help(void) {
        printf("Usage: memtidectl [OPTION...] VERB [VM]\n\nShows what memtide-bridge knows, explains what "
               "it did, and tells it what to do.\n\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                printf("  %-10s %-9s  %s\n", verbs[i].name, verbs[i].argument, verbs[i].help);
        ctl_guest_help(stdout);
        printf("\nOptions:\n"
               "      --json            print JSON\n"
               "  -n, --lines=N         explain, history: so many decisions, newest first (1 and %u;\n"
               "                        with --json %u);\n"
               "                        status in a guest: so many events (8)\n"
               "      --socket=PATH     the control socket (" BRIDGE_SOCKET ", in a guest " AGENT_BUS_SOCKET
               ")\n"
               "      --guest           ask this guest's agent, also where a bridge runs\n"
               "      --dry-run         resize: show what would be done\n"
               "      --wait            resize: until it is over\n"
               "      --once            on: end after the first event\n"
               "  -h, --help            this text\n"
               "      --version         the version\n\n"
               "Exit status: 0 done, 1 not or not all of it, or the daemon did not answer, 2 wrong usage.\n",
               HISTORY_LINES, BUS_DECISIONS_MAX);
}

static int usage_error(const char *what, const char *which) {
        fprintf(stderr, "memtidectl: %s%s%s (see memtidectl --help)\n", what, which ? " " : "",
                which ? which : "");
        return -EINVAL;
}

/* Returns 1 to go on, 0 when all is said, -EINVAL for wrong usage. */
static int parse_arguments(int argc, char *argv[]) {
        enum {
                OPTION_SOCKET = 256,
                OPTION_VERSION,
        };
        static const struct option options[] = {
                {"json", no_argument, &arg_json, 1},
                {"lines", required_argument, NULL, 'n'},
                {"socket", required_argument, NULL, OPTION_SOCKET},
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, OPTION_VERSION},
                {"guest", no_argument, &arg_guest, 1},
                {"dry-run", no_argument, &arg_dry_run, 1},
                {"wait", no_argument, &arg_wait, 1},
                {"once", no_argument, &arg_once, 1},
                {0},
        };
        uint64_t lines;
        int c;

        while ((c = getopt_long(argc, argv, "n:h", options, NULL)) >= 0)
                switch (c) {
                case 0:
                        break;
                case 'n':
                        if (parse_u64(optarg, strlen(optarg), &lines) < 0 || lines < 1 ||
                            lines > BUS_DECISIONS_MAX)
                                return usage_error("--lines takes a number from 1 to 256, not", optarg);
                        arg_lines = (uint32_t) lines;
                        break;
                case OPTION_SOCKET:
                        arg_socket = optarg;
                        break;
                case 'h':
                        help();
                        return 0;
                case OPTION_VERSION:
                        puts("memtidectl " MEMTIDE_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }
        return 1;
}

/* Said, or seen: there is an agent and no bridge. */
static bool is_guest(void) {
        return arg_guest ||
               (!arg_socket && access(AGENT_BUS_SOCKET, F_OK) == 0 && access(BRIDGE_SOCKET, F_OK) != 0);
}

static int run_guest(int n, char *words[]) {
        const CtlGuest guest = {
                .socket = arg_socket ? arg_socket : AGENT_BUS_SOCKET,
                .json = arg_json,
                .once = arg_once,
                .lines = arg_lines > 0 ? arg_lines : 8,
        };
        const char *complaint = ctl_guest_complaint(n, words);

        return complaint ? usage_error(complaint, n > 0 ? words[0] : NULL) : ctl_guest_run(&guest, n, words);
}

static const Verb *find_verb(int n, char *words[]) {
        for (size_t i = 0; n > 0 && i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, words[0]) == 0)
                        return verbs + i;
        return NULL;
}

static int run_verb(int n, char *words[]) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        const Verb *verb = find_verb(n, words);

        if (!verb)
                return n > 0 ? usage_error("no such verb:", words[0]) : usage_error("which verb?", NULL);
        if (n < verb->least)
                return usage_error(verb->local ? "name a file for"
                                   : n < 2     ? "name a VM for"
                                               : "name a size for",
                                   verb->name);
        if (n > verb->most)
                return usage_error("too many arguments for", verb->name);
        if (verb->local)
                return verb->run(NULL, words);
        if (ctl_connect(arg_socket ? arg_socket : BRIDGE_SOCKET, "memtide-bridge", &bus) < 0)
                return -EIO;
        return verb->run(bus, words);
}

int main(int argc, char *argv[]) {
        int r = parse_arguments(argc, argv), n = argc - optind;
        char **words = argv + optind;
        const Verb *verb = r > 0 ? find_verb(n, words) : NULL;

        if (r > 0)
                r = is_guest() && !(verb && verb->local) ? run_guest(n, words) : run_verb(n, words);
        return r == -EINVAL ? EXIT_USAGE : r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
