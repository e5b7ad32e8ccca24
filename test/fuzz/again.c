/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * again: runs a fuzzer once on each file of its corpus, without libFuzzer: `again FOLDER` prints TAP. So what
 * was fixed stays fixed.
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
		fprintf(stderr, "usage: again FOLDER, with at least one file\n");
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
		data = malloc(size ? size : 1); /* the exact size: a read past the end is caught */
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
