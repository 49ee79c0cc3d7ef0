/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The dynamic linker has touched each of a dozen libraries, a fault maps 64 KiB around itself, and most of it is never run
 * again; a heap that was full while thousands came up is half empty afterwards. Text only, which holds no relocations: what
 * is needed again is found in the page cache. Parsing /proc/self/maps was rejected: dl_iterate_phdr() says the same without
 * a file.
 */

#include "common/forget.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Choice {
        unsigned nth, n_seen;
} Choice;

static int forget_text(struct dl_phdr_info *object, size_t size, void *userdata) {
        uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
        Choice *choice = userdata;

        if (choice->n_seen++ != choice->nth)
                return 0;
        for (unsigned i = 0; i < object->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
                uintptr_t start = object->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;

                if (segment->p_type != PT_LOAD || (segment->p_flags & (PF_X | PF_W)) != PF_X)
                        continue;
                start = start & ~(page - 1);
                (void) madvise((void *) start, end - start,
                               MADV_DONTNEED); /* else it stays, which is no harm */
        }
        return 1;
}

void forget_heap(void) {
        (void) malloc_trim(0);
}

bool forget_code(unsigned nth) {
        Choice choice = {.nth = nth};

        return dl_iterate_phdr(forget_text, &choice) > 0;
}

void forget_start(void) {
        forget_heap();
        for (unsigned i = 0; forget_code(i); i++)
                ;
}
