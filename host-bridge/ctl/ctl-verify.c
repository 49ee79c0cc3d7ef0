/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The tables of the bridge's keys are at hand here. The agent's are not (the two daemons know nothing of each other, and a
 * guest need not have the bridge's), so that one is asked itself: the one beside us, or the one in $PATH.
 */

#include "host-bridge/ctl/ctl-verify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "common/config.h"
#include "common/rootdir.h"
#include "host-bridge/bridge-config.h"
#include "host-bridge/guests/vm-config.h"

typedef enum Kind {
        KIND_BRIDGE,
        KIND_VM,
        KIND_AGENT,
} Kind;

static bool has_section(const ConfigTable *table, const char *name) {
        for (size_t i = 0; i < table->n_keys; i++)
                if (strcmp(table->keys[i].section, name) == 0)
                        return true;
        return false;
}

/* By the first section. Without any a file says nothing, or nothing that a bridge would understand: *ret stays. */
static int find_kind(const char *file, Kind *ret) {
        _cleanup_(freep) char *line = NULL;
        char section[64];
        size_t size = 0;
        FILE *stream = fopen(file, "re");

        if (!stream)
                return -errno;
        while (getline(&line, &size, stream) > 0) {
                if (sscanf(line, " [%63[^]\n]]", section) != 1)
                        continue;
                *ret = has_section(&bridge_config_table, section) ? KIND_BRIDGE
                       : has_section(&vm_config_table, section)   ? KIND_VM
                                                                  : KIND_AGENT;
                break;
        }
        (void) fclose(stream);
        return 0;
}

static void complain(int level, const char *text, void *userdata) {
        fprintf(stderr, "%s%s\n", level <= LOG_ERR ? "" : "warning: ", text);
}

/* In the child; does not return. */
static _Noreturn void become_agent(const char *file) {
        char path[PATH_MAX + sizeof("/memtide-agent")] = "";
        ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        char *slash;

        if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
                _exit(EXIT_FAILURE);
        path[n > 0 ? n : 0] = '\0';
        slash = strrchr(path, '/');
        if (slash) {
                (void) strcpy(slash, "/memtide-agent");
                (void) execl(path, path, "--config", file, "--log-target", "stderr", "--dump-config", NULL);
        }
        (void) execlp("memtide-agent", "memtide-agent", "--config", file, "--log-target", "stderr",
                      "--dump-config", NULL);
        fprintf(stderr, "%s: it is an agent's, and memtide-agent can not be asked: %m\n", file);
        _exit(EXIT_FAILURE);
}

static int ask_agent(const char *file) {
        pid_t pid = fork();
        int status;

        if (pid < 0)
                return -errno;
        if (pid == 0)
                become_agent(file);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
                return 0;
        return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE ? -EIO : -EINVAL;
}

static int check(const char *file, Kind kind) {
        _cleanup_(rootdir_freep) RootDir *root = NULL;
        BridgeConfig bridge = bridge_config_defaults;
        VmConfig vm = {};
        int r;

        r = rootdir_new("/", &root);
        if (r < 0)
                return r;
        switch (kind) {

        case KIND_BRIDGE:
                return config_load(&bridge_config_table, root, file, &bridge, NULL, complain, NULL);

        case KIND_VM:
                return vm_config_load(root, file, &vm, complain, NULL);

        case KIND_AGENT:
                return ask_agent(file);
        }
        return -EINVAL;
}

int ctl_verify(const char *file) {
        static const char *const words[] = {
                [KIND_BRIDGE] = "bridge.conf(5)",
                [KIND_VM] = "vm.conf(5)",
                [KIND_AGENT] = "agent.conf(5)",
        };
        Kind kind = KIND_BRIDGE;
        int r;

        r = find_kind(file, &kind);
        if (r < 0) {
                errno = -r;
                fprintf(stderr, "%s: %m\n", file);
                return r;
        }
        r = check(file, kind);
        if (r >= 0)
                printf("%s: nothing is wrong, as %s has it\n", file, words[kind]);
        return r;
}
