/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One line in, one system call out: a datagram in the journal's native protocol, or a write to stderr,
 * built in bounded buffers on the stack.
 *
 * sd_journal_sendv() would save the encoding, but its socket blocks: when journald does not read, which
 * is what happens in a guest that thrashes, the one thread that could ask for memory would wait behind
 * its own log line. So the socket is ours and written with MSG_DONTWAIT, stderr is polled first, and a
 * line that finds no room is dropped and counted; the next one that gets through tells how many.
 *
 * Control characters become '?': a name sent by a guest can not forge a line or drive a terminal.
 */

#include "common/log.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LOG_MESSAGE_MAX 1024
#define LOG_VALUE_MAX   512
#define LOG_FIELDS_MAX  24
/* A pipe that polls writable takes one page whole and at once. */
#define LOG_STDERR_MAX  4096
#define LOG_JOURNAL_MAX (LOG_MESSAGE_MAX + LOG_FIELDS_MAX * (LOG_VALUE_MAX + 72) + 512)

/* How long a line waits for the reader of stderr, unless the line before found none. */
#define LOG_STDERR_WAIT_MSEC 10

/* Atomic, because worker threads log too. */
static struct {
        atomic_int max_level;
        atomic_int journal_fd; /* -EBADF: lines go to stderr */
        atomic_uint n_lost;
} log_state = {
        .max_level = LOG_INFO,
        .journal_fd = -EBADF,
};

/* Bytes being put together; what does not fit is cut. */
typedef struct Buffer {
        char *data;
        size_t size, length;
} Buffer;

static void buffer_add(Buffer *buffer, const char *text, size_t length) {
        size_t n = MIN_OF(length, buffer->size - buffer->length);

        memcpy(buffer->data + buffer->length, text, n);
        buffer->length += n;
}

static void buffer_add_string(Buffer *buffer, const char *text) {
        buffer_add(buffer, text, strlen(text));
}

/* At most max bytes of text that came from anywhere. */
static void buffer_add_clean(Buffer *buffer, const char *text, size_t max) {
        for (size_t i = 0; i < max && text[i] != '\0'; i++) {
                unsigned char c = (unsigned char) text[i];

                buffer_add(buffer, c < 0x20 || c == 0x7f ? "?" : text + i, 1);
        }
}

#define NUMBER_SIZE 24U

/* The field's value, in text where it is a number. */
static const char *field_value(const LogField *field, char text[static NUMBER_SIZE]) {
        if (field->value)
                return field->value;
        (void) snprintf(text, NUMBER_SIZE, "%" PRId64, field->number);
        return text;
}

/* NAME=value with a newline behind: the text form of the journal's native protocol. */
static void buffer_add_field(Buffer *buffer, const char *name, const char *value, size_t max) {
        buffer_add_string(buffer, name);
        buffer_add_string(buffer, "=");
        buffer_add_clean(buffer, value, max);
        buffer_add_string(buffer, "\n");
}

/* " NAME=value", in quotes where the value has blanks. */
static void buffer_add_word(Buffer *buffer, const char *name, const char *value) {
        const char *quote = strchr(value, ' ') || value[0] == '\0' ? "\"" : "";

        buffer_add_string(buffer, " ");
        buffer_add_string(buffer, name);
        buffer_add_string(buffer, "=");
        buffer_add_string(buffer, quote);
        buffer_add_clean(buffer, value, LOG_VALUE_MAX);
        buffer_add_string(buffer, quote);
}

/* The parts of one line, borrowed. */
typedef struct Line {
        int level;
        int error; /* positive errno or 0 */
        const char *message;
        const char *message_id; /* or NULL */
        const LogField *fields;
        size_t n_fields;
} Line;

/* Returns 0, or -errno when the line was not taken. */
static int line_to_journal(const Line *line, int fd) {
        static const struct sockaddr_un address = {
                .sun_family = AF_UNIX,
                .sun_path = "/run/systemd/journal/socket",
        };
        char data[LOG_JOURNAL_MAX], number[NUMBER_SIZE];
        Buffer buffer = {.data = data, .size = sizeof(data)};

        (void) snprintf(number, sizeof(number), "%d", line->level);
        buffer_add_field(&buffer, "PRIORITY", number, SIZE_MAX);
        buffer_add_field(&buffer, "SYSLOG_IDENTIFIER", program_invocation_short_name, 64);
        buffer_add_field(&buffer, "MESSAGE", line->message, SIZE_MAX);
        if (line->error != 0) {
                (void) snprintf(number, sizeof(number), "%d", line->error);
                buffer_add_field(&buffer, "ERRNO", number, SIZE_MAX);
        }
        if (line->message_id)
                buffer_add_field(&buffer, "MESSAGE_ID", line->message_id, 32);
        for (size_t i = 0; i < line->n_fields; i++)
                buffer_add_field(&buffer, line->fields[i].name, field_value(&line->fields[i], number),
                                 LOG_VALUE_MAX);

        /* Addressed anew each time, so that a journald that comes back is found. */
        if (sendto(fd, data, buffer.length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *) &address,
                   sizeof(address)) < 0)
                return -errno;
        return 0;
}

