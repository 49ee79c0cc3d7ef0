/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libmicrohttpd without a thread of its own: its epoll descriptor is one source of our loop, what it wants to be
 * woken for is one timer, both behind everything that concerns a guest.
 *
 * A scrape is answered from one text, kept for a quarter of a second and for ten times as long as it took to make:
 * however many ask, a tenth of the loop at most goes into it. It is made in slices, when the loop has nothing else to do;
 * who asks meanwhile waits. Connections, their memory and their idle time are bounded. No method changes anything, so there
 * is nothing to be protected but the loop.
 */

#include "host-bridge/surfaces/http.h"

#include <assert.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/log.h"
#include "common/slices.h"
#include "common/units.h"
#include "host-bridge/surfaces/scrape.h"

#define HTTP_CONNECTIONS_MAX 16U
#define HTTP_TIMEOUT_SEC     10U
#define HTTP_MEMORY_MAX      ((size_t) (16 * KIB)) /* of one connection: its request and our headers */
#define HTTP_TEXT_MAX        ((size_t) (64 * MIB)) /* about 50,000 VMs */
#define HTTP_FRESH_MIN_USEC  (250 * USEC_PER_MSEC)
#define HTTP_FRESH_FACTOR    10U

struct Http {
        struct MHD_Daemon *daemon;
        sd_event_source *io, *timer;
        SnapshotSource source;
        const MetricsResizes *resizes;
        MetricsTotals *totals;
        struct MHD_Response *text; /* while it is fresh; or NULL */
        sd_event_source *stale;    /* the text is not, any more */
        bool owed;      /* the text, to those who waited for it: it is kept until they have been served */
        Scrape *scrape; /* the next text, being made; or NULL */
        Slices slices;  /* of making it */
        struct MHD_Connection *waiting[HTTP_CONNECTIONS_MAX]; /* suspended */
        unsigned n_waiting;
};

/* -- the text -------------------------------------------------------------------------------------- */

/* Thousands of VMs are megabytes. */
static void drop_text(Http *http) {
        if (http->text)
                MHD_destroy_response(http->text); /* it goes on being sent */
        http->text = NULL;
}

/* In a loop that is late this comes before those who waited are served. */
static int on_stale(sd_event_source *source, uint64_t usec, void *userdata) {
        Http *http = userdata;

        if (!http->owed)
                drop_text(http);
        return 0;
}

/* libmicrohttpd has run, and with it all that were woken. */
static int settle_debt(Http *http) {
        int enabled, r;

        if (!http->owed)
                return 0;
        http->owed = false;
        r = sd_event_source_get_enabled(http->stale, &enabled);
        if (r >= 0 && enabled == SD_EVENT_OFF)
                drop_text(http);
        return r;
}

static int keep_text(Http *http) {
        MetricsText text = scrape_take(http->scrape);
        int r;

        http->text = MHD_create_response_from_buffer(text.length, text.data, MHD_RESPMEM_MUST_FREE);
        if (!http->text) {
                free(text.data);
                return -ENOMEM;
        }
        (void) MHD_add_response_header(http->text, MHD_HTTP_HEADER_CONTENT_TYPE,
                                       "text/plain; version=0.0.4; charset=utf-8");
        r = sd_event_source_set_time_relative(http->stale,
                                              u64_max(HTTP_FRESH_MIN_USEC,
                                                      HTTP_FRESH_FACTOR * http->slices.spent_usec));
        return r < 0 ? r : sd_event_source_set_enabled(http->stale, SD_EVENT_ONESHOT);
}

/* Who waits finds the text there, or that it could not be made, when libmicrohttpd runs the next time: soon. */
static void wake_all(Http *http) {
        http->owed = http->n_waiting > 0;
        if (http->owed && sd_event_source_set_time_relative(http->timer, 0) >= 0)
                (void) sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT);
        while (http->n_waiting > 0)
                MHD_resume_connection(http->waiting[--http->n_waiting]);
}

static int proceed(uint64_t now_usec, void *userdata) {
        const Http *http = userdata;

        return scrape_proceed(http->scrape);
}

static void end_scrape(int r, void *userdata) {
        Http *http = userdata;

        if (r >= 0)
                r = keep_text(http);
        if (r < 0)
                (void) log_debug_errno(r, "The metrics could not be put together: %m");
        http->scrape = scrape_free(http->scrape);
        wake_all(http);
}

/* A few VMs are one slice, after which the text is there. */
static void begin_scrape(Http *http) {
        int r;

        r = scrape_new(&http->source, http->resizes, http->totals, HTTP_TEXT_MAX, &http->scrape);
        if (r < 0) {
                (void) log_debug_errno(r, "The metrics could not be put together: %m");
                return;
        }
        slices_begin(&http->slices);
        slices_run(&http->slices);
}

/* -- requests -------------------------------------------------------------------------------------- */

static enum MHD_Result answer_short(struct MHD_Connection *connection, unsigned status, const char *text) {
        struct MHD_Response *response;
        enum MHD_Result result;

        response = MHD_create_response_from_buffer(strlen(text), (void *) (uintptr_t) text,
                                                   MHD_RESPMEM_PERSISTENT);
        if (!response)
                return MHD_NO;
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
        result = MHD_queue_response(connection, status, response);
        MHD_destroy_response(response);
        return result;
}

static enum MHD_Result answer_metrics(Http *http, struct MHD_Connection *connection, void **state) {
        static int waited;

