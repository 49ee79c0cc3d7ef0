/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One row per lack. The figures behind it are not in the text: status shows them, and a text that does not change can be
 * searched for. Rejected: to refuse a VM that lacks something; each of these leaves a part that works.
 */

#include "host-bridge/policy/lacks.h"

#include "common/vocabulary.h"
#include "host-bridge/policy/planner.h"

#define N_ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

/* virtio-mem came with 5.1; coordinated discards, which let VFIO and it work together, with 6.1. */
#define QEMU_OLDEST_MAJOR 6U
#define QEMU_OLDEST_MINOR 1U

/* A process may lock a few pages for itself. */
#define LOCKED_NOISE_BYTES (64 * MIB)

typedef struct Row {
        const char *code;
        LackSeverity severity;
        const char *text, *fix;
} Row;

static const Row rows[] = {
        [LACK_MONITOR] = {"no-monitor", LACK_ERROR,
                          "no monitor of its hypervisor speaks: it can not be resized",
                          "give QEMU a monitor for the bridge alone: "
                          "-qmp unix:/run/memtide/vms/NAME.qmp,server=on,wait=off"},
        [LACK_AGENT] = {"no-agent", LACK_ERROR, "no agent speaks in the guest: nothing is known of its need",
                        "install memtide-agent in the guest, and give QEMU the port: "
                        "-device virtserialport,chardev=memtide,name=org.memtide.agent.0"},
        [LACK_MAX] = {"no-max", LACK_NOTE, "it is observed and never resized",
                      "set Max=, and no Mode=observed, in /etc/memtide/vm.d/NAME.conf"},
        [LACK_VIRTIO_MEM] =
                {"no-virtio-mem", LACK_WARNING,
                 "it has no virtio-mem device: it does not grow beyond what it booted with",
                 "-m SIZE,maxmem=MAX and -device virtio-mem-pci,id=ID,memdev=BACKEND,requested-size=0"},
        [LACK_ROOM] = {"no-room", LACK_WARNING, "its devices do not reach as far as its Max=",
                       "a larger maxmem= and a larger backend of its virtio-mem device, or a smaller Max="},
        [LACK_BALLOON] = {"no-balloon", LACK_WARNING,
                          "it has no balloon: nothing of its boot RAM can be taken",
                          "-device virtio-balloon-pci,deflate-on-oom=on,free-page-reporting=on"},
        [LACK_BALLOON_DRIVER] = {"no-balloon-driver", LACK_WARNING,
                                 "its guest has no driver for the balloon: what is asked of it never happens",
                                 "load the module virtio_balloon in the guest"},
        [LACK_PSI] = {"no-psi", LACK_WARNING,
                      "its guest's kernel has no PSI: stalls are not seen, only the fall of free memory",
                      "boot the guest with psi=1, on a kernel with CONFIG_PSI"},
        [LACK_VFIO] =
                {"vfio", LACK_WARNING,
                 "a device is passed through: its guest's memory is pinned, and a balloon gives nothing back",
                 "grow and shrink by virtio-mem alone, or do without the device"},
        [LACK_LOCKED] = {"locked", LACK_WARNING,
                         "its memory is locked on the host: the host gains nothing by a balloon",
                         "-overcommit mem-lock=off; with libvirt no <locked/> in <memoryBacking>"},
        [LACK_HUGEPAGES] =
                {"hugepages", LACK_WARNING,
                 "its memory is made of huge pages of a pool: what is taken goes back to that pool only",
                 "backends without hugetlb; transparent huge pages do as well"},
        [LACK_PREALLOCATED] = {"preallocated", LACK_WARNING,
                               "a memory backend is preallocated: the host pays for all of it from the start",
                               "prealloc=off, and reserve=off for the backend of virtio-mem"},
        [LACK_DIMM_BLOCK] =
                {"dimm-block", LACK_ERROR,
                 "its DIMMs are no multiple of its guest's memory blocks: the guest can not use them",
                 "a DimmSize= that is a multiple of the guest's block_size_bytes"},
        [LACK_DIMM_PLUG] =
                {"dimm-plug", LACK_WARNING,
                 "a DIMM of that size is more than its guest can take in at once: it does not grow by one",
                 "a smaller DimmSize=, or a virtio-mem device, which is plugged in parts"},
        [LACK_RIVAL] = {"rival", LACK_WARNING, "somebody else changes its memory: the bridge leaves it alone",
                        "stop the other one (virsh setmem, MOM, a ballooning service), then: memtidectl "
                        "resume NAME"},
        [LACK_LEASED] = {"leased", LACK_WARNING,
                         "another bridge of this host resizes it: here it is only observed",
                         "end the other one (status says which), or set Mode=observed for the VM here"},
        [LACK_OLD_QEMU] = {"old-qemu", LACK_NOTE,
                           "its QEMU is older than 6.1: virtio-mem is missing or does not go with VFIO",
                           "a newer QEMU"},
};
_Static_assert(N_ROWS(rows) == LACK_KIND_MAX, "every lack has a row");

