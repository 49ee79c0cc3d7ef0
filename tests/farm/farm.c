/* SPDX-License-Identifier: Apache-2.0 */

/*
 * farm FOLDER VMS [KEY=VALUE...]: serves FOLDER/vm00000.channel, FOLDER/vm00000.qmp and so on until stdin ends.
 * Keys: boot, vmem, budget (MiB); interval, work (ms); seed. Commands on stdin, one a line:
 *
 *   agents FIRST N MODE     monitors FIRST N MODE
 *   probe PER_SEC FIRST N   alarms that ask for 128 MiB, the time to whose command is kept
 *   walk 0|1                the guests' demand changes at random
 *   eager 0|1               who connects from now on gets reports without a handshake
 *   reset                   counters and latencies begin anew
 *   stats                   prints them as a line of JSON
 *
 * Rejected: a script per VM in Python, as tests/integration has: a thousand threads cost more than what they measure.
 */

#include "farm.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *const agent_modes[AGENT_MODE_MAX] = {
        [AGENT_HONEST] = "honest",   [AGENT_SILENT] = "silent",       [AGENT_FLOOD] = "flood",
        [AGENT_GARBAGE] = "garbage", [AGENT_SLOWLORIS] = "slowloris", [AGENT_FLAPPING] = "flapping",
};

static const char *const monitor_modes[MONITOR_MODE_MAX] = {
        [MONITOR_OBEDIENT] = "obedient", [MONITOR_DEAD] = "dead",   [MONITOR_HUNG] = "hung",
        [MONITOR_SLOW] = "slow",         [MONITOR_STUCK] = "stuck",
};

uint64_t farm_now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static _Noreturn void die(const char *what) {
        fprintf(stderr, "farm: %s: %s\n", what, strerror(errno));
        exit(2);
}

int farm_listen(const Farm *farm, unsigned i, const char *suffix) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd;

        if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/" FARM_NAME_FORMAT "%s",
                     farm->options.folder, i, suffix) >= (int) sizeof(address.sun_path)) {
                errno = ENAMETOOLONG;
                die(farm->options.folder);
        }
        (void) unlink(address.sun_path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 4) < 0)
                die(address.sun_path);
        return fd;
}

/* -- control --------------------------------------------------------------------------------------- */

static int find(const char *const *names, int n, const char *name) {
        for (int i = 0; i < n; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        return -1;
}

static void print_latencies(const Farm *farm) {
        unsigned n = atomic_load(&farm->stats.n_latencies);

        printf(", \"latencies_usec\": [");
        for (unsigned i = 0; i < n && i < FARM_LATENCIES_MAX; i++)
                printf("%s%u", i > 0 ? ", " : "", farm->latencies_usec[i]);
        printf("]}\n");
}

static void print_stats(const Farm *farm) {
        const FarmStats *stats = &farm->stats;
        const struct {
                const char *name;
                const _Atomic(uint64_t) *value;
        } fields[] = {
                {"sessions", &stats->sessions},
                {"connections", &stats->connections},
                {"monitors", &stats->monitors},
                {"reports", &stats->reports},
                {"alarms", &stats->alarms},
                {"confirms", &stats->confirms},
                {"blocked", &stats->blocked},
                {"bytes", &stats->bytes},
                {"grows", &stats->grows},
                {"shrinks", &stats->shrinks},
                {"queries", &stats->queries},
                {"refused", &stats->refused},
                {"wrong_grow", &stats->wrong_grow},
                {"wrong_shrink", &stats->wrong_shrink},
                {"below_floor", &stats->below_floor},
                {"over_budget", &stats->over_budget},
                {"committed_bytes", &stats->committed_bytes},
                {"committed_peak_bytes", &stats->committed_peak_bytes},
                {"unserved_peak", &stats->unserved_peak},
        };

        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
                printf("%s\"%s\": %" PRIu64, i > 0 ? ", " : "{", fields[i].name,
                       atomic_load(fields[i].value));
        print_latencies(farm);
}

/* What is a count begins anew; what is a state stays. */
static void reset(FarmStats *stats) {
        _Atomic(uint64_t) *const counts[] = {
                &stats->connections,   &stats->reports,     &stats->alarms,
                &stats->confirms,      &stats->blocked,     &stats->bytes,
                &stats->grows,         &stats->shrinks,     &stats->queries,
                &stats->refused,       &stats->wrong_grow,  &stats->wrong_shrink,
                &stats->below_floor,   &stats->over_budget, &stats->committed_peak_bytes,
                &stats->unserved_peak,
        };

        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
                atomic_store(counts[i], 0);
        atomic_store(&stats->n_latencies, 0);
}

/* The agents' loop turns each millisecond: a look at ten thousand honest VMs in each would push the bridge out of caches. */
static void bound_mischief(Farm *farm) {
        unsigned begin = farm->options.n_vms, end = 0;

        for (unsigned i = 0; i < farm->options.n_vms; i++)
                if (atomic_load(&farm->vms[i].agent_mode) > AGENT_SILENT) {
                        begin = i < begin ? i : begin;
                        end = i + 1;
                }
        atomic_store(&farm->mischief_begin, begin);
        atomic_store(&farm->mischief_end, end);
}

static bool set_modes(Farm *farm, const char *line) {
        char kind[16], name[16];
        unsigned first, n;
        bool agents;
        int mode;

        if (sscanf(line, "%15s %u %u %15s", kind, &first, &n, name) != 4)
                return false;
        agents = strcmp(kind, "agents") == 0;
        mode = agents ? find(agent_modes, AGENT_MODE_MAX, name) : find(monitor_modes, MONITOR_MODE_MAX, name);
        if (mode < 0 || first > farm->options.n_vms || n > farm->options.n_vms - first)
                return false;
        for (unsigned i = first; i < first + n; i++)
                atomic_store(agents ? &farm->vms[i].agent_mode : &farm->vms[i].monitor_mode, mode);
        if (agents)
                bound_mischief(farm);
        return true;
}

static bool obey(Farm *farm, const char *line) {
        unsigned per_sec, first, n, on;

        if (strncmp(line, "agents ", 7) == 0 || strncmp(line, "monitors ", 9) == 0)
                return set_modes(farm, line);
        if (sscanf(line, "probe %u %u %u", &per_sec, &first, &n) == 3) {
                atomic_store(&farm->probe_first, first);
                atomic_store(&farm->probe_n, n);
                atomic_store(&farm->probes_per_sec, per_sec);
                return first <= farm->options.n_vms && n <= farm->options.n_vms - first;
        }
        if (sscanf(line, "walk %u", &on) == 1) {
                atomic_store(&farm->walks, on != 0);
                return true;
        }
        if (sscanf(line, "eager %u", &on) == 1) {
                atomic_store(&farm->eager, on != 0);
                return true;
        }
        if (strcmp(line, "reset") == 0) {
                reset(&farm->stats);
                return true;
        }
        if (strcmp(line, "stats") != 0)
                return false;
        print_stats(farm);
        return true;
}

void farm_control(Farm *farm) {
        static char text[512];
        static size_t fill;
        ssize_t n = read(STDIN_FILENO, text + fill, sizeof(text) - 1 - fill);
        char *end;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0)
                exit(0); /* the other half has a parent no more, and ends as well */
        fill += (size_t) n;
        while ((end = memchr(text, '\n', fill))) {
                size_t used = (size_t) (end + 1 - text);

                *end = '\0';
                if (!obey(farm, text)) {
                        fprintf(stderr, "farm: not understood: %s\n", text);
                        exit(2);
                }
                fill -= used;
                memmove(text, text + used, fill);
        }
        fflush(stdout);
}

