/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One row of a table per check, one finding per row. They read what the agent reads, through the same functions where
 * there are any, so that they do not praise what the agent cannot use.
 *
 * A note on the fixes: they are one sentence each, for somebody who has never heard of the word before them.
 */

#include "agent/doctor-internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/blocks/kernel-onliner.h"
#include "agent/host/port-find.h"
#include "agent/reclaim.h"
#include "agent/signals/sampler.h"
#include "agent/survival.h"
#include "common/units.h"
#include "proto/message.h"

static void find(Finding *ret, DoctorVerdict verdict, const char *fix, const char *format, ...)
        _printf_(4, 5);

static void find(Finding *ret, DoctorVerdict verdict, const char *fix, const char *format, ...) {
        va_list values;

        *ret = (Finding){.verdict = verdict, .fix = fix};
        va_start(values, format);
        (void) vsnprintf(ret->text, sizeof(ret->text), format, values);
        va_end(values);
}

static int missing_error(const Patient *patient, Facility facility) {
        for (size_t i = 0; i < patient->n_missing; i++)
                if (patient->missing[i].facility == facility)
                        return patient->missing[i].error;
        return 0;
}

static bool exists(const Patient *patient, const char *path) {
        _cleanup_close_ int fd = rootdir_open(patient->root, path, O_PATH);

        return fd >= 0;
}

static void check_port(const Patient *patient, Finding *ret) {
        PortFound found = {.fd = -EBADF};
        int r;

        r = port_find(patient->root, patient->options->port_path, &found);
        (void) safe_close(found.fd);
        if (r == -ENOENT)
                find(ret, DOCTOR_LACKS,
                     "add to the libvirt domain: <channel type='unix'><target type='virtio' "
                     "name='" MESSAGE_PORT_NAME "'/></channel>; for QEMU see THE PORT in memtide-agent(8)",
                     "there is no port to the host");
        else if (r < 0 && r != -EBUSY)
                find(ret, DOCTOR_LACKS, "run this as root", "the port to the host cannot be opened: %s",
                     strerror(-r));
        else
                find(ret, DOCTOR_OK, NULL, "there is a port to the host%s", r < 0 ? ", in use" : "");
}

static void check_psi(const Patient *patient, Finding *ret) {
        int error = missing_error(patient, FACILITY_PSI);

        if (error > 0)
                find(ret, DOCTOR_LACKS, "boot with psi=1 (the kernel needs CONFIG_PSI)",
                     "no pressure stall information: %s", strerror(error));
        else
                find(ret, DOCTOR_OK, NULL, "pressure stall information is there");
}

static void check_swap(const Patient *patient, Finding *ret) {
        if (patient->snapshot.swap_total_bytes > 0)
                find(ret, DOCTOR_OK, NULL, "%" PRIu64 " MiB of swap",
                     patient->snapshot.swap_total_bytes / MIB);
        else
                find(ret, DOCTOR_ADVICE,
                     "add swap on zram (apt install zram-tools): without swap a guest stalls only when it is "
                     "too late",
                     "no swap: stalls tell next to nothing, the fall of available memory has to");
}

static void check_counters(const Patient *patient, Finding *ret) {
        static const Facility facilities[] = {FACILITY_MEMINFO, FACILITY_VMSTAT, FACILITY_ZONEINFO};

        for (size_t i = 0; i < ELEMENTSOF(facilities); i++)
                if (missing_error(patient, facilities[i]) > 0) {
                        find(ret, DOCTOR_LACKS,
                             "mount /proc; where it is, report this with the file as a bug", "no %s: %s",
                             facility_to_string(facilities[i]),
                             strerror(missing_error(patient, facilities[i])));
                        return;
                }
        find(ret, DOCTOR_OK, NULL, "meminfo, vmstat and zoneinfo can be read");
}

