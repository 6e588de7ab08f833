/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ednfile_map.h"
#include "huge.h"
#include "mapped.h"
#include "pread_all.h"
#include "write_all.h"

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- large ones: their bytes begin a huge page, so that a file can be mapped in their place ---- */

static char *mapping_of(const struct ednblock *block)
{
	return (char *)block - (uintptr_t)block % page_bytes();
}

/* They are touched page by page while they are read: huge pages spare most of the faults. */
static struct ednblock *map_large(size_t size)
{
	char *from = huge_map(HUGE_BYTES + size, HUGE_BYTES);
	struct ednblock *block;
	char *bytes, *begin;

	if (!from)
		return NULL;
	bytes = from + HUGE_BYTES;
	block = ednblock_of(bytes);
	begin = mapping_of(block);
	munmap(from, (size_t)(begin - from));
	huge_advise(bytes, size);
	block->mapped_bytes = (size_t)(bytes - begin) + size;
	return block;
}

static void release(struct ednblock *block)
{
	if (block->place == EDNBLOCK_AWAY)
		close(block->fd);
	if (block->mapped_bytes)
		munmap(mapping_of(block), block->mapped_bytes);
	else
		free(block);
}

void ednblock_put_away(struct ednblock *block, int dir_fd)
{
	void *at = MAP_FAILED;
	int fd;

	if (!ednblock_is_to_go(block))
		return;
	block->place = EDNBLOCK_STAYS;
	fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	/* first the room for it: what is mapped can't say that there is none */
	if (fallocate(fd, 0, 0, (off_t)block->size) == 0 &&
		write_all(fd, block->bytes, block->size) == 0)
		at = mmap(block->bytes, block->size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	if (at == MAP_FAILED) {
		close(fd);
		return;
	}
	block->fd = fd;
	block->place = EDNBLOCK_AWAY;
}

ssize_t ednblock_read(const struct ednblock *block, const char *from, char *to, size_t len)
{
	return pread_all(block->fd, to, len, (uint64_t)(from - block->bytes));
}

bool ednblock_unmap_step(struct ednblock *block, size_t *at)
{
	return block && block->place == EDNBLOCK_AWAY &&
	       mapped_unmap_step(block->bytes, block->size, at);
}

/* ---- all of them ---- */

struct ednblock *ednblock_new(struct ednpool *pool, size_t size)
{
	struct ednblock *block;

	if (size > SIZE_MAX / 2)
		return NULL;
	block = size < HUGE_BYTES ? malloc(sizeof(*block) + size) : map_large(size);
	if (!block)
		return NULL;
	if (size < HUGE_BYTES)
		block->mapped_bytes = 0;
	block->next = NULL;
	block->size = size;
	block->place = EDNBLOCK_HERE;
	pool->owned_bytes += sizeof(*block) + size;
	return block;
}

struct ednblock *ednblock_copy(struct ednpool *pool, struct slice text)
{
	struct ednblock *block = ednblock_new(pool, text.len);

	if (block && text.len)
		memcpy(block->bytes, text.ptr, text.len);
	return block;
}

void ednblock_drop(struct ednpool *pool, struct ednblock *block)
{
	if (!block)
		return;
	pool->owned_bytes -= sizeof(*block) + block->size;
	if (!pool->held) {
		release(block);
		return;
	}
	block->next = pool->dead;
	pool->dead = block;
}

void ednpool_unhold(struct ednpool *pool)
{
	struct ednblock *next;

	pool->held = false;
	for (; pool->dead; pool->dead = next) {
		next = pool->dead->next;
		release(pool->dead);
	}
}
