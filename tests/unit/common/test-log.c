/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What comes out on stderr, byte for byte, with a pipe in its place; that a reader who does not read
 * blocks nobody; and the datagram that journald would get, in a mount namespace where the test is journald.
 */

#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/units.h"

static int saved_stderr, pipe_read;

static int set_up(void **state) {
        int fds[2];

        (void) unsetenv("JOURNAL_STREAM");
        saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        (void) close(fds[1]);
        pipe_read = fds[0];
        assert_int_equal(fcntl(pipe_read, F_SETFL, O_NONBLOCK), 0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        return 0;
}

static int tear_down(void **state) {
        (void) dup2(saved_stderr, STDERR_FILENO);
        (void) close(saved_stderr);
        (void) close(pipe_read);
        return 0;
}

/* What was written since; borrowed until the next call. */
static const char *output(void) {
        static char buffer[65536];
        ssize_t n = read(pipe_read, buffer, sizeof(buffer) - 1);

        buffer[n < 0 ? 0 : n] = '\0';
        return buffer;
}

static void test_lines(void **state) {
        log_info("guest %d grew", 7);
        assert_string_equal(output(), "test-log: guest 7 grew\n");

        assert_int_equal(log_error_errno(-ENOENT, "Failed to open %s: %m", "x"), -ENOENT);
        assert_string_equal(output(), "test-log: Failed to open x: No such file or directory\n");

        assert_int_equal(log_debug_errno(-EPERM, "not at this level"), -EPERM);
        assert_string_equal(output(), "");

        errno = EBUSY;
        log_notice("errno is the caller's");
        assert_int_equal(errno, EBUSY);
        (void) output();
}

static void test_levels(void **state) {
        static const struct {
                const char *text;
                int expected;
        } rows[] = {
                {"error", LOG_ERR},
                {"err", LOG_ERR},
                {"warning", LOG_WARNING},
                {"notice", LOG_NOTICE},
                {"info", LOG_INFO},
                {"debug", LOG_DEBUG},
                {"0", 0},
                {"7", 7},
                {"8", -EINVAL},
                {"", -EINVAL},
                {"77", -EINVAL},
                {"Info", -EINVAL},
                {"-1", -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(log_level_from_string(rows[i].text), rows[i].expected);

        assert_int_equal(log_target_from_string("auto"), LOG_TARGET_AUTO);
        assert_int_equal(log_target_from_string("journal"), LOG_TARGET_JOURNAL);
        assert_int_equal(log_target_from_string("stderr"), LOG_TARGET_STDERR);
        assert_int_equal(log_target_from_string("Stderr"), -EINVAL);
        assert_int_equal(log_target_from_string(""), -EINVAL);

        log_set_max_level(LOG_WARNING);
        assert_int_equal(log_get_max_level(), LOG_WARNING);
        log_notice("dropped");
        log_warning("kept");
        assert_string_equal(output(), "test-log: kept\n");
        log_set_max_level(LOG_INFO);
}

static void test_fields_and_hostile_text(void **state) {
        const LogField fields[] = {
                {"GUEST", "a b"},        {"REASON", "predict"},         {"EMPTY", ""},
                {"EVIL", "x\n\033[2Jy"}, {"LOST", .number = INT64_MIN},
        };

        log_event(LOG_NOTICE, "0123456789abcdef0123456789abcdef", fields, ELEMENTSOF(fields), "grown\nby %u",
                  5U);
        assert_string_equal(output(),
                            "test-log: grown?by 5 GUEST=\"a b\" REASON=predict EMPTY=\"\" EVIL=x??[2Jy "
                            "LOST=-9223372036854775808\n");
}

static void test_bounds(void **state) {
        static char text[20000];
        LogField fields[40];
        const char *line;

        memset(text, 'x', sizeof(text) - 1);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                fields[i] = (LogField){"FIELD", text};

        log_event(LOG_NOTICE, NULL, fields, ELEMENTSOF(fields), "%s", text);
        line = output();
        assert_int_equal(strlen(line), 4096);
        assert_int_equal(line[4095], '\n');
}

/* A full pipe: every line returns, is counted, and the count is told once there is room. */
static void test_full_pipe_never_blocks(void **state) {
        const char *text;

        for (int i = 0; i < 2000; i++)
                log_info("a line of some length, so that the pipe is full after a while: %08d", i);
        while ((text = output())[0] != '\0' && strlen(text) > 60000)
                ;
        log_info("back");
        text = output();
        assert_non_null(strstr(text, "test-log: back\ntest-log: "));
        assert_non_null(strstr(text, " log lines before this one were lost\n"));

        log_info("silent again");
        assert_string_equal(output(), "test-log: silent again\n");
}

static void on_alarm(int signal) {
}

/* A signal that ends the wait for room is no room. */
static void test_signal_does_not_block(void **state) {
        struct sigaction restart = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
        struct itimerval soon = {.it_value.tv_usec = 2000};
        char noise[4096] = "";

        assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
        while (write(STDERR_FILENO, noise, sizeof(noise)) > 0)
                ;
        assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, 0), 0);

        assert_int_equal(sigaction(SIGALRM, &restart, &before), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
        log_info("nobody reads"); /* for ever, if the write is tried */
        assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);

        while (read(pipe_read, noise, sizeof(noise)) > 0)
                ;
        log_info("back");
        assert_string_equal(output(), "test-log: back\ntest-log: 1 log lines before this one were lost\n");
}

/* No SIGPIPE, no harm, when whoever read stderr is gone. */
static void test_reader_gone(void **state) {
        int fds[2], kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        (void) close(fds[1]);
        (void) close(fds[0]);
        log_error("to nobody");
        assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
        (void) close(kept);

        log_info("here");
        assert_string_equal(output(), "test-log: here\ntest-log: 1 log lines before this one were lost\n");
}

static void test_limit(void **state) {
        LogLimit limit = {};
        unsigned n_allowed = 0, n_suppressed = 77;

        for (unsigned i = 0; i < 1000; i++)
                n_allowed += log_limit_allows(&limit, 1000 + i, &n_suppressed);
        assert_in_range(n_allowed, 1, 20);
        assert_int_equal(n_suppressed, 0);

        assert_true(log_limit_allows(&limit, 1000 + 3600 * USEC_PER_SEC, &n_suppressed));
        assert_int_equal(n_suppressed, 1000 - n_allowed);
        assert_true(log_limit_allows(&limit, 1001 + 3600 * USEC_PER_SEC, &n_suppressed));
        assert_int_equal(n_suppressed, 0);
        assert_true(log_limit_allows(&(LogLimit){}, 0, NULL));
}

/* Becomes journald in a mount namespace of its own. Returns its socket, or -errno. */
static int journal_listen(void) {
        static const struct sockaddr_un address = {.sun_family = AF_UNIX,
                                                   .sun_path = "/run/systemd/journal/socket"};
        int fd;

        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0)
                return -errno;
        if (mkdir("/run/systemd", 0755) < 0 || mkdir("/run/systemd/journal", 0755) < 0)
                return -errno;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        return bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : fd;
}

