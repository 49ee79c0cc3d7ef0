/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opening a procfs file costs 1 to 2.8 reads of meminfo (estimator.md section 7) and may fail just when memory is
 * out; so does growing a buffer. Both happen once, at start. A file that outgrows its room fails with
 * -EFBIG rather than be read in part: half a zoneinfo would be a wrong answer, no answer is a known one.
 *
 * All files of an owner share one room, since a text is parsed as soon as it is read: a room for each was 64 KiB.
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

/* How long the file is now. Measured in a buffer of its own: a room that grows with it would leave holes in the heap. */
static ssize_t measure(int fd) {
        for (size_t size = ROOM_MIN; size <= ROOM_MAX; size *= 4) {
                _cleanup_free_ char *text = malloc(size);
                ssize_t n;

                if (!text)
                        return -ENOMEM;
                n = rootdir_pread(fd, text, size);
                if (n != -EFBIG)
                        return n;
        }
        return -EFBIG;
}

static int make_room(ProcRoom *room, size_t length) {
        size_t size = ROOM_MIN;
        char *p;

        while (size < length * 4)
                size *= 2;
        if (size <= room->size)
                return 0;
        p = malloc(size);
        if (!p)
                return -ENOMEM;
        memset(p, 0, length * 2); /* touched now, not at the first read; twice, for a file that grows */
        free(room->text);
        *room = (ProcRoom){p, size};
        return 0;
}

void procroom_done(ProcRoom *room) {
        assert(room);
        free(room->text);
        *room = (ProcRoom){};
}

int procfile_open(ProcFile *file, ProcRoom *room, const RootDir *root, const char *path) {
        ssize_t n;
        int r;

        assert(file);
        assert(room);
        assert(root);
        assert(path);

        *file = PROCFILE_NULL;
        r = rootdir_open(root, path, O_RDONLY);
        if (r < 0)
                return r;
        file->fd = r;
        file->room = room;

        n = measure(file->fd);
        r = n < 0 ? (int) n : make_room(room, (size_t) n);
        if (r < 0)
                procfile_done(file);
        return r;
}

void procfile_done(ProcFile *file) {
        assert(file);

        (void) safe_close(file->fd);
        *file = PROCFILE_NULL;
}

static bool is_last(const ProcFile *file, size_t part) {
        if (file->record_most == 0 || part == 0)
                return true;
        return part <= SEQ_BUFFER_SIZE && file->record_most <= SEQ_BUFFER_SIZE - part;
}

ssize_t procfile_read(ProcFile *file) {
        const ProcRoom *room;
        size_t length = 0;
        ssize_t n;

        assert(file);

        if (file->fd < 0)
                return -EBADF;
        room = file->room;
        do {
                n = pread(file->fd, room->text + length, room->size - length, (off_t) length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                length += (size_t) n;
                if (length == room->size)
                        return -EFBIG;
        } while (n < 0 || !is_last(file, (size_t) n));

        room->text[length] = '\0';
        return length == 0 ? -ENODATA : (ssize_t) length;
}
