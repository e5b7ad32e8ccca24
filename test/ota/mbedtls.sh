#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds Mbed TLS with connection IDs (RFC 9146, in the draft numbering of 2.28) from Debian's source package of the
# installed version's release: the library as packaged is built without them.
#
#     sh test/ota/mbedtls.sh FOLDER      gives FOLDER/include and FOLDER/libmbedtls.a
set -eu
folder=$1
[ -f "$folder/libmbedtls.a" ] && exit 0
mkdir -p "$folder/apt/lists/partial" "$folder/apt/sources"
folder=$(cd "$folder" && pwd)

# The machine's own package sources, asked for sources: its configuration stays as it is.
for list in /etc/apt/sources.list.d/*.sources; do
	[ -f "$list" ] && sed -n 's/^Types:.*/Types: deb-src/p; /^Types:/!p' "$list" >"$folder/apt/sources/$(basename "$list")"
done
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
	[ -f "$list" ] && sed -n 's/^deb /deb-src /p' "$list" >"$folder/apt/sources/$(basename "$list" .list).list"
done
apt() {
	apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$folder/apt/sources" \
	    -o Dir::State::Lists="$folder/apt/lists" -o Dir::Cache="$folder/apt/cache" -o APT::Sandbox::User=root "$@"
}
echo "  fetching the source of Mbed TLS"
cd "$folder"
# A repository without sources is none of our business, as long as Debian's has them.
{ apt update || true; apt source --download-only mbedtls; } >apt/log 2>&1 || { tail -n 20 apt/log >&2; exit 1; }
mkdir -p source
tar -xzf mbedtls_*.orig.tar.gz -C source --strip-components=1

echo "  building Mbed TLS with connection IDs"
ls source/library/*.c | xargs -P "$(nproc)" -n 8 sh -c '
	for file; do
		gcc -O2 -Isource/include -Isource/library -DMBEDTLS_SSL_DTLS_CONNECTION_ID -c "$file" -o "${file%.c}.o" || exit 255
	done' sh
rm -rf include apt/lists
cp -r source/include include
ar rcs partial.a source/library/*.o
mv partial.a libmbedtls.a
rm -rf source mbedtls_*
