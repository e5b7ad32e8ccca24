/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shared: state shared by the cores of several workers: session numbers, the number of live sessions, how
 * many sessions each address has opened, and the budget of queued bytes.
 *
 * A lock is taken when a session opens or ends; bytes are taken in large pieces, without a lock. So a
 * datagram's path takes no lock. Any thread may call these functions.
 */
#ifndef RULES_SHARED_H
#define RULES_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shared;

struct shared *shared_new(void);
void shared_free(struct shared *shared);

/* Counts one more session if there are fewer than `max`; else returns false. */
bool shared_enter(struct shared *shared, uint64_t max);
void shared_leave(struct shared *shared);
uint64_t shared_sessions(const struct shared *shared);
/* Allocates the number of the next session, counted from 1. */
uint32_t shared_number(struct shared *shared);
/* Returns the number of a session that could not be opened; it is reused unless another worker has allocated
 * one since. */
void shared_number_return(struct shared *shared, uint32_t number);
/* Returns the latest number allocated. */
uint32_t shared_numbers(const struct shared *shared);

/* Makes room to remember one more session; returns false if out of memory. Call it before
 * shared_opened and shared_identity_take. */
bool shared_remembers(struct shared *shared, size_t remembered);
/* Returns how many sessions were opened before under this key (an address or identity at a listener), and
 * counts one more. At least `remembered` keys are kept; beyond that, all keys without a live session are
 * forgotten. */
uint32_t shared_opened(struct shared *shared, uint64_t key, size_t remembered);
/* Claims an identity for a session; returns false if another session has it. Sessions of one `owner` share
 * it; 0 shares with none. */
bool shared_identity_take(struct shared *shared, uint64_t key, uint32_t owner, size_t remembered);
/* Undoes one shared_opened or shared_identity_take when the session ends. */
void shared_release(struct shared *shared, uint64_t key);

/* Takes `bytes` from a total of `max`, or more if plenty are left. Returns how many were taken; 0 if not
 * enough are left. */
uint64_t shared_bytes_take(struct shared *shared, uint64_t bytes, uint64_t max);
void shared_bytes_give(struct shared *shared, uint64_t bytes);
/* Returns the size of the pieces taken while plenty are left: a small part of `max`, however many workers. */
uint64_t shared_piece(uint64_t max);
#define CORE_GROUP_MAX 64 /* maximum number of cores that share it */

#endif
