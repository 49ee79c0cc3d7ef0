/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every kernel file that the agent reads, spoilt in every way: it starts and goes on, every other signal stays, and the log
 * names the file once. A whole agent per case, in a process of its own, since the log remembers whom it has named.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "agent/agent-internal.h"
#include "agent/blocks/service-internal.h"
#include "common/units.h"
#include "tree.h"

#define BLOCKS  "sys/devices/system/memory/"
#define VIRTIO  "sys/bus/virtio/devices/virtio1/"
#define BOX     "sys/fs/cgroup/box/"
#define LOG_MAX 65536U

/* Under a sanitizer a quarter has to do: each file still meets some, and each fault some file. */
#ifdef __SANITIZE_ADDRESS__
#define IS_SLOW true
#else
#define IS_SLOW false
#endif

typedef enum Fault {
        MISSING,
        UNREADABLE, /* a link to itself: root, as whom tests run, may read every mode */
        FOLDER,
        EMPTY,
        GARBAGE,
        TRUNCATED,
        HUGE_FILE,
        OVERFLOW, /* every number beyond 64 bits */
        NULS,
        VANISHED, /* after the start */
        FAULT_MAX,
} Fault;

static const char *const fault_names[FAULT_MAX] = {"missing", "unreadable", "folder",   "empty", "garbage",
                                                   "cut",     "huge",       "overflow", "nuls",  "vanished"};

#define BIT(fault) (1U << (fault))
#define ONCE       BIT(VANISHED) /* read at the start alone */
#define ANY_TEXT   (BIT(EMPTY) | BIT(GARBAGE) | BIT(TRUNCATED) | BIT(OVERFLOW) | BIT(NULS))
#define OPENED     (ANY_TEXT | BIT(HUGE_FILE) | ONCE) /* what is in it is nobody's business */

typedef struct File {
        const char *path, *name; /* name: as in the log; NULL: the path */
        unsigned costs;          /* of Snapshot.has */
        unsigned spared;         /* faults that are none here, or cannot be told from the truth */
        bool is_link;
} File;

static const File files[] = {
        {"proc/meminfo", NULL, SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_HELD, 0},
        {"proc/vmstat", NULL, SNAPSHOT_HAS_VMSTAT, 0},
        {"proc/zoneinfo", NULL, SNAPSHOT_HAS_ZONES, BIT(TRUNCATED)}, /* fewer zones */
        {"proc/pressure/memory", NULL, SNAPSHOT_HAS_PSI, 0},
        {"proc/pressure/io", NULL, 0, BIT(TRUNCATED)},                  /* a third has no second line */
        {"proc/swaps", NULL, 0, ONCE | BIT(TRUNCATED) | BIT(OVERFLOW)}, /* devices of other names */
        {"sys/block/zram0/mm_stat", NULL, 0, BIT(TRUNCATED)},
        {"sys/kernel/mm/lru_gen/enabled", NULL, 0, BIT(MISSING) | BIT(TRUNCATED)},
        {"proc/sys/kernel/random/boot_id", NULL, 0, ONCE},
        {"proc/sys/kernel/osrelease", NULL, 0, ONCE | BIT(TRUNCATED) | BIT(OVERFLOW) | BIT(GARBAGE)},
        {"proc/cmdline", NULL, 0, ONCE | ANY_TEXT},
        {"sys/module/memory_hotplug/parameters/online_policy", NULL, 0, BIT(MISSING) | BIT(OVERFLOW) | ONCE},
        {VIRTIO "device", NULL, 0, ONCE | BIT(MISSING) | BIT(TRUNCATED)},
        {VIRTIO "features", NULL, 0, ONCE | BIT(TRUNCATED) | BIT(EMPTY)},
        {"sys/fs/cgroup/cgroup.controllers", "cgroups", SNAPSHOT_HAS_CGROUPS, ONCE | BIT(OVERFLOW)},
        {BOX "memory.max", "sys/fs/cgroup/*/memory.max", 0, BIT(MISSING) | BIT(VANISHED) | BIT(TRUNCATED)},
        {BOX "memory.high", "sys/fs/cgroup/*/memory.high", 0, BIT(MISSING) | BIT(VANISHED) | BIT(OVERFLOW)},
        {BOX "memory.current", "sys/fs/cgroup/*/memory.current", 0,
         BIT(MISSING) | BIT(VANISHED) | BIT(TRUNCATED)},
        {BOX "memory.stat", "sys/fs/cgroup/*/memory.stat", 0, BIT(MISSING) | BIT(VANISHED) | BIT(TRUNCATED)},
        {BOX "memory.pressure", "sys/fs/cgroup/*/memory.pressure", 0,
         BIT(MISSING) | BIT(UNREADABLE) | BIT(TRUNCATED)},
        {"sys/fs/cgroup/memory.reclaim", "reclaim", 0, OPENED},
        {BLOCKS "block_size_bytes", "memory-blocks", 0, ONCE | BIT(TRUNCATED)},
        {BLOCKS "auto_online_blocks", NULL, 0, BIT(MISSING) | BIT(VANISHED) | BIT(OVERFLOW)},
        {BLOCKS "memory64/state", NULL, 0, BIT(MISSING) | BIT(VANISHED) | BIT(OVERFLOW)},
        {BLOCKS "memory64/valid_zones", NULL, 0, BIT(MISSING) | BIT(VANISHED) | BIT(OVERFLOW)},
        {BLOCKS "memory64/firmware_node", NULL, 0, BIT(MISSING) | BIT(UNREADABLE), .is_link = true},
        {"proc/iomem", NULL, 0, BIT(TRUNCATED) | BIT(VANISHED)},
};

