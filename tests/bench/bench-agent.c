/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The agent itself, as agent_run() runs it, paced by us: after each look the next one is armed for when we want it,
 * encodes a report and writes it to a host. What a look reads is the agent's own choice ("calm": meminfo and PSI,
 * if this machine is calm), or meminfo, vmstat and PSI of memory and io each time ("full"): how often vmstat was read is
 * counted and printed.
 *
 * A loop of our own around sampler_read() and wire_encode() would be simpler, and would leave out the event loop, the
 * timer and the port, which are a good part of the cost.
 *
 * bench-agent SAMPLES WARM PAUSE_USEC calm|full [RESCAN_USEC [stacks]]: prints one line of JSON about the samples after the
 * first WARM, and, asked to, whence each allocation among them came.
 */

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/agent-internal.h"
#include "allocations.h"
#include "bench-host.h"
#include "common/log.h"
#include "common/units.h"
#include "measure.h"

typedef struct Bench {
        Agent *agent;
        uint64_t samples, warm, pause_usec, rescan_usec; /* as asked for; rescan: 0 = as the agent does */
        bool full, stacks;
        uint64_t done; /* with a host that listens */
        uint64_t vmstat_reads;
        Measure begin, end;
        unsigned long allocations_begin, allocations_end;
} Bench;

/* In place of agent_on_sample_timer(). */
static int bench_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Bench *bench = userdata;
        Agent *agent = bench->agent;

        if (channel_is_open(agent->channel)) {
                if (bench->full)
                        agent->demand.tier = SAMPLE_HOT; /* reads vmstat; the estimator keeps its own */
                agent->reported_usec = agent->report_promised_usec = 0;
                bench->done++;
        }
        agent_sample(agent);
        bench->vmstat_reads += bench->done > bench->warm && agent->snapshot.has & SNAPSHOT_HAS_VMSTAT;

        if (bench->done == bench->warm) {
                if (bench->stacks)
                        allocations_show();
                (void) measure_take(); /* faults its own text in */
                bench->begin = measure_take();
                bench->allocations_begin = allocations_count();
        }
        if (bench->done == bench->warm + bench->samples) {
                bench->allocations_end = allocations_count();
                bench->end = measure_take();
                return sd_event_exit(agent->event, 0);
        }
        return sd_event_source_set_time(source, agent->snapshot.now_usec + bench->pause_usec);
}

/*
 * A source of our own would be a turn of the loop of its own, and be counted with the agent's. Behind all others: back to
 * back it is always due, and what has a lower priority would never come.
 */
static int bench_take_timer(Bench *bench) {
        Agent *agent = bench->agent;
        /* sd-event waits for the end of what it is given: back to back is without a pause, paced is as the agent's own. */
        uint64_t accuracy_usec = bench->pause_usec > 0 ? USEC_PER_MSEC : 1;
        int r;

        agent->sample_timer = sd_event_source_disable_unref(agent->sample_timer);
        r = sd_event_add_time(agent->event, &agent->sample_timer, CLOCK_MONOTONIC, 0, accuracy_usec,
                              bench_on_timer, bench);
        return r < 0 ? r : sd_event_source_set_priority(agent->sample_timer, SD_EVENT_PRIORITY_IDLE);
}

/* Memory blocks are looked over as often as a run of days does it. */
static void bench_rescan(Bench *bench) {
        BlockServiceConfig blocks = agent_blocks_config(bench->agent);

        blocks.rescan_usec = bench->rescan_usec;
        if (bench->agent->blocks && bench->rescan_usec > 0)
                block_service_configure(bench->agent->blocks, &blocks);
}

static void bench_print(const Bench *bench) {
        printf("{\"samples\": %" PRIu64 ", \"vmstat_reads\": %" PRIu64 ", \"cpu_nsec\": %" PRIu64
               ", \"allocations\": %lu, "
               "\"major_faults\": %" PRIu64 ", \"minor_faults\": %" PRIu64 ", \"mapped_kib\": %" PRIu64
               ", \"rss_begin_kib\": %" PRIu64 ", \"rss_end_kib\": %" PRIu64 ", \"anon_end_kib\": %" PRIu64
               "}\n",
               bench->samples, bench->vmstat_reads, bench->end.cpu_nsec - bench->begin.cpu_nsec,
               bench->allocations_end - bench->allocations_begin,
               bench->end.major_faults - bench->begin.major_faults,
               bench->end.minor_faults - bench->begin.minor_faults,
               bench->end.peak_kib - bench->begin.peak_kib, bench->begin.rss_kib, bench->end.rss_kib,
               bench->end.anon_kib);
}

static int run(Bench *bench, const char *port) {
        _cleanup_(rootdir_freep) RootDir *root = NULL;
        _cleanup_(agent_freep) Agent *agent = NULL;
        AgentConfig config = agent_config_defaults();
        AgentOptions options = {.port_path = port};
        int r;

        config.blocks_online = false; /* this machine's own blocks are not ours to touch */

        r = rootdir_new("/", &root);
        if (r >= 0)
                r = bench_host_start(port);
        if (r >= 0)
                r = agent_new(root, &config, &options, &agent);
        if (r < 0)
                return r;

        bench->agent = agent;
        bench_rescan(bench);
        r = bench_take_timer(bench);
        return r < 0 ? r : agent_run(agent);
}

/*
 * Whoever asks at /run/memtide/agent.sock makes the agent allocate, and an agent of this machine would lose its socket to us:
 * a /run of our own, where that is allowed.
 */
static void hide_run(void) {
        if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
                (void) mount("bench", "/run", "tmpfs", 0, NULL);
}

static bool arguments_are_valid(int argc, char **argv) {
        if (argc < 5 || argc > 7 || (argc == 7 && strcmp(argv[6], "stacks") != 0))
                return false;
        return strcmp(argv[4], "calm") == 0 || strcmp(argv[4], "full") == 0;
}

int main(int argc, char **argv) {
        char folder[] = "/tmp/mt-bench-XXXXXX", port[64];
        Bench bench = {0};
        int r;

        if (!arguments_are_valid(argc, argv)) {
                fprintf(stderr,
                        "usage: bench-agent SAMPLES WARM PAUSE_USEC calm|full [RESCAN_USEC [stacks]]\n");
                return 2;
        }
        bench.samples = measure_argument(argv[1]);
        bench.warm = measure_argument(argv[2]) + 1;
        bench.pause_usec = measure_argument(argv[3]);
        bench.full = strcmp(argv[4], "full") == 0;
        if (argc > 5)
                bench.rescan_usec = measure_argument(argv[5]);
        bench.stacks = argc == 7;

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        hide_run();
        if (!mkdtemp(folder))
                return 1;
        (void) snprintf(port, sizeof(port), "%s/port", folder);
        r = run(&bench, port);
        (void) unlink(port);
        (void) rmdir(folder);
        if (r < 0) {
                fprintf(stderr, "bench-agent: error %d\n", -r);
                return 1;
        }
        bench_print(&bench);
        return 0;
}
