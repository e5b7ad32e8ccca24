/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * again: a fuzzer's corpus tried once, without libFuzzer: `again FOLDER` in TAP. What was mended stays so.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST (1 << 20)

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	int count = argc == 2 ? scandir(argv[1], &entries, visible, alphasort) : -1;

	if (count < 1) {
		fprintf(stderr, "usage: again FOLDER, with one file at least\n");
		return 2;
	}
	printf("1..%d\n", count);
	for (int i = 0; i < count; i++) {
		char path[4096];
		FILE *in;
		uint8_t *whole = malloc(MOST), *data;
		size_t size;

		snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
		in = fopen(path, "rb");
		if (!in || !whole) {
			perror(path);
			return 2;
		}
		size = fread(whole, 1, MOST, in);
		data = malloc(size ? size : 1); /* exactly so many: a step past the end is seen */
		if (!data)
			return 2;
		memcpy(data, whole, size);
		LLVMFuzzerTestOneInput(data, size);
		printf("ok %d - %s\n", i + 1, entries[i]->d_name);
		fflush(stdout);
		fclose(in);
		free(whole);
		free(data);
		free(entries[i]);
	}
	free(entries);
	return 0;
}