static Tree *tree;
static char sound_text[65536]; /* of the file that is spoilt */
static ssize_t sound_size;     /* negative: it is a link to sound_text */

/* -- the machine ----------------------------------------------------------------------------------- */

static void full_path(const char *path, char ret[static 256]) {
        (void) snprintf(ret, 256, "%s/%s", tree->path, path);
}

static const char psi[] = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                          "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

/* By the agent, in the machine's place. */
static void write_what_is_written(void) {
        static const char *const offline[] = {"memory32", "memory33", "memory64", "memory65"};

        tree_write(tree, "proc/pressure/memory", psi);
        tree_write(tree, BLOCKS "auto_online_blocks", "offline\n");
        tree_write(tree, "sys/module/memory_hotplug/parameters/online_policy", "contig-zones\n");
        for (size_t i = 0; i < ELEMENTSOF(offline); i++) {
                char path[128];

                (void) snprintf(path, sizeof(path), BLOCKS "%s/state", offline[i]);
                tree_write(tree, path, "offline\n");
        }
}

static void make_machine(void) {
        char *meminfo = fixture_read("debian12-6.1", "proc/meminfo", NULL),
             *at = strstr(meminfo, "SwapTotal:");

        tree = tree_new("debian12-6.1");
        assert_non_null(at);
        memcpy(at, "SwapTotal:        524288 kB", STRLEN("SwapTotal:        524288 kB"));
        tree_write(tree, "proc/meminfo", meminfo);
        free(meminfo);
        tree_write(tree, "proc/swaps",
                   "Filename Type Size Used Priority\n/dev/zram0 partition 524284 0 100\n");
        tree_write(tree, "proc/sys/kernel/random/boot_id", "01234567-89ab-cdef-0123-456789abcdef\n");
        tree_write(tree, "sys/kernel/mm/lru_gen/enabled", "0x0007\n");
        tree_write(tree, "sys/module/memory_hotplug/parameters/auto_movable_ratio", "301\n");
        tree_write(tree, "sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
        tree_write(tree, "sys/fs/cgroup/memory.reclaim", "");
        tree_write(tree, BOX "memory.max", "104857600\n");
        tree_write(tree, BOX "memory.high", "max\n");
        tree_write(tree, BOX "memory.current", "104800000\n");
        tree_write(tree, BOX "memory.stat", "anon 1\npswpin 5\npswpout 7\nworkingset_refault_anon 1\n");
        tree_write(tree, BOX "memory.pressure", psi);
        tree_write(tree, "proc/self/oom_score_adj", "-1000\n");
}

/* -- the faults ------------------------------------------------------------------------------------ */

static void write_bytes(const char *path, const char *data, size_t size) {
        _cleanup_close_ int fd = rootdir_open(tree->root, path, O_WRONLY | O_CREAT | O_TRUNC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
}

/* The text of what is there, as it is to be. */
static void spoil(const char *path, Fault fault) {
        static char out[65536];
        const char *text = sound_text;
        ssize_t n = sound_size;
        size_t size = 0;

        if (fault == GARBAGE)
                for (size = 0; size < 300; size++)
                        out[size] = "%?;]"[size % 4];
        if (fault == TRUNCATED)
                memcpy(out, text, size = (size_t) n / 3);
        if (fault == NULS)
                for (size = 0; size < (size_t) n; size++)
                        out[size] = size % 3 == 0 ? '\0' : text[size];
        if (fault == OVERFLOW)
                for (const char *c = text; *c && size < sizeof(out) - 32;) {
                        size_t digits = strspn(c, "0123456789");

                        if (digits > 0)
                                size += (size_t) sprintf(out + size, "99999999999999999999");
                        else
                                out[size++] = *c;
                        c += digits > 0 ? digits : 1;
                }
        write_bytes(path, out, size);
}

static void keep(const char *path) {
        char full[256];
        ssize_t n;

        full_path(path, full);
        n = readlink(full, sound_text, sizeof(sound_text) - 1);
        sound_size = n < 0 ? rootdir_read(tree->root, path, sound_text, sizeof(sound_text)) : -1;
        assert_true(n >= 0 || sound_size >= 0);
        if (n >= 0)
                sound_text[n] = '\0';
}

/* As it was, and what the agent has written too. */
static void mend(const char *path) {
        char full[256];

        full_path(path, full);
        (void) remove(full);
        if (sound_size < 0)
                tree_link(tree, path, sound_text);
        else
                write_bytes(path, sound_text, (size_t) sound_size);
}

static void inflict(const char *path, Fault fault) {
        char full[256];

        full_path(path, full);
        switch (fault) {
        case MISSING:
        case UNREADABLE:
        case FOLDER:
                assert_int_equal(unlink(full), 0);
                if (fault == UNREADABLE)
                        assert_int_equal(symlink(strrchr(full, '/') + 1, full), 0);
                if (fault == FOLDER)
                        assert_int_equal(mkdir(full, 0755), 0);
                return;
        case HUGE_FILE:
                assert_int_equal(truncate(full, 17 * MIB), 0);
                return;
        case VANISHED: /* for who has it open, and for who opens it */
                (void) truncate(full, 0);
                assert_int_equal(unlink(full), 0);
                return;
        case EMPTY:
        case GARBAGE:
        case TRUNCATED:
        case OVERFLOW:
        case NULS:
                spoil(path, fault);
                return;
        case FAULT_MAX:
                break;
        }
        fail();
}

/* -- one life -------------------------------------------------------------------------------------- */

/* Looks at everything, and does what follows. Returns what was had. */
static unsigned look(Agent *agent) {
        unsigned has;

        agent->everything_usec = agent->zones_usec = 0;
        agent->walk_due = true;
        agent->marked_usec = 0;
        agent_sample(agent);
        has = agent->snapshot.has;
        agent_notice_mark(agent);
        for (unsigned i = 0; i < 20; i++)
                assert_true(sd_event_run(agent->event, 0) >= 0);
        return has;
}

/* In a child. fault FAULT_MAX: none. Returns what was had in the end. */
static unsigned live(const File *file, Fault fault) {
        AgentConfig config = agent_config_defaults();
        AgentOptions options = {.port_path = "/nonexistent/port"};
        bool is_psi = file && strcmp(file->path, "proc/pressure/memory") == 0;
        bool is_zone = file && strcmp(file->path, BLOCKS "memory64/valid_zones") == 0;
        Agent *agent;
        unsigned has;

        if (fault < VANISHED)
                inflict(file->path, fault);
        config.blocks_online = !is_zone; /* whose word the block has come online by, its zone is known */
        assert_int_equal(agent_new(tree->root, &config, &options, &agent), 0);
        if (!is_psi || fault == VANISHED) /* arming the trigger has written to it, which a plain file keeps */
                tree_write(tree, "proc/pressure/memory", psi);
        if (agent->blocks)
                block_service_start(agent->blocks);
        has = look(agent);
        if (fault == VANISHED)
                inflict(file->path, fault);
        if (is_zone)
                tree_write(tree, BLOCKS "memory64/state", "online\n");
        for (unsigned i = 0; i < 2; i++) {
                if (agent->blocks)
                        block_service_configure(agent->blocks, &(BlockServiceConfig){.online = !is_zone});
                has = look(agent);
        }
        agent_free(agent);
        return has;
}

/* Returns Snapshot.has, with the log in ret. */
static unsigned run(const File *file, Fault fault, char ret[static LOG_MAX]) {
        _cleanup_close_ int fd = memfd_create("log", MFD_CLOEXEC);
        int status;
        ssize_t n;
        pid_t pid;

        assert_true(fd >= 0);
        write_what_is_written();
        if (file)
                keep(file->path);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                assert_true(dup2(fd, STDERR_FILENO) >= 0);
                log_setup(LOG_TARGET_STDERR, LOG_INFO);
                _exit((int) live(file, fault));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        n = pread(fd, ret, LOG_MAX - 1, 0);
        assert_true(n >= 0);
        ret[n] = '\0';
        if (file)
                mend(file->path);
        if (!WIFEXITED(status))
                fail_msg("%s %s: it died: %s", file ? file->path : "", fault_names[fault % FAULT_MAX], ret);
        return (unsigned) WEXITSTATUS(status);
}

/* -- what is to be seen ---------------------------------------------------------------------------- */

/* Lines with the word in them: a field may repeat what the message says. */
static unsigned count(const char *text, const char *word) {
        unsigned n = 0;

        for (const char *at = text; at && (at = strstr(at, word)); at = strchr(at, '\n'))
                n++;
        return n;
}

/* A complaint that the sound machine does not hear, and that is not about the file. */
static bool complains_of_another(char *log, const char *sound, const char *name) {
        static const char *const words[] = {"Cannot ", "No usable ", "Working without ", "Failed "};

        for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
                for (size_t i = 0; i < ELEMENTSOF(words); i++)
                        if (strstr(line, words[i]) && !strstr(sound, line) && !strstr(line, name) &&
                            !strstr(line, "psi-trigger")) {
                                print_error("%s\n", line);
                                return true;
                        }
        return false;
}

static void test_each(void **state) {
        static char sound[LOG_MAX], log[LOG_MAX];
        unsigned whole, n_wrong = 0;

        make_machine();
        whole = run(NULL, FAULT_MAX, sound);
        assert_int_equal(whole, SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI | SNAPSHOT_HAS_VMSTAT |
                                        SNAPSHOT_HAS_ZONES | SNAPSHOT_HAS_CGROUPS | SNAPSHOT_HAS_HELD);
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                for (Fault fault = 0; fault < FAULT_MAX; fault++) {
                        const File *file = &files[i];
                        const char *name = file->name ?: file->path;
                        bool is_spared = file->spared & BIT(fault);
                        unsigned has, named;

                        if (IS_SLOW && (i + fault) % 4 != 0)
                                continue;
                        if (file->is_link && BIT(fault) & OPENED)
                                continue;
                        has = run(file, fault, log);
                        named = count(log, name);
                        if (named == 1 || (is_spared && named == 0))
                                if ((has | file->costs) == whole && !complains_of_another(log, sound, name))
                                        continue;
                        print_error("%s %s: named %u times, has %x of %x\n%s\n", file->path,
                                    fault_names[fault], named, has, whole, log);
                        n_wrong++;
                }
        assert_int_equal(n_wrong, 0);
        tree_free(tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
