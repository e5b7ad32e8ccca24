# SPDX-License-Identifier: BSD-2-Clause
# Lines and branches by folder, of the CSV file that gcovr writes: `make cover`.
BEGIN { FS = ","; count = split("base rules capture report proxy all", folders, " ") }
NR > 1 {
	split($1, path, "/")
	for (i = 0; i < 2; i++) {
		folder = i ? "all" : path[1]
		lines[folder] += $2; lines_run[folder] += $3
		branches[folder] += $5; branches_taken[folder] += $6
	}
}
function share(part, whole) { return sprintf("%5.1f %% of %6d", whole ? 100 * part / whole : 0, whole) }
END {
	if (!lines["all"]) { print "gcovr counted nothing"; exit 1 }
	for (i = 1; i <= count; i++)
		printf "%-8s lines %s   branches %s\n", folders[i], share(lines_run[folders[i]], lines[folders[i]]),
		    share(branches_taken[folders[i]], branches[folders[i]])
}