        if (!http->text && !http->scrape && *state != &waited)
                begin_scrape(http);
        if (http->text)
                return MHD_queue_response(connection, MHD_HTTP_OK, http->text);
        if (!http->scrape || *state == &waited || http->n_waiting == HTTP_CONNECTIONS_MAX)
                return answer_short(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "Not now.\n");
        *state = &waited;
        http->waiting[http->n_waiting++] = connection;
        MHD_suspend_connection(connection);
        return MHD_YES;
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **state) {
        static int begun;
        Http *http = userdata;

        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
                return answer_short(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
        if (!*state) { /* the head has been read; the next call is for the answer */
                *state = &begun;
                return MHD_YES;
        }
        if (*body_size > 0) { /* who sends a body with GET has it thrown away */
                *body_size = 0;
                return MHD_YES;
        }
        if (strcmp(url, "/metrics") != 0)
                return answer_short(connection, MHD_HTTP_NOT_FOUND, "There is only /metrics here.\n");
        return answer_metrics(http, connection, state);
}

/* -- the loop -------------------------------------------------------------------------------------- */

static bool is_full(const Http *http) {
        const union MHD_DaemonInfo *info =
                MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

        return info && info->num_connections >= HTTP_CONNECTIONS_MAX;
}

static int run(Http *http) {
        MHD_UNSIGNED_LONG_LONG timeout_msec;
        bool was_full = is_full(http);
        int r;

        if (MHD_run(http->daemon) != MHD_YES)
                log_debug("libmicrohttpd could not go on");
        /* Full, it listens no more; that there is a place again it sees at its next run, which nothing would bring. */
        if (was_full && !is_full(http))
                (void) MHD_run(http->daemon);
        r = settle_debt(http);
        if (r < 0)
                return r;
        if (MHD_get_timeout(http->daemon, &timeout_msec) != MHD_YES)
                return sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
        r = sd_event_source_set_time_relative(http->timer, u64_mul(timeout_msec, USEC_PER_MSEC));
        return r < 0 ? r : sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        return run(userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        return run(userdata);
}

static int listen_on(const HttpAddress *address) {
        _cleanup_close_ int fd = -EBADF;
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } socket_address = {0};
        static const int yes = 1;
        socklen_t size = sizeof(socket_address.in);

        socket_address.in = (struct sockaddr_in){.sin_family = AF_INET,
                                                 .sin_port = htons((uint16_t) address->port),
                                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (address->family == AF_INET6) {
                size = sizeof(socket_address.in6);
                socket_address.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                                           .sin6_port = htons((uint16_t) address->port),
                                                           .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        }
        fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
            bind(fd, &socket_address.any, size) < 0 || listen(fd, 16) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int start_daemon(Http *http, int *listen_fd) {
        int fd = *listen_fd;

        http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request,
                                        http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                        HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_TIMEOUT_SEC,
                                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_MEMORY_MAX, MHD_OPTION_END);
        if (!http->daemon)
                return -EIO;        /* it says no more */
        (void) TAKE_FD(*listen_fd); /* MHD_stop_daemon() closes it */
        return 0;
}

static int attach(Http *http, sd_event *event) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        int r;

        if (!info || info->epoll_fd < 0)
                return -EOPNOTSUPP;
        r = sd_event_add_io(event, &http->io, info->epoll_fd, EPOLLIN, on_io, http);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &http->timer, CLOCK_MONOTONIC, 0, 0, on_timer, http);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &http->stale, CLOCK_MONOTONIC, 0, 0, on_stale, http);
        if (r >= 0)
                r = slices_init(&http->slices, event, "http-slice", SD_EVENT_PRIORITY_IDLE, proceed,
                                end_scrape, http);
        if (r >= 0)
                r = sd_event_source_set_priority(http->io, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_priority(http->timer, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(http->io, "http");
        (void) sd_event_source_set_description(http->timer, "http-timer");
        (void) sd_event_source_set_description(http->stale, "http-stale");
        return 0;
}

int http_new(sd_event *event, const HttpAddress *address, int listen_fd, const SnapshotSource *source,
             const MetricsResizes *resizes, Http **ret) {
        _cleanup_(http_freep) Http *http = NULL;
        _cleanup_close_ int fd = listen_fd;
        int r;

        assert(event);
        assert(address && (address->family == AF_INET || address->family == AF_INET6));
        assert(source && source->bridge && source->vm_at);
        assert(resizes);
        assert(ret);

        http = calloc(1, sizeof(*http));
        if (!http)
                return -ENOMEM;
        http->source = *source;
        http->resizes = resizes;
        r = metrics_totals_new(&http->totals);
        if (r >= 0 && fd < 0)
                r = fd = listen_on(address);
        if (r >= 0)
                r = start_daemon(http, &fd);
        if (r >= 0)
                r = attach(http, event);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(http);
        return 0;
}

Http *http_free(Http *http) {
        if (!http)
                return NULL;
        http->scrape = scrape_free(http->scrape);
        wake_all(http); /* before it stops */
        http->io = sd_event_source_disable_unref(http->io);
        http->timer = sd_event_source_disable_unref(http->timer);
        http->stale = sd_event_source_disable_unref(http->stale);
        slices_done(&http->slices);
        if (http->daemon)
                MHD_stop_daemon(http->daemon);
        if (http->text)
                MHD_destroy_response(http->text);
        (void) metrics_totals_free(http->totals);
        free(http);
        return NULL;
}