static uint64_t bit(bool lacks, Lack lack) {
        return lacks ? UINT64_C(1) << lack : 0;
}

static uint64_t judge_devices(const LackFacts *facts) {
        const MemoryModel *model = facts->model;
        bool beyond = facts->max_bytes != UINT64_MAX && facts->max_bytes > memory_model_ceiling_bytes(model);
        bool grows_by_dimm = model->dimm_unit_bytes > 0 && model->room_bytes > 0;

        if (!model->known)
                return 0;
        return bit(model->n_virtio_mem == 0 && !grows_by_dimm, LACK_VIRTIO_MEM) |
               bit(model->n_virtio_mem > 0 && facts->controlled && beyond, LACK_ROOM) |
               bit(!model->has_balloon, LACK_BALLOON) |
               bit(facts->agent && facts->guest_block_bytes > 0 &&
                           facts->dimm_bytes % facts->guest_block_bytes != 0,
                   LACK_DIMM_BLOCK) |
               bit(facts->agent && memory_model_next_dimm(model) < MEMORY_MODEL_DIMMS_MAX &&
                           !planner_dimm_fits(model->dimm_unit_bytes, facts->plug_budget_bytes),
                   LACK_DIMM_PLUG);
}

static uint64_t judge_vmm(const VmmFacts *vmm) {
        bool old = vmm->qemu_major > 0 &&
                   (vmm->qemu_major < QEMU_OLDEST_MAJOR ||
                    (vmm->qemu_major == QEMU_OLDEST_MAJOR && vmm->qemu_minor < QEMU_OLDEST_MINOR));

        if (!vmm->known)
                return 0;
        return bit(vmm->n_vfio > 0, LACK_VFIO) |
               bit(vmm->locked_bytes > LOCKED_NOISE_BYTES && vmm->n_vfio == 0, LACK_LOCKED) |
               bit(vmm->hugetlb_bytes > 0, LACK_HUGEPAGES) | bit(vmm->preallocated, LACK_PREALLOCATED) |
               bit(old, LACK_OLD_QEMU);
}

uint64_t lacks_judge(const LackFacts *facts) {
        bool driver = (facts->capabilities & CAPABILITY_BALLOON) != 0;

        return bit(!facts->monitor, LACK_MONITOR) | bit(!facts->agent, LACK_AGENT) |
               bit(!facts->controlled, LACK_MAX) | bit(facts->n_yields > 0, LACK_RIVAL) |
               bit(facts->leased, LACK_LEASED) | bit(facts->agent && facts->psi_missing, LACK_PSI) |
               bit(facts->agent && facts->model->known && facts->model->has_balloon && !driver,
                   LACK_BALLOON_DRIVER) |
               judge_devices(facts) | judge_vmm(facts->vmm);
}

const char *lack_code(Lack lack) {
        return (unsigned) lack < LACK_KIND_MAX ? rows[lack].code : "";
}

const char *lack_text(Lack lack) {
        return (unsigned) lack < LACK_KIND_MAX ? rows[lack].text : "";
}

const char *lack_fix(Lack lack) {
        return (unsigned) lack < LACK_KIND_MAX ? rows[lack].fix : "";
}

LackSeverity lack_severity(Lack lack) {
        return (unsigned) lack < LACK_KIND_MAX ? rows[lack].severity : LACK_NOTE;
}

const char *lack_severity_to_string(LackSeverity severity) {
        static const char *const names[] = {
                [LACK_NOTE] = "note", [LACK_WARNING] = "warning", [LACK_ERROR] = "error"};

        _Static_assert(N_ROWS(names) == LACK_SEVERITY_MAX, "every severity has a name");
        return (unsigned) severity < LACK_SEVERITY_MAX ? names[severity] : "unknown";
}
