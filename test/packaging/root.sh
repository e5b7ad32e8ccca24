# SPDX-License-Identifier: BSD-2-Clause
# Sourced: fresh roots of Debian in $work, made by debootstrap and kept as archives. Needs root, and a network for packages.

root=$work/root-$(basename "$0" .sh)

root_of() { # SUITE: makes a fresh root from one that is made once
	[ -f "$work/$1.tar" ] || {
		rm -rf "$work/new"
		debootstrap --variant=minbase "$1" "$work/new" >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log"; return 1; }
		tar -C "$work/new" -cf "$work/$1.tar" . && rm -rf "$work/new"
	}
	rm -rf "$root" && mkdir "$root" && tar -C "$root" -xf "$work/$1.tar"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	for file in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/*ca*; do
		[ ! -f "$file" ] || cp "$file" "$root/etc/apt/apt.conf.d/"
	done
}

inside() { # SCRIPT: runs it in the root with a /proc of its own; what it leaves running ends with it
	unshare --mount --pid --fork --kill-child sh -c "mount -t proc proc '$root/proc' && mount --rbind /dev '$root/dev' &&
		exec chroot '$root' env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive sh -euc '$1'" 2>&1
}

quiet() { # prints the output of a command only if it fails
	said=$("$@") || echo "$said" | tail -n 20
}