static void check_hotplug(const Patient *patient, Finding *ret) {
        if (exists(patient, "sys/devices/system/memory/block_size_bytes"))
                find(ret, DOCTOR_OK, NULL, "memory can be hot-plugged");
        else
                find(ret, DOCTOR_LACKS, "use a kernel with CONFIG_MEMORY_HOTPLUG",
                     "the kernel cannot take hot-plugged memory");
}

/* Returns how many there are, and by ret_offline how many are offline. */
static unsigned count_blocks(const Patient *patient, unsigned *ret_offline) {
        _cleanup_(closedirp) DIR *dir = NULL;
        unsigned n = 0, n_offline = 0;
        struct dirent *entry;

        if (rootdir_opendir(patient->root, "sys/devices/system/memory", &dir) >= 0)
                while ((entry = readdir(dir))) {
                        char path[sizeof("sys/devices/system/memory//state") + NAME_MAX], state[32];

                        (void) snprintf(path, sizeof(path), "sys/devices/system/memory/%s/state",
                                        entry->d_name);
                        if (strncmp(entry->d_name, "memory", STRLEN("memory")) != 0 ||
                            rootdir_read_line(patient->root, path, state, sizeof(state)) < 0)
                                continue;
                        n++;
                        n_offline += strcmp(state, "offline") == 0;
                }
        *ret_offline = n_offline;
        return n;
}

static void check_blocks(const Patient *patient, Finding *ret) {
        unsigned n_offline, n = count_blocks(patient, &n_offline);

        if (n_offline > 0)
                find(ret, DOCTOR_LACKS,
                     "start memtide-agent, which puts those of DIMMs and virtio-mem online; those that were "
                     "put "
                     "offline by hand: echo online > /sys/devices/system/memory/memoryN/state",
                     "%u of %u memory blocks are offline: plugged, and no use to anybody", n_offline, n);
        else
                find(ret, DOCTOR_OK, NULL, "all of %u memory blocks are online", n);
}

static void check_auto_online(const Patient *patient, Finding *ret) {
        const DoctorOptions *options = patient->options;
        OnliningFacts facts = kernel_onliner_facts(patient->root);
        OnliningPlan plan = onlining_plan(options->onliner, options->zone_policy, &facts);
        const char *word = auto_online_to_string(facts.now);

        if (!options->online)
                find(ret, DOCTOR_OK, NULL, "who puts memory online is not the agent's business (Online=no)");
        else if (plan.reason == ONLINING_RESPECTED &&
                 (facts.now == AUTO_ONLINE_ONLINE || facts.now == AUTO_ONLINE_KERNEL))
                find(ret, DOCTOR_ADVICE,
                     "boot without memhp_default_state=, or set Onliner=kernel in agent.conf(5), and zones "
                     "are "
                     "chosen by Zone=",
                     "the kernel was told to put memory online (%s): it will be hard to unplug", word);
        else if (plan.reason == ONLINING_RESPECTED)
                find(ret, DOCTOR_OK, NULL, "the kernel was told what to do with new memory (%s)", word);
        else if (plan.take_over && plan.word != AUTO_ONLINE_OFFLINE)
                find(ret, DOCTOR_OK, NULL, "the agent has the kernel put memory online (%s%s)",
                     auto_online_to_string(plan.word), plan.set_policy ? ", auto-movable" : "");
        else
                find(ret, DOCTOR_OK, NULL, "the agent puts memory online, block by block");
}

static void check_ratio(const Patient *patient, Finding *ret) {
        uint64_t kernel = patient->snapshot.kernel_managed_bytes,
                 movable = patient->snapshot.movable_managed_bytes;

        if (movable > u64_percent(kernel, patient->options->ratio_percent) && kernel > 0)
                find(ret, DOCTOR_LACKS,
                     "give the guest more boot memory, or lower MovableRatio= in agent.conf(5)",
                     "%" PRIu64 " MiB are movable, %" PRIu64
                     " MiB the kernel's: it may run out of memory with much of it free",
                     movable / MIB, kernel / MIB);
        else
                find(ret, DOCTOR_OK, NULL, "%" PRIu64 " MiB are movable, %" PRIu64 " MiB the kernel's",
                     movable / MIB, kernel / MIB);
}