/* -- start ----------------------------------------------------------------------------------------- */

static bool set_option(FarmOptions *options, const char *word) {
        char key[16];
        uint64_t value;

        if (sscanf(word, "%15[a-z]=%" SCNu64, key, &value) != 2)
                return false;
        if (strcmp(key, "boot") == 0)
                options->boot_bytes = value * MIB;
        else if (strcmp(key, "vmem") == 0)
                options->vmem_max_bytes = value * MIB;
        else if (strcmp(key, "budget") == 0)
                options->budget_bytes = value * MIB;
        else if (strcmp(key, "interval") == 0)
                options->interval_usec = value * USEC_PER_MSEC;
        else if (strcmp(key, "work") == 0)
                options->work_usec = value * USEC_PER_MSEC;
        else if (strcmp(key, "seed") == 0)
                options->seed = value;
        else
                return false;
        return true;
}

static bool parse(int argc, char **argv, FarmOptions *options) {
        if (argc < 3 || sscanf(argv[2], "%u", &options->n_vms) != 1 || options->n_vms < 1 ||
            options->n_vms > FARM_VMS_MAX)
                return false;
        options->folder = argv[1];
        for (int i = 3; i < argc; i++)
                if (!set_option(options, argv[i]))
                        return false;
        return options->interval_usec > 0;
}

static void raise_descriptor_limit(unsigned n_vms) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                die("getrlimit");
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < n_vms * 2ULL + 16) {
                errno = EMFILE;
                die("two descriptors per VM are needed");
        }
}

static Farm *farm_new(const FarmOptions *options) {
        size_t size = sizeof(Farm) + options->n_vms * sizeof(FarmVm);
        Farm *farm = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (farm == MAP_FAILED)
                die("mmap");
        farm->options = *options;
        atomic_store(&farm->stats.committed_bytes, options->n_vms * options->boot_bytes);
        return farm;
}

int main(int argc, char **argv) {
        FarmOptions options = {
                .boot_bytes = 512 * MIB,
                .vmem_max_bytes = 64 * GIB,
                .budget_bytes = MEMORY_BYTES_MAX,
                .interval_usec = USEC_PER_SEC,
                .work_usec = 20 * USEC_PER_MSEC,
                .seed = 1,
        };
        int moved[2];
        Farm *farm;
        pid_t pid;

        if (!parse(argc, argv, &options)) {
                fprintf(stderr, "usage: farm FOLDER VMS [KEY=VALUE...]\n");
                return 2;
        }
        raise_descriptor_limit(options.n_vms);
        farm = farm_new(&options);
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, moved) < 0)
                die("socketpair");
        pid = fork();
        if (pid < 0)
                die("fork");
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) close(moved[0]);
                farm_monitors(farm, moved[1]);
        }
        (void) close(moved[1]);
        farm_agents(farm, moved[0]);
}
