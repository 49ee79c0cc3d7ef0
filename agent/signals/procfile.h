/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A kernel file that is read again and again: opened once, with room for it, so that a read allocates nothing. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/rootdir.h"

/* Where the files of one owner are read to, one after another. It may move when a file is opened. */
typedef struct ProcRoom {
        char *text; /* of the last read of any, NUL-terminated */
        size_t size;
} ProcRoom;

void procroom_done(ProcRoom *room);

typedef struct ProcFile {
        int fd;
        size_t record_most; /* bytes: the longest record that the kernel makes of it; 0 = it is one; SIZE_MAX = not known */
        ProcRoom *room; /* borrowed */
} ProcFile;

#define PROCFILE_NULL ((ProcFile){.fd = -EBADF, .record_most = SIZE_MAX})

/*
 * Opens path below root and has room for four times its present length, at least 4 KiB; the first half is touched (a
 * zone that memory is plugged into adds its lines). Returns 0 or -errno; *file is then PROCFILE_NULL.
 */
int procfile_open(ProcFile *file, ProcRoom *room, const RootDir *root, const char *path);
void procfile_done(ProcFile *file);

/* Returns the length of the text in the room, -EBADF if it is not open, -ENODATA if it is empty, or -errno. */
ssize_t procfile_read(ProcFile *file);