static void check_balloon(const Patient *patient, Finding *ret) {
        static const char fix[] =
                "give QEMU -device virtio-balloon-pci,deflate-on-oom=on,free-page-reporting=on; "
                "libvirt: <memballoon model='virtio' autodeflate='on' freePageReporting='on'/>";
        uint64_t has = patient->capabilities;

        if (!(has & CAPABILITY_BALLOON))
                find(ret, DOCTOR_ADVICE, fix, "no balloon: memory can be taken by unplugging alone");
        else if (!(has & CAPABILITY_BALLOON_DEFLATE_ON_OOM) || !(has & CAPABILITY_BALLOON_REPORTING))
                find(ret, DOCTOR_ADVICE, fix, "a balloon, without%s%s",
                     has & CAPABILITY_BALLOON_DEFLATE_ON_OOM ? "" : " deflate-on-oom",
                     has & CAPABILITY_BALLOON_REPORTING ? "" : " free-page-reporting");
        else
                find(ret, DOCTOR_OK, NULL, "a balloon with deflate-on-oom and free-page-reporting");
}

static void check_virtio_mem(const Patient *patient, Finding *ret) {
        if (patient->capabilities & CAPABILITY_VIRTIO_MEM)
                find(ret, DOCTOR_OK, NULL, "a virtio-mem device");
        else
                find(ret, DOCTOR_ADVICE,
                     "give the VM a virtio-mem device (libvirt: <memory model='virtio-mem'>), if it shall "
                     "grow "
                     "beyond its boot memory",
                     "no virtio-mem device: it grows by DIMMs or by the balloon alone");
}

static void check_cgroup(const Patient *patient, Finding *ret) {
        if (exists(patient, "sys/fs/cgroup/cgroup.controllers") ||
            !exists(patient, "sys/fs/cgroup/memory/tasks"))
                find(ret, DOCTOR_OK, NULL, "no cgroup v1");
        else
                find(ret, DOCTOR_LACKS, "boot with systemd.unified_cgroup_hierarchy=1",
                     "memory is in the hands of cgroup v1: no reclaim, no pressure by service");
}

static void check_reclaim(const Patient *patient, Finding *ret) {
        int r = reclaim_probe(patient->root);

        if (r == -EACCES || r == -EPERM)
                find(ret, DOCTOR_LACKS, "run this as root", "memory.reclaim may not be written");
        else if (r < 0)
                find(ret, DOCTOR_LACKS, "use Linux 5.19 or newer, with cgroup v2 mounted at /sys/fs/cgroup",
                     "no memory.reclaim: only memory that is free already can be given to the host");
        else
                find(ret, DOCTOR_OK, NULL, "memory can be reclaimed before it is given to the host");
}

static void check_locked_memory(const Patient *patient, Finding *ret) {
        int r = survival_lock_memory();

        (void) munlockall();
        if (r < 0)
                find(ret, DOCTOR_LACKS, "run the agent by its service, or as root with LimitMEMLOCK=infinity",
                     "memory cannot be locked: %s", strerror(-r));
        else
                find(ret, DOCTOR_OK, NULL, "memory can be locked");
}

const DoctorCheck doctor_checks[] = {
        {"port", check_port},
        {"psi", check_psi},
        {"swap", check_swap},
        {"counters", check_counters},
        {"hotplug", check_hotplug},
        {"blocks", check_blocks},
        {"auto-online", check_auto_online},
        {"movable-ratio", check_ratio},
        {"balloon", check_balloon},
        {"virtio-mem", check_virtio_mem},
        {"cgroup", check_cgroup},
        {"reclaim", check_reclaim},
        {"locked-memory", check_locked_memory},
};
const size_t doctor_n_checks = ELEMENTSOF(doctor_checks);