static int line_to_stderr(const Line *line) {
        char data[LOG_STDERR_MAX], number[NUMBER_SIZE];
        Buffer buffer = {.data = data, .size = sizeof(data) - 1};
        struct pollfd poll_fd = {.fd = STDERR_FILENO, .events = POLLOUT};
        int r;

        r = poll(&poll_fd, 1, log_state.n_lost > 0 ? 0 : LOG_STDERR_WAIT_MSEC);
        if (r < 0)
                return -errno; /* a signal: whether there is room is not known, and a write would wait for it */
        if (r == 0)
                return -EAGAIN;
        if (poll_fd.revents & (POLLERR | POLLHUP | POLLNVAL))
                return -EPIPE; /* a write would raise SIGPIPE */

        buffer_add_clean(&buffer, program_invocation_short_name, 64);
        buffer_add_string(&buffer, ": ");
        buffer_add_clean(&buffer, line->message, SIZE_MAX);
        for (size_t i = 0; i < line->n_fields; i++)
                buffer_add_word(&buffer, line->fields[i].name, field_value(&line->fields[i], number));
        data[buffer.length++] = '\n';

        if (write(STDERR_FILENO, data, buffer.length) < 0)
                return -errno;
        return 0;
}

static int line_write(const Line *line) {
        int fd = log_state.journal_fd;

        if (fd >= 0) {
                int r = line_to_journal(line, fd);

                /* A full queue is a line lost; no journald at all is a reason to speak elsewhere. */
                if (r >= 0 || r == -EAGAIN)
                        return r;
        }
        return line_to_stderr(line);
}

static void line_write_or_count(const Line *line) {
        unsigned n_lost = log_state.n_lost;
        char text[64];

        if (line_write(line) < 0) {
                log_state.n_lost++;
                return;
        }
        if (n_lost == 0)
                return;

        (void) snprintf(text, sizeof(text), "%u log lines before this one were lost", n_lost);
        if (line_write(&(const Line){.level = LOG_WARNING, .message = text}) >= 0)
                log_state.n_lost -= n_lost;
}

_printf_(4, 0) static void log_vline(const Line *head, char *text, size_t size, const char *format,
                                     va_list args) {
        Line line = *head;
        int saved_errno = errno;

        errno = line.error; /* what %m says */
        if (vsnprintf(text, size, format, args) < 0)
                text[0] = '\0';
        line.message = text;
        line_write_or_count(&line);
        errno = saved_errno;
}

int log_line(int level, int error, const char *format, ...) {
        char text[LOG_MESSAGE_MAX];
        va_list args;

        assert(format);

        if (level > log_state.max_level)
                return error;

        va_start(args, format);
        log_vline(&(const Line){.level = level, .error = abs(error)}, text, sizeof(text), format, args);
        va_end(args);
        return error;
}

void log_event_errno(int level, int error, const char *message_id, const LogField *fields, size_t n_fields,
                     const char *format, ...) {
        char text[LOG_MESSAGE_MAX];
        va_list args;

        assert(fields || n_fields == 0);
        assert(format);

        if (level > log_state.max_level)
                return;

        va_start(args, format);
        log_vline(
                &(const Line){
                        .level = level,
                        .error = abs(error),
                        .message_id = message_id,
                        .fields = fields,
                        .n_fields = MIN_OF(n_fields, (size_t) LOG_FIELDS_MAX),
                },
                text, sizeof(text), format, args);
        va_end(args);
}

/* systemd says in JOURNAL_STREAM which device:inode it connected; stderr may have moved since. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        char expected[48];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;

        (void) snprintf(expected, sizeof(expected), "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        return strcmp(stream, expected) == 0;
}

void log_setup(LogTarget target, int max_level) {
        bool journal = target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal());

        (void) safe_close(log_state.journal_fd);
        log_state.journal_fd = journal ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -EBADF;
        log_set_max_level(max_level);
}

void log_set_max_level(int max_level) {
        log_state.max_level = max_level;
}

int log_get_max_level(void) {
        return log_state.max_level;
}

int log_level_from_string(const char *text) {
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                {"error", LOG_ERR}, {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
                {"info", LOG_INFO}, {"debug", LOG_DEBUG},     {"err", LOG_ERR},
        };

        assert(text);

        for (size_t i = 0; i < ELEMENTSOF(levels); i++)
                if (strcmp(text, levels[i].name) == 0)
                        return levels[i].level;
        if (text[0] >= '0' && text[0] <= '7' && text[1] == '\0')
                return text[0] - '0';
        return -EINVAL;
}

int log_target_from_string(const char *text) {
        static const char *const names[] = {
                [LOG_TARGET_AUTO] = "auto",
                [LOG_TARGET_JOURNAL] = "journal",
                [LOG_TARGET_STDERR] = "stderr",
        };

        assert(text);

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(text, names[i]) == 0)
                        return (int) i;
        return -EINVAL;
}
