/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * common: what the cores of several workers share: the sessions' numbers, how many there are, how many each
 * address has opened, and the bytes that may be held.
 *
 * A session takes a lock when it opens and when it ends; bytes are taken in large pieces, without a lock. So
 * no lock lies on a datagram's path. Any thread may call.
 */
#ifndef RULES_COMMON_H
#define RULES_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shared;

struct shared *shared_new(void);
void shared_free(struct shared *shared);

/* One session more, if there are fewer than `most`. */
bool shared_enter(struct shared *shared, uint64_t max);
void shared_leave(struct shared *shared);
uint64_t shared_sessions(const struct shared *shared);
/* The number of the next session, from 1 on; and the last that was given out. */
uint32_t shared_number(struct shared *shared);
/* Its session could not be opened: the next one takes it, unless another worker was faster. */
void shared_number_return(struct shared *shared, uint32_t number);
uint32_t shared_numbers(const struct shared *shared);

/* There is room to remember one more session; false when memory is out. Asked before the next two. */
bool shared_remembers(struct shared *shared, size_t remembered);
/* How many sessions were opened before under this key (an address or identity at a listener); it is one more
 * from here on. Remembers at least `remembered` keys, the least of those without a live session going first.
 */
uint32_t shared_opened(struct shared *shared, uint64_t key, size_t remembered);
/* An identity is one session's at a time: false where it is taken. */
bool shared_identity_take(struct shared *shared, uint64_t key, size_t remembered);
/* A session that was opened under this key, or that took it as its identity, ends. */
void shared_release(struct shared *shared, uint64_t key);

/* Asks for `bytes` more to hold, of `most` in all, and takes more than that where there is plenty; gives how
 * much was taken, 0 where there is not enough. */
uint64_t shared_bytes_take(struct shared *shared, uint64_t bytes, uint64_t max);
void shared_bytes_give(struct shared *shared, uint64_t bytes);
/* What is taken at once where there is plenty: little of all, however many workers. */
uint64_t shared_piece(uint64_t max);
#define CORE_GROUP_MAX 64 /* that share it */

#endif
