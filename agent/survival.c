/* SPDX-License-Identifier: Apache-2.0 */

/*
 * MCL_ONFAULT, because plain MCL_CURRENT would fault in the whole of every mapped library: what is locked is
 * what has been used, a few MiB. It must come after a dry run, or the first sample under pressure waits
 * for the disk that everybody waits for.
 *
 * Before that dry run the code that only the start has run is let go: the dynamic linker has touched each of a dozen
 * libraries, a fault maps 64 KiB around itself, and all of it would be locked for good. Text only, which holds no
 * relocations; what is needed again is found in the page cache.
 */

#include "agent/survival.h"

#include <link.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * glibc would grow the heap by 128 KiB and hand out again, zeroed and so touched, what the start has used. Large tables that are
 * hardly used get mappings of their own instead, of which only pages that are used become resident: 16 KiB less.
 */
void survival_spare_heap(void) {
        (void) mallopt(M_TOP_PAD, 0);
        (void) mallopt(M_MMAP_THRESHOLD, 16 * 1024);
}

int survival_escape_oom(const RootDir *root) {
        char value[16];

        /* The service manager may have done it, and left us without the right to do it again. */
        if (rootdir_read_line(root, "proc/self/oom_score_adj", value, sizeof(value)) >= 0 &&
            strcmp(value, "-1000") == 0)
                return 0;
        return rootdir_write(root, "proc/self/oom_score_adj", "-1000");
}

static int forget_text(struct dl_phdr_info *object, size_t size, void *userdata) {
        uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);

        for (unsigned i = 0; i < object->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
                uintptr_t start = object->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;

                if (segment->p_type != PT_LOAD || (segment->p_flags & (PF_X | PF_W)) != PF_X)
                        continue;
                start = start & ~(page - 1);
                (void) madvise((void *) start, end - start,
                               MADV_DONTNEED); /* else it stays, which is no harm */
        }
        return 0;
}

void survival_forget_start(void) {
        (void) malloc_trim(0);
        (void) dl_iterate_phdr(forget_text, NULL);
}

int survival_lock_memory(void) {
        return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}
