/*
 * ready: which of a relay's sockets can be read or written now: one epoll set, which is itself one event of
 * the loop.
 *
 * So all that is ready together is read together, and what follows from it is sent together; and a session
 * costs no event of its own. Level-triggered: what is not read now is told again.
 *
 *   ready_wait ── ready_next … ready_next ── ready_wait …
 */
#ifndef PROXY_READY_H
#define PROXY_READY_H

#include <stdbool.h>

struct ready;

/* NULL with errno where there is no file descriptor for it. */
struct ready *ready_new(void);
void ready_free(struct ready *ready);
/* Readable when one of the sockets is ready. */
int ready_fd(const struct ready *ready);

enum ready_wish { READY_READ, READY_READ_AND_WRITE };

/* 0, or -1 with errno. `who` is given back when it is ready. */
int ready_add(struct ready *ready, int fd, void *who);
void ready_wish(struct ready *ready, int fd, void *who, enum ready_wish wish);
/* Its socket closes: what is still to be told of it is not told. */
void ready_forget(struct ready *ready, int fd, void *who);

#define READY_MOST 64
/* Asks the kernel, without waiting; gives how many are ready, READY_MOST at most. */
int ready_wait(struct ready *ready);
/* The next of those; NULL after the last. */
void *ready_next(struct ready *ready, bool *readable, bool *writable);

/* Of what the last ready_wait gave, by index: to look ahead. */
void *ready_peek(const struct ready *ready, int index);

#endif
