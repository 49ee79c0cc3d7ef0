/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One thread with one job: the write to memoryN/state. It takes 3 to 100 ms under TCG while the guest is at its
 * limit, and waits without bound where somebody else (a DIMM's ejection, an administrator's offline) holds the
 * kernel's hotplug lock; on the loop, that would be time without a sample just when samples matter.
 *
 * The thread is made at start, because a guest that needs memory can not be asked for a stack. It shares the
 * job, guarded by a mutex, and the root handle, which is never changed. All signals are the loop's.
 */

#include "agent/blocks/writer.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* block_online() needs less than 1 KiB of its own; the rest is libc's. */
#define STACK_BYTES ((size_t) 128 * 1024)

struct BlockWriter {
        const RootDir *root; /* borrowed */
        BlockWriterHandler handler;
        void *userdata; /* borrowed */
        sd_event_source *source;
        int event_fd; /* the thread says that it is done */

        bool has_thread;
        pthread_t thread;
        pthread_mutex_t mutex;
        pthread_cond_t wanted;

        /* Under the mutex. */
        bool stop, start, busy;
        uint64_t number;
        Zone zone;
        BlockOnline outcome;
};

static void *writer_main(void *userdata) {
        BlockWriter *writer = userdata;

        (void) pthread_mutex_lock(&writer->mutex);
        for (;;) {
                uint64_t number;
                BlockOnline outcome;
                Zone zone;

                while (!writer->stop && !writer->start)
                        (void) pthread_cond_wait(&writer->wanted, &writer->mutex);
                if (writer->stop)
                        break;
                writer->start = false;
                number = writer->number;
                zone = writer->zone;

                (void) pthread_mutex_unlock(&writer->mutex);
                outcome = block_online(writer->root, number, zone);
                (void) pthread_mutex_lock(&writer->mutex);

                writer->outcome = outcome;
                (void) eventfd_write(writer->event_fd, 1); /* can not fail before 2^64 - 2 writes */
        }
        (void) pthread_mutex_unlock(&writer->mutex);
        return NULL;
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        BlockWriter *writer = userdata;
        BlockOnline outcome;
        eventfd_t ignored;
        uint64_t number;

        if (eventfd_read(fd, &ignored) < 0)
                return 0; /* nothing has ended */

        (void) pthread_mutex_lock(&writer->mutex);
        writer->busy = false;
        number = writer->number;
        outcome = writer->outcome;
        (void) pthread_mutex_unlock(&writer->mutex);

        writer->handler(number, &outcome, writer->userdata);
        return 0;
}

static int start_thread(BlockWriter *writer) {
        pthread_attr_t attributes;
        sigset_t all;
        int r;

        r = pthread_attr_init(&attributes);
        if (r > 0)
                return -r;

        (void) sigfillset(&all);
        r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
        if (r == 0)
                r = pthread_attr_setsigmask_np(&attributes, &all);
        if (r == 0)
                r = pthread_create(&writer->thread, &attributes, writer_main, writer);
        (void) pthread_attr_destroy(&attributes);

        writer->has_thread = r == 0;
        return -r;
}

int block_writer_new(sd_event *event, const RootDir *root, int64_t priority, BlockWriterHandler handler,
                     void *userdata, BlockWriter **ret) {
        _cleanup_(block_writer_freep) BlockWriter *writer = NULL;
        int r;

        assert(event);
        assert(root);
        assert(handler);
        assert(ret);

        writer = malloc(sizeof(*writer));
        if (!writer)
                return -ENOMEM;
        *writer = (BlockWriter){
                .root = root,
                .handler = handler,
                .userdata = userdata,
                .event_fd = -EBADF,
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .wanted = PTHREAD_COND_INITIALIZER,
        };

        writer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (writer->event_fd < 0)
                return -errno;

        r = sd_event_add_io(event, &writer->source, writer->event_fd, EPOLLIN, on_done, writer);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(writer->source, "block-writer");
        r = sd_event_source_set_priority(writer->source, priority);
        if (r < 0)
                return r;

        r = start_thread(writer);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(writer);
        return 0;
}

BlockWriter *block_writer_free(BlockWriter *writer) {
        if (!writer)
                return NULL;

        if (writer->has_thread) {
                (void) pthread_mutex_lock(&writer->mutex);
                writer->stop = true;
                (void) pthread_cond_signal(&writer->wanted);
                (void) pthread_mutex_unlock(&writer->mutex);
                (void) pthread_join(writer->thread, NULL);
        }

        (void) sd_event_source_disable_unref(writer->source);
        writer->event_fd = safe_close(writer->event_fd);
        (void) pthread_cond_destroy(&writer->wanted);
        (void) pthread_mutex_destroy(&writer->mutex);
        free(writer);
        return NULL;
}

void block_writer_start(BlockWriter *writer, uint64_t number, Zone zone) {
        assert(writer);

        (void) pthread_mutex_lock(&writer->mutex);
        assert(!writer->busy);
        writer->busy = true;
        writer->start = true;
        writer->number = number;
        writer->zone = zone;
        (void) pthread_cond_signal(&writer->wanted);
        (void) pthread_mutex_unlock(&writer->mutex);
}
