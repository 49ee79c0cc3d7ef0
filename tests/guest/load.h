/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of load.c: each kind of load is a worker, which runs in a child of its own and returns an exit status. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MIB             (UINT64_C(1) << 20)
#define PAGE_BYTES      UINT64_C(4096)
#define CHUNK_BYTES     MIB
#define NSEC_PER_SEC    INT64_C(1000000000)
#define EXIT_OOM_KILLED 137

typedef int (*LoadWorker)(char *arguments[]);

/* load-state.c: what others see of a running load, and how they speak to it */
void load_write_state(const char *phase, uint64_t touched_bytes, pid_t pid);
int load_print_state(void);
int load_tell(int signal);

/* load-pace.c: time, and what a running load has been told */
bool load_asked_to_free(void);
int64_t load_now_nsec(void);
void load_sleep_until(int64_t when_nsec);
void load_hold(uint64_t bytes, unsigned hold_sec);
void load_listen(void);

/* load-pages.c: memory whose content can be checked without a copy */
void load_fill_page(void *page, uint64_t number);
uint64_t load_count_damaged(const uint8_t *memory, uint64_t bytes);

/* The kinds. */
int load_ramp(char *arguments[]);   /* load-ramp.c */
int load_mlock(char *arguments[]);  /* load-ramp.c */
int load_storm(char *arguments[]);  /* load-ramp.c */
int load_fork(char *arguments[]);   /* load-fork.c */
int load_tmpfs(char *arguments[]);  /* load-files.c */
int load_files(char *arguments[]);  /* load-files.c */
int load_tables(char *arguments[]); /* load-tables.c */
