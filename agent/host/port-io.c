/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Output is at most one frame: what waits behind it is the session's, which can still replace it by something newer.
 * Input has a budget per tick, so that a host gone mad costs a bounded share of CPU.
 */

#include <assert.h>
#include <poll.h>
#include <string.h>

#include "agent/host/port-internal.h"

#define PORT_BUDGET_TICK_USEC (100 * USEC_PER_MSEC)
#define PORT_BUDGET_BYTES     (64 * KIB) /* per tick: 640 KiB/s, far above any use */
#define PORT_RETRY_WRITE_USEC (20 * USEC_PER_MSEC)
#define PORT_READ_SIZE        4096U

void port_forget_output(Port *port) {
        port->pending_size = port->pending_done = 0;
        port->resting = false;
}

bool port_flush(Port *port) {
        while (port->pending_done < port->pending_size) {
                ssize_t n = write(port->fd, port->pending + port->pending_done,
                                  port->pending_size - port->pending_done);

                if (n > 0) {
                        port->pending_done += (size_t) n;
                        continue;
                }
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                /* The ring was refused, or the kernel had no memory for its copy: epoll calls this writable. */
                if (n == 0 || errno == ENOMEM) {
                        port->resting = true;
                        port_arm(port, PORT_RETRY_WRITE_USEC);
                        break;
                }
                port_lose(port, -errno);
                return false;
        }

        if (port->pending_done >= port->pending_size)
                port_forget_output(port);
        port_watch(port);
        return true;
}

void port_read(Port *port) {
        uint8_t buffer[PORT_READ_SIZE];
        uint64_t now_usec = port_now(port);
        ssize_t n;

        n = read(port->fd, buffer, sizeof(buffer));
        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        port_lose(port, -errno);
                else if (port_poll(port) & POLLHUP) /* else epoll would call this readable for ever */
                        port_hang_up(port);
                return;
        }
        if (n == 0) {
                port_hang_up(port);
                return;
        }

        if (now_usec - port->tick_usec >= PORT_BUDGET_TICK_USEC) {
                port->tick_usec = now_usec;
                port->tick_bytes = 0;
        }
        port->tick_bytes += (size_t) n;
        if (port->tick_bytes >= PORT_BUDGET_BYTES) {
                port->throttled = true;
                port_watch(port);
                port_arm(port, PORT_BUDGET_TICK_USEC);
        }

        port->handlers->received(buffer, (size_t) n, port->userdata);
}

bool port_can_send(const Port *port) {
        assert(port);
        return port->state == PORT_UP && port->pending_size == 0;
}

int port_send(Port *port, const uint8_t *frame, size_t size) {
        assert(port);
        assert(frame);
        assert(size > 0 && size <= sizeof(port->pending));

        if (port->state != PORT_UP)
                return -ENOTCONN;
        if (port->pending_size > 0)
                return -EBUSY;

        memcpy(port->pending, frame, size);
        port->pending_size = size;
        return port_flush(port) ? 0 : -ENOTCONN;
}
