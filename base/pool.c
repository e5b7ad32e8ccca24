/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/poison.h"

/* Size classes, for a datagram's header and bytes together: steps of FINE bytes up to FINE_MAX, of COARSE
 * bytes up to COARSE_MAX, then six doublings. */
#define FINE 8u
#define FINE_MAX 512u
#define FINE_CLASSES (FINE_MAX / FINE)
#define COARSE 16u
#define COARSE_MAX 2048u
#define STEP_CLASSES (FINE_CLASSES + (COARSE_MAX - FINE_MAX) / COARSE)
#define CLASSES (STEP_CLASSES + 6u)
#define SLAB ((size_t)65536)

struct slab {
	struct slab *next;
	size_t used, cap;
};

struct pool {
	struct datagram *free[CLASSES];
	struct slab *slabs;
	size_t taken;
};

struct pool *pool_new(void)
{
	return memory_new(1, sizeof(struct pool));
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	while (pool->slabs) {
		struct slab *slab = pool->slabs;

		pool->slabs = slab->next;
		free(slab);
	}
	free(pool);
}

/* Returns the class for `whole` bytes (header and payload). */
static unsigned class_of(size_t whole)
{
	unsigned class = STEP_CLASSES;

	if (whole <= FINE_MAX)
		return (unsigned)((whole + FINE - 1) / FINE) - 1;
	if (whole <= COARSE_MAX)
		return FINE_CLASSES + (unsigned)((whole - FINE_MAX + COARSE - 1) / COARSE) - 1;
	while (whole > (size_t)COARSE_MAX * 2 << (class - STEP_CLASSES))
		class ++;
	return class;
}

static size_t class_size(unsigned class)
{
	if (class < FINE_CLASSES)
		return FINE * (class + 1);
	if (class < STEP_CLASSES)
		return FINE_MAX + COARSE * (class - FINE_CLASSES + 1);
	return (size_t)COARSE_MAX * 2 << (class - STEP_CLASSES);
}

/* Cuts `size` bytes from the newest slab, or from a new one. Returns NULL if memory runs out. */
static void *carve_datagram(struct pool *pool, size_t size)
{
	struct slab *slab = pool->slabs;

	if (!slab || slab->cap - slab->used < size) {
		size_t cap = size > SLAB / 4 ? size : SLAB;

		slab = malloc(sizeof(*slab) + cap);
		if (!slab)
			return NULL;
		*slab = (struct slab){.next = pool->slabs, .cap = cap};
		pool->slabs = slab;
	}
	slab->used += size;
	return (char *)(slab + 1) + slab->used - size;
}

struct datagram *pool_get(struct pool *pool, size_t size)
{
	unsigned class = class_of(sizeof(struct datagram) + size);
	struct datagram *datagram = pool->free[class];

	assert(class < CLASSES);
	if (datagram) {
		unpoison(datagram, class_size(class));
		pool->free[class] = datagram->next;
	} else {
		datagram = carve_datagram(pool, class_size(class));
	}
	if (!datagram)
		return NULL;
	memset(datagram, 0, sizeof(*datagram));
	datagram->size = (uint32_t)size;
	datagram->size_class = (uint8_t) class;
	pool->taken++;
	return datagram;
}

void pool_put(struct pool *pool, struct datagram *datagram)
{
	datagram->next = pool->free[datagram->size_class];
	pool->free[datagram->size_class] = datagram;
	pool->taken--;
	poison(datagram, class_size(datagram->size_class));
}

size_t pool_weight(size_t size)
{
	return class_size(class_of(sizeof(struct datagram) + size));
}

size_t datagram_weight(const struct datagram *datagram)
{
	return class_size(datagram->size_class);
}

size_t pool_taken(const struct pool *pool)
{
	return pool->taken;
}
