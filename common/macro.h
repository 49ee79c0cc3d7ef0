/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Ownership and container helpers, in systemd's dialect. Nothing here allocates. */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)         __attribute__((__cleanup__(f)))
#define _const_              __attribute__((__const__))
#define _printf_(a, b)       __attribute__((__format__(__printf__, a, b)))
#define _pure_               __attribute__((__pure__))
#define _unused_             __attribute__((__unused__))
#define _warn_unused_result_ __attribute__((__warn_unused_result__))

#define ELEMENTSOF(x)                   (sizeof(x) / sizeof((x)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *) ((char *) (ptr) -offsetof(type, member)))
#define STRLEN(literal)                 (sizeof("" literal "") - 1)

#define MIN_OF(a, b)                                                                                         \
        ({                                                                                                   \
                __typeof__(a) _a = (a);                                                                      \
                __typeof__(b) _b = (b);                                                                      \
                _a < _b ? _a : _b;                                                                           \
        })
#define MAX_OF(a, b)                                                                                         \
        ({                                                                                                   \
                __typeof__(a) _a = (a);                                                                      \
                __typeof__(b) _b = (b);                                                                      \
                _a > _b ? _a : _b;                                                                           \
        })

#define TAKE_PTR(ptr)                                                                                        \
        ({                                                                                                   \
                __typeof__(ptr) *_p = &(ptr);                                                                \
                __typeof__(ptr) _value = *_p;                                                                \
                *_p = NULL;                                                                                  \
                _value;                                                                                      \
        })

/* Closes fd if it is open, keeps errno, and returns the value that marks a closed descriptor. */
static inline int safe_close(int fd) {
        if (fd >= 0) {
                int saved_errno = errno;
                (void) close(fd);
                errno = saved_errno;
        }
        return -EBADF;
}

#define TAKE_FD(fd)                                                                                          \
        ({                                                                                                   \
                int *_p = &(fd);                                                                             \
                int _value = *_p;                                                                            \
                *_p = -EBADF;                                                                                \
                _value;                                                                                      \
        })

static inline void closep(int *fd) {
        (void) safe_close(*fd);
}

static inline void freep(void *p) {
        free(*(void **) p);
}

static inline void fclosep(FILE **f) {
        if (*f)
                (void) fclose(*f);
}

#define _cleanup_close_  _cleanup_(closep)
#define _cleanup_free_   _cleanup_(freep)
#define _cleanup_fclose_ _cleanup_(fclosep)

/* Defines type_freep() for _cleanup_ from a `Type *type_free(Type *)` that accepts NULL. */
#define DEFINE_CLEANUP_FUNC(type, func)                                                                      \
        static inline void func##p(type **p) {                                                               \
                if (*p)                                                                                      \
                        *p = func(*p);                                                                       \
        }
