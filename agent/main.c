/* SPDX-License-Identifier: Apache-2.0 */

/* memtide-agent: command line, configuration, and the words for a machine that is no guest of memtide. */

#include <signal.h>
#include <stdio.h>

#include "agent/agent-config.h"
#include "agent/agent-options.h"
#include "agent/agent.h"
#include "agent/blocks/kernel-onliner.h"
#include "agent/doctor.h"
#include "agent/messages.h"
#include "agent/replay.h"
#include "agent/survival.h"
#include "common/log.h"
#include "proto/message.h"

enum {
        EXIT_USAGE = 2,   /* command line, configuration, or what is no recording */
        EXIT_NO_PORT = 3, /* inert: nothing to do on this machine */
};

static void explain_missing_port(const char *path) {
        if (path) {
                log_event(LOG_NOTICE, MESSAGE_ID_INERT, LOG_FIELDS({"PORT", path}),
                          "There is no port to the host at %s", path);
                return;
        }
        log_event(LOG_NOTICE, MESSAGE_ID_INERT, LOG_FIELDS({"PORT", MESSAGE_PORT_NAME}),
                  "There is no virtio-serial port " MESSAGE_PORT_NAME " on this machine: nothing to do. "
                  "To give it one, add to the libvirt domain: "
                  "<channel type='unix'><target type='virtio' name='" MESSAGE_PORT_NAME "'/></channel>"
                  " or to QEMU's command line: -device virtio-serial-pci "
                  "-chardev socket,path=/run/memtide/vms/NAME.channel,server=on,wait=off,id=memtide "
                  "-device virtserialport,chardev=memtide,name=" MESSAGE_PORT_NAME
                  " (or start with --wait-for-port)");
}

static int serve(const RootDir *root, const AgentConfig *config, const AgentOptions *options) {
        _cleanup_(agent_freep) Agent *agent = NULL;
        int r;

        r = agent_new(root, config, options, &agent);
        if (r >= 0)
                r = agent_run(agent);
        if (r == -ENOENT && agent) {
                explain_missing_port(options->port_path);
                return EXIT_NO_PORT;
        }
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int replay(const char *path) {
        _cleanup_fclose_ FILE *file = NULL;
        int r;

        file = fopen(path, "re");
        if (!file) {
                log_error_errno(-errno, "Failed to open %s: %m", path);
                return EXIT_USAGE;
        }
        r = replay_run(file, path, false, stdout);
        if (r < 0 && r != -EBADMSG)
                log_error_errno(r, "Failed to read %s: %m", path);
        return r < 0 ? EXIT_USAGE : r > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(const CommandLine *line) {
        _cleanup_(rootdir_freep) RootDir *root = NULL;
        ConfigOrigin origins[AGENT_CONFIG_KEYS];
        AgentConfig config;
        int r;

        if (line->replay_path)
                return replay(line->replay_path);

        r = rootdir_new(line->root, &root);
        if (r < 0) {
                log_error_errno(r, "Failed to open %s: %m", line->root);
                return EXIT_USAGE;
        }

        if (line->release) { /* whatever the configuration has come to be */
                r = kernel_onliner_release(root);
                if (r < 0)
                        log_error_errno(r, "Failed to leave memory to the kernel: %m");
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }

        r = agent_config_load(root, line->agent.config_path, &config, origins);
        if (r < 0) {
                log_error_errno(r, "Failed to load the configuration: %m");
                return EXIT_USAGE;
        }
        if (line->uevents >= 0)
                config.uevents = line->uevents;

        if (line->dump_config)
                config_dump(&agent_config_table, &config, origins, stdout);
        if (line->check || line->dump_config)
                return EXIT_SUCCESS;
        if (line->doctor) {
                DoctorOptions options = {
                        .port_path = line->agent.port_path,
                        .ratio_percent = config.ratio_percent,
                        .online = config.blocks_online,
                        .onliner = (Onliner) config.onliner,
                        .zone_policy = (ZonePolicy) config.zone_policy,
                        .json = line->json,
                };

                log_set_max_level(LOG_ERR); /* the findings say it better */
                return doctor_run(root, &options, stdout) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }
        return serve(root, &config, &line->agent);
}

int main(int argc, char **argv) {
        CommandLine line;
        int r;

        survival_spare_heap();
        r = command_line_parse(argc, argv, &line);
        if (r <= 0)
                return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;

        log_setup(line.log_target, line.log_level);
        (void) signal(SIGPIPE, SIG_IGN); /* a host that closes is an error code of write(2) */
        return run(&line);
}
