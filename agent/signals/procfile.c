/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opening a procfs file costs 1 to 2.8 reads of meminfo (estimator.md section 7) and may fail just when memory is
 * out; so does growing a buffer. Both happen once, at start. A file that outgrows its room fails with
 * -EFBIG rather than be read in part: half a zoneinfo would be a wrong answer, no answer is a known one.
 *
 * The read that only finds the end costs as much as the first one, since the kernel makes the text anew (meminfo: 5 us of
 * 11). It is left out where the end is known: seq_file (fs/seq_file.c) hands out whole records until its buffer of a
 * page is full, so a part that leaves room for the longest record is the last, and a file of one record comes at once.
 */

#include "agent/signals/procfile.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#define ROOM_MIN ((size_t) 4 * 1024)
#define ROOM_MAX ((size_t) 16 * 1024 * 1024)

/* The smallest page that Linux has: a larger one makes for a read more, never for one too few. */
#define SEQ_BUFFER_SIZE ((size_t) 4096)

static int make_room(ProcFile *file) {
        for (size_t size = ROOM_MIN; size <= ROOM_MAX; size *= 2) {
                char *p = realloc(file->text, size);
                ssize_t n;

                if (!p)
                        return -ENOMEM;
                file->text = p;
                file->size = size;

                n = rootdir_pread(file->fd, file->text, size);
                if (n < 0 && n != -EFBIG)
                        return (int) n;
                if (n >= 0 && (size_t) n * 4 < size) {
                        memset(file->text, 0, size); /* touched now, not at the first read */
                        return 0;
                }
        }
        return -EFBIG;
}

int procfile_open(ProcFile *file, const RootDir *root, const char *path) {
        int r;

        assert(file);
        assert(root);
        assert(path);

        *file = PROCFILE_NULL;
        file->fd = rootdir_open(root, path, O_RDONLY);
        if (file->fd < 0) {
                r = file->fd;
                *file = PROCFILE_NULL;
                return r;
        }

        r = make_room(file);
        if (r < 0)
                procfile_done(file);
        return r;
}

void procfile_done(ProcFile *file) {
        assert(file);

        (void) safe_close(file->fd);
        free(file->text);
        *file = PROCFILE_NULL;
}

static bool is_last(const ProcFile *file, size_t part) {
        if (file->record_most == 0 || part == 0)
                return true;
        return part <= SEQ_BUFFER_SIZE && file->record_most <= SEQ_BUFFER_SIZE - part;
}

ssize_t procfile_read(ProcFile *file) {
        size_t length = 0;
        ssize_t n;

        assert(file);

        if (file->fd < 0)
                return -EBADF;
        do {
                n = pread(file->fd, file->text + length, file->size - length, (off_t) length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                length += (size_t) n;
                if (length == file->size)
                        return -EFBIG;
        } while (n < 0 || !is_last(file, (size_t) n));

        file->text[length] = '\0';
        return length == 0 ? -ENODATA : (ssize_t) length;
}