/* The next datagram, "" if there is none; borrowed until the next call. */
static const char *journal_receive(int fd) {
        static char buffer[65536];
        ssize_t n = recv(fd, buffer, sizeof(buffer) - 1, 0);

        buffer[n < 0 ? 0 : n] = '\0';
        return buffer;
}

/* Sets up the log as under a service manager that says which inode stderr's journal stream has. */
static void log_setup_with_stream(ino_t offset) {
        char stream[64];
        struct stat st;

        if (fstat(STDERR_FILENO, &st) < 0)
                return;
        (void) snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t) st.st_dev,
                        (uintmax_t) (st.st_ino + offset));
        (void) setenv("JOURNAL_STREAM", stream, true);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
}

/* Runs in a child, where cmocka is not at hand. Returns the exit status; 77: not possible here. */
static int journal_child(void) {
        const char *text;
        int fd = journal_listen();

        if (fd < 0)
                return 77;

        log_setup_with_stream(1); /* stderr has been redirected since */
        log_info("to stderr");
        if (journal_receive(fd)[0] != '\0')
                return 3;

        log_setup_with_stream(0);
        log_event_errno(LOG_NOTICE, -EIO, "0123456789abcdef0123456789abcdef",
                        LOG_FIELDS({"GUEST", "web\n1"}, {"BYTES", .number = 5}), "grown by %d: %m", 5);
        if (strcmp(journal_receive(fd),
                   "PRIORITY=5\nSYSLOG_IDENTIFIER=test-log\nMESSAGE=grown by 5: Input/output error\nERRNO=5\n"
                   "MESSAGE_ID=0123456789abcdef0123456789abcdef\nGUEST=web?1\nBYTES=5\n") != 0)
                return 4;
        (void) log_error_errno(-ENOENT, "no: %m");
        text = journal_receive(fd);
        if (!strstr(text, "PRIORITY=3\n") ||
            !strstr(text, "MESSAGE=no: No such file or directory\nERRNO=2\n"))
                return 5;

        /* journald does not read: no line waits for it */
        for (int i = 0; i < 5000; i++)
                log_info("line %d", i);
        while (journal_receive(fd)[0] != '\0')
                ;
        log_info("back");
        (void) journal_receive(fd);
        if (!strstr(journal_receive(fd), "log lines before this one were lost"))
                return 6;

        (void) close(fd);
        log_info("no journald");
        return 0;
}

static void test_journal(void **state) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(journal_child());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_string_equal(output(), "test-log: to stderr\ntest-log: no journald\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_fields_and_hostile_text, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full_pipe_never_blocks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_signal_does_not_block, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_reader_gone, set_up, tear_down),
                cmocka_unit_test(test_limit),
                cmocka_unit_test_setup_teardown(test_journal, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
