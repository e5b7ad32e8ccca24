# SPDX-License-Identifier: BSD-2-Clause
# The calls that test/fuzz/file.c answers, for both Makefiles.
FUZZ_WRAPPED := open open64 close fstat fstat64 lseek lseek64 read pread pread64
