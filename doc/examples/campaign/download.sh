#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test: downloads the firmware over DTLS through the proxy, within so many seconds, and compares it.
set -eu
coap-client-openssl -B "$1" -k 0123456789abcdef -u device -o "$DEADZONE_DIR/got" "coaps://$DEADZONE_ADDRESS/firmware"
cmp "$DEADZONE_DIR/got" "$DEADZONE_DIR/firmware"
