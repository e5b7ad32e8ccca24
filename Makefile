# SPDX-License-Identifier: BSD-2-Clause
# deadzone: `make help` lists the targets.
#
# `make` and `make install` build and copy; they install no packages and need neither root nor a network. They
# respect CC, CPPFLAGS, CFLAGS, LDFLAGS, PREFIX and DESTDIR. `make bootstrap` installs what building and testing
# need (Debian); check, demo and the like do so for themselves.

PREFIX ?= /usr/local
DESTDIR ?=
BUILD := build
VERSION := $(shell cat VERSION)
CFLAGS ?= -O2 -g
STRICT ?= # 1: a warning is an error, as it always is in what the tests build
RELEASE ?= # 1: link-time optimization, which takes three times as long to build

BUILD_PACKAGES := gcc make libc6-dev libevent-dev libpcap-dev libinih-dev libjansson-dev zlib1g-dev libzstd-dev \
    libjs-dygraphs libnftables-dev libmnl-dev libseccomp-dev
DEMO_PACKAGES := $(BUILD_PACKAGES) libcoap3-bin python3 openssl
CHECK_PACKAGES := $(DEMO_PACKAGES) libcmocka-dev tshark tcpdump gnutls-bin mandoc valgrind iproute2 binutils \
    python3-pytest python3-yaml prometheus libfaketime nftables dnsmasq-base hostapd \
    strace systemd
BROWSER_PACKAGES := $(BUILD_PACKAGES) chromium libcoap3-bin python3 tshark
STORY_PACKAGES := $(BUILD_PACKAGES) binutils tshark python3
PICTURE_PACKAGES := wireshark xvfb imagemagick
FUZZ_PACKAGES := $(BUILD_PACKAGES) clang libclang-rt-14-dev
LINT_PACKAGES := $(BUILD_PACKAGES) clang-format clang-tidy
CLUSTER_PACKAGES := $(BUILD_PACKAGES) python3 parallel slurm-wlm munge
DEB_PACKAGES := $(BUILD_PACKAGES) debhelper dpkg-dev fakeroot lintian debootstrap systemd-container procps
COVER_PACKAGES := $(CHECK_PACKAGES) gcovr

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wvla -Wmissing-prototypes
DEFINES := -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DPROFILE_DIR='"$(PREFIX)/share/deadzone/profiles"' \
    -DDEADZONE_VERSION='"$(VERSION)"'
IS_GCC := $(findstring Free Software Foundation,$(shell $(CC) --version 2>/dev/null))
OPTIMIZE := $(if $(and $(IS_GCC),$(RELEASE)),-flto=auto -ffat-lto-objects)
# gcc would set and copy small structs by `rep stos` and `rep movs`, which take long to begin.
ifneq ($(and $(IS_GCC),$(findstring x86_64,$(shell $(CC) -dumpmachine))),)
OPTIMIZE += -mmemset-strategy=vector_loop:256:noalign,libcall:-1:noalign
OPTIMIZE += -mmemcpy-strategy=vector_loop:256:noalign,libcall:-1:noalign
endif
# Those that the compiler knows are used; probed once (build/probed.mk).
HARDENING_TRIED := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE -D_FORTIFY_SOURCE=3
LINK_HARDENING := -pie -Wl,-z,relro,-z,now
LIBRARIES = -levent_core -levent_extra -levent_pthreads -lpcap -linih -ljansson -lz -lzstd -lpthread -lm $(OPTIONAL_LIBRARIES)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1

C11 := -std=gnu11 $(WARNINGS) -MMD -MP
COMPILE = $(CC) $(DEFINES) $(CPPFLAGS) -U_FORTIFY_SOURCE $(C11) $(if $(STRICT),-Werror) $(OPTIMIZE) $(HARDENING) $(CFLAGS)
LINK = $(CC) $(OPTIMIZE) $(HARDENING) $(LINK_HARDENING) $(CFLAGS) $(LDFLAGS)
COMPILE_TEST = $(CC) $(DEFINES) $(CPPFLAGS) $(C11) -Werror -g $(SANITIZE)
LINK_TEST = $(CC) -g $(SANITIZE) $(LDFLAGS)

FOLDERS := base rules capture report campaign proxy/run proxy/relay proxy/gateway proxy/sandbox proxy/control proxy/campaign proxy/cli
SOURCES := $(wildcard $(FOLDERS:%=%/*.c))
PARTS := $(filter-out proxy/cli/main.c,$(SOURCES))
FORMATTED := $(wildcard $(FOLDERS:%=%/*.[ch]) test/*/*.[ch] doc/*.c)
PROFILES := $(wildcard rules/profiles/*.ini)
UNIT := $(patsubst test/unit/%.c,$(BUILD)/asan/test/%,$(wildcard test/unit/test_*.c))
FUZZ := $(patsubst test/fuzz/%.c,$(BUILD)/asan/test/%,$(wildcard test/fuzz/fuzz_*.c))

.PHONY: all release reference check check-fast check-browser check-deb check-container check-compilers cover pictures demo story bench
.PHONY: fuzz fuzz-fast fuzz-long soak oom layers lint format deb deb-native emulated campaign story-campaign campaign-proof check-cluster
.PHONY: clean install install-wireshark uninstall uninstall-wireshark help bootstrap binaries test-binaries ota FORCE
.PHONY: deps-demo deps-check deps-browser deps-pictures deps-story deps-fuzz deps-lint deps-cover deps-cluster deps-deb deps-container
.DELETE_ON_ERROR:

all: ## build build/deadzone and its manual pages
	@$(MAKE) --no-print-directory -j2 binaries

release: ## the same with link-time optimization
	@$(MAKE) --no-print-directory RELEASE=1 all

bootstrap: ## install the Debian packages that building and testing need
	@sh test/deps.sh $(CHECK_PACKAGES)

check: deps-check ## install what is missing, build, run all tests
	@$(MAKE) --no-print-directory -j2 binaries test-binaries ota
	@python3 test/run.py

check-fast: deps-check ## the unit and replay tests, the layers and the pages: under a minute
	@$(MAKE) --no-print-directory -j2 binaries test-binaries
	@python3 test/run.py unit replay fuzz layers docs

check-browser: deps-browser ## the live page and the report's in headless Chromium
	@$(MAKE) --no-print-directory -j2 $(BUILD)/deadzone
	@mkdir -p $(BUILD)/browser
	@[ -d $(BUILD)/browser/node_modules/playwright-core ] || \
	    (cd $(BUILD)/browser && npm install --no-save --no-audit --no-fund --silent playwright-core@1.56)
	@python3 test/run.py --browser

# The relay and the capture count in threads: without atomic counters gcov derives negative ones, which gcovr refuses.
cover: deps-cover ## lines and branches that the tests reach, by folder, of a copy in build/cover
	@rm -rf $(BUILD)/cover && mkdir -p $(BUILD)/cover
	@git ls-files -z | xargs -0 cp --parents -t $(BUILD)/cover
	@cd $(BUILD)/cover && $(MAKE) --no-print-directory -j2 SANITIZE="--coverage -fprofile-update=atomic -O0 -DWITHOUT_SANDBOX" \
	    binaries test-binaries ota
	@cd $(BUILD)/cover && python3 test/run.py unit fuzz replay e2e -kills -memory || true
	@cd $(BUILD)/cover && gcovr -r . -f '(base|rules|capture|report|proxy)/' --gcov-ignore-parse-errors \
	    --txt cover.txt --csv cover.csv build/asan
	@awk -f test/cover.awk $(BUILD)/cover/cover.csv
	@echo "by file: $(BUILD)/cover/cover.txt"

pictures: deps-browser deps-pictures ## pictures of Wireshark and of both pages at three widths and in both themes, in build/pictures
	@$(MAKE) --no-print-directory -j2 $(BUILD)/deadzone
	@[ -d $(BUILD)/browser/node_modules/playwright-core ] || $(MAKE) --no-print-directory check-browser
	@python3 test/pictures.py

demo: deps-demo ## install what is missing, build, and run the main job end to end
	@$(MAKE) --no-print-directory -j2 $(BUILD)/deadzone
	@python3 test/demo.py

story: deps-story ## a failed flash reproduced: thirteen cases of an emulated OTA update (ARGS=--full-speed)
	@$(MAKE) --no-print-directory -j2 $(BUILD)/deadzone ota
	@python3 test/ota/story.py $(ARGS)

story-campaign: deps-story ## the story as a campaign: two sizes, four devices, four seeds, and the page
	@$(MAKE) --no-print-directory -j2 $(BUILD)/deadzone ota
	@python3 test/ota/campaign.py $(ARGS)

ota:
	@$(MAKE) --no-print-directory -f test/ota/Makefile

bench: ## what it costs and how it keeps time, beside the leanest forwarder (ROWS="clean rules": only these)
	@$(MAKE) --no-print-directory -j2 RELEASE=1 binaries $(BUILD)/bench_core $(BUILD)/bench/load $(BUILD)/bench/forward
	@python3 test/bench/bench.py $(ROWS)
	@[ -n "$(ROWS)" ] || python3 test/bench/api.py

soak: deps-check ## ten minutes with everything on, behind a gateway (root): memory must stay flat, accounts balance (MINUTES=10)
	@$(MAKE) --no-print-directory -j2 RELEASE=1 binaries $(BUILD)/bench/load
	@python3 test/bench/soak.py $(MINUTES)

campaign: deps-demo ## the example campaigns, with real peers: networks, an outage, a lost handshake message
	@$(MAKE) --no-print-directory -j2 $(BUILD)/deadzone
	@for name in matrix outage handshake; do \
	    echo "$(BUILD)/deadzone campaign -c doc/examples/campaign/$$name.ini -o $(BUILD)/campaign/$$name"; \
	    rm -rf $(BUILD)/campaign/$$name; \
	    $(BUILD)/deadzone campaign -c doc/examples/campaign/$$name.ini -o $(BUILD)/campaign/$$name || exit 1; \
	    echo "the page: $(BUILD)/campaign/$$name/report.html"; done

check-cluster: deps-cluster ## a campaign by one process, GNU parallel and Slurm with a node that dies; and killed 50 times
	@$(MAKE) --no-print-directory -j2 $(BUILD)/deadzone
	@python3 test/campaign/cluster.py
	@KILLS=50 DEADZONE_BINARY=$(BUILD)/deadzone python3 test/e2e/campaign.py killed

campaign-proof: ## what campaigns promise, on thousands of simulated devices: takes minutes
	@$(MAKE) --no-print-directory -j2 $(BUILD)/proof_campaign
	@$(BUILD)/proof_campaign

oom: deps-check ## every allocation fails once, in every command (make check: every 7th)
	@$(MAKE) --no-print-directory -j2 $(BUILD)/oom/deadzone
	@python3 test/oom/run.py --all

T ?= 60
RUNS ?=
fuzz: deps-fuzz ## run every fuzzer for T seconds (T=60), or for RUNS executions
	@$(MAKE) --no-print-directory -f test/fuzz/Makefile T=$(T) RUNS=$(RUNS)

fuzz-fast: deps-fuzz ## the same without sanitizers: some ten times as many executions
	@$(MAKE) --no-print-directory -f test/fuzz/Makefile T=$(T) RUNS=$(RUNS) FAST=1

fuzz-long: deps-fuzz ## every fuzzer, with sanitizers and without, on two cores: 10^8 executions, about half an hour
	@$(MAKE) --no-print-directory -f test/fuzz/Makefile long JOBS=2

reference: all ## the reference as files: build/reference/{cli,ini,api}.md
	@mkdir -p $(BUILD)/reference
	@mandoc -T markdown $(BUILD)/deadzone.1 > $(BUILD)/reference/cli.md
	@mandoc -T markdown $(BUILD)/deadzone.ini.5 > $(BUILD)/reference/ini.md
	@$(BUILD)/deadzone help api > $(BUILD)/reference/api.md

layers: $(BUILD)/libdeadzone.a ## prove which folder may use what
	@sh test/layers.sh $(BUILD)

lint: deps-lint ## check the format (.clang-format) and what clang-tidy finds (.clang-tidy)
	@clang-format --dry-run -Werror $(FORMATTED)
	@mkdir -p $(BUILD)/lint
	@printf '%s\n' -std=gnu11 -I$(CURDIR) $(DEFINES) > $(BUILD)/lint/compile_flags.txt
	@printf '%s\n' $(SOURCES) | xargs -P 2 -n 4 clang-tidy -p $(BUILD)/lint --quiet --warnings-as-errors='*' 2>/dev/null

format: deps-lint ## put the sources into the house's format
	@clang-format -i $(FORMATTED)

# ---- Building ----

# What the compiler knows, and whether the libraries are there.
-include $(BUILD)/probed.mk
$(BUILD)/probed.mk: Makefile
	@mkdir -p $(@D)
	@printf '#include <%s>\n' event2/event.h pcap/pcap.h ini.h jansson.h zlib.h zstd.h | \
	    $(CC) $(CPPFLAGS) -E -x c - -o /dev/null || { echo "These libraries are missing: \`make bootstrap' installs them (Debian)." >&2; exit 1; }
	@printf '#include <libmnl/libmnl.h>\nint main(void) { return 0; }\n' | $(CC) $(CPPFLAGS) -x c - -lmnl -o /dev/null 2>/dev/null && \
	    echo 'OPTIONAL_LIBRARIES += -lmnl' > $@ || : > $@
	@printf '#include <seccomp.h>\nint main(void) { return 0; }\n' | $(CC) $(CPPFLAGS) -x c - -lseccomp -o /dev/null 2>/dev/null && \
	    echo 'OPTIONAL_LIBRARIES += -lseccomp' >> $@ || :
	@printf 'HARDENING :=' >> $@
	@for flag in $(HARDENING_TRIED); do \
	    echo '#include <stdio.h>' | $(CC) -O2 -Werror -U_FORTIFY_SOURCE $$flag -x c -c - -o /dev/null 2>/dev/null && \
	        printf ' %s' "$$flag" >> $@; done; echo >> $@

# Changes when the words of the compiler do: what they made is made anew.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(COMPILE) $(LINK))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(COMPILE) $(LINK))' > $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(COMPILE) -c $< -o $@

$(BUILD)/asan/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $< (sanitized)"
	@$(COMPILE_TEST) -c $< -o $@

# A page is one file: what it includes stands in it.
DYGRAPHS := /usr/share/javascript/dygraphs
$(BUILD)/%.html: proxy/web/%.html proxy/web/common.css proxy/web/common.js proxy/web/inline.sh
	@mkdir -p $(@D)
	@DYGRAPHS=$(DYGRAPHS) sh proxy/web/inline.sh $< > $@

$(BUILD)/obj/proxy/web/frame.o: proxy/web/frame.S $(BUILD)/page.html $(BUILD)/live.html $(BUILD)/campaign.html
	@mkdir -p $(@D)
	@echo "  AS $<"
	@$(CC) -DPAGE='"$(BUILD)/page.html"' -DLIVE='"$(BUILD)/live.html"' \
	    -DCAMPAIGN='"$(BUILD)/campaign.html"' -c $< -o $@

$(BUILD)/libdeadzone.a: $(PARTS:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/proxy/web/frame.o
	@rm -f $@
	@echo "  AR $@"
	@$(AR) rcs $@ $^

$(BUILD)/asan/libdeadzone.a: $(PARTS:%.c=$(BUILD)/asan/obj/%.o) $(BUILD)/obj/proxy/web/frame.o
	@rm -f $@
	@echo "  AR $@"
	@$(AR) rcs $@ $^

$(BUILD)/deadzone: $(BUILD)/obj/proxy/cli/main.o $(BUILD)/libdeadzone.a
	@echo "  LD $@"
	@$(LINK) -o $@ $^ $(LIBRARIES)

$(BUILD)/asan/deadzone: $(BUILD)/asan/obj/proxy/cli/main.o $(BUILD)/asan/libdeadzone.a
	@echo "  LD $@"
	@$(LINK_TEST) -o $@ $^ $(LIBRARIES)

$(BUILD)/asan/test/%: $(BUILD)/asan/obj/test/unit/%.o $(BUILD)/asan/libdeadzone.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(LINK_TEST) -o $@ $^ $(LIBRARIES) -lcmocka

# The corpus alone: `make fuzz` looks for more.
include test/fuzz/wrapped.mk
$(BUILD)/asan/test/fuzz_%: $(BUILD)/asan/obj/test/fuzz/fuzz_%.o $(BUILD)/asan/obj/test/fuzz/again.o \
    $(BUILD)/asan/obj/test/fuzz/file.o $(BUILD)/asan/libdeadzone.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(LINK_TEST) $(FUZZ_WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(LIBRARIES)

$(BUILD)/asan/test/replay: $(BUILD)/asan/obj/test/replay/replay.o $(BUILD)/asan/libdeadzone.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(LINK_TEST) -o $@ $^ $(LIBRARIES)

# Loaded into the program by test/e2e/sandbox.py.
$(BUILD)/bite.so: test/e2e/bite.c
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -Werror -O1 -fPIC -shared -o $@ $< -ldl -lpthread

# The program in which allocations fail (test/oom).
WRAPPED := malloc calloc realloc aligned_alloc strdup strndup fopencookie realpath
$(BUILD)/oom/deadzone: $(BUILD)/asan/obj/proxy/cli/main.o $(BUILD)/asan/obj/test/oom/fail.o $(BUILD)/asan/libdeadzone.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(LINK_TEST) $(WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(LIBRARIES)

# Runs while building: in a cross build under an emulator.
MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
EMULATOR ?= $(if $(filter-out $(shell uname -m),$(MACHINE)),qemu-$(MACHINE)-static)
FILL = $(EMULATOR) $(BUILD)/fill
$(BUILD)/fill: $(BUILD)/obj/doc/fill.o $(BUILD)/libdeadzone.a
	@echo "  LD $@"
	@$(LINK) -o $@ $^ $(LIBRARIES)

$(BUILD)/deadzone.1: $(BUILD)/fill doc/deadzone.1.in
	@$(FILL) doc/deadzone.1.in > $@

$(BUILD)/deadzone.ini.5: $(BUILD)/fill doc/deadzone.ini.5.in
	@$(FILL) doc/deadzone.ini.5.in > $@

$(BUILD)/deadzone.bash: $(BUILD)/fill packaging/deadzone.bash.in
	@$(FILL) packaging/deadzone.bash.in > $@

$(BUILD)/bench_core: $(BUILD)/obj/test/bench/bench_core.o $(BUILD)/libdeadzone.a
	@echo "  LD $@"
	@$(LINK) -o $@ $^ $(LIBRARIES)

$(BUILD)/proof_campaign: $(BUILD)/obj/test/bench/proof_campaign.o $(BUILD)/libdeadzone.a
	@echo "  LD $@"
	@$(LINK) -o $@ $^ $(LIBRARIES)

# By themselves: what measures is not what is measured.
$(BUILD)/bench/%: test/bench/%.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(COMPILE) -o $@ $< $(LDFLAGS)

.PRECIOUS: $(BUILD)/asan/obj/%.o $(BUILD)/obj/%.o
binaries: $(BUILD)/deadzone $(BUILD)/deadzone.1 $(BUILD)/deadzone.ini.5 $(BUILD)/deadzone.bash
test-binaries: $(BUILD)/oom/deadzone $(BUILD)/deadzone $(BUILD)/asan/deadzone $(BUILD)/asan/test/replay $(BUILD)/bite.so $(UNIT) $(FUZZ)

emulated: $(BUILD)/deadzone $(BUILD)/asan/test/replay $(UNIT)

-include $(shell find $(BUILD)/obj $(BUILD)/asan/obj -name '*.d' -type f 2>/dev/null)

# ---- Installing ----

# As it was built last: a release stays one.
BUILT_AS = $(if $(findstring -flto,$(shell cat $(BUILD)/flags 2>/dev/null)),RELEASE=1)
install: ## install into PREFIX (/usr/local), below DESTDIR
	@$(MAKE) --no-print-directory $(BUILT_AS) all
	install -D -m 755 $(BUILD)/deadzone $(DESTDIR)$(PREFIX)/bin/deadzone
	install -D -m 644 $(BUILD)/deadzone.1 $(DESTDIR)$(PREFIX)/share/man/man1/deadzone.1
	install -D -m 644 $(BUILD)/deadzone.ini.5 $(DESTDIR)$(PREFIX)/share/man/man5/deadzone.ini.5
	install -d $(DESTDIR)$(PREFIX)/share/deadzone/profiles
	install -m 644 $(PROFILES) $(DESTDIR)$(PREFIX)/share/deadzone/profiles
	install -D -m 644 $(BUILD)/deadzone.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/deadzone
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@bin@|$(PREFIX)/bin|' packaging/deadzone@.service.in > $(DESTDIR)$(PREFIX)/lib/systemd/system/deadzone@.service
	install -D -m 644 packaging/deadzone.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/deadzone.conf
	install -d $(DESTDIR)$(PREFIX)/share/doc/deadzone/examples
	install -m 644 packaging/lab.ini packaging/deadzone-gateway.conf $(DESTDIR)$(PREFIX)/share/doc/deadzone/examples

# The installed program if there is one, else the one that was built.
INSTALLED = $(or $(wildcard $(PREFIX)/bin/deadzone),$(CURDIR)/$(BUILD)/deadzone)
install-wireshark: ## put the extcap, the Lua script and the profile into this user's Wireshark
	@$(MAKE) --no-print-directory $(BUILT_AS) all
	@DESTDIR=$(DESTDIR) sh wireshark/install.sh $(INSTALLED)

uninstall: ## take away what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/deadzone $(DESTDIR)$(PREFIX)/share/man/man1/deadzone.1 \
	    $(DESTDIR)$(PREFIX)/share/man/man5/deadzone.ini.5 $(DESTDIR)$(PREFIX)/share/bash-completion/completions/deadzone \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system/deadzone@.service $(DESTDIR)$(PREFIX)/lib/sysusers.d/deadzone.conf \
	    $(PROFILES:rules/%=$(DESTDIR)$(PREFIX)/share/deadzone/%) \
	    $(DESTDIR)$(PREFIX)/share/doc/deadzone/examples/lab.ini \
	    $(DESTDIR)$(PREFIX)/share/doc/deadzone/examples/deadzone-gateway.conf
	-@rmdir $(DESTDIR)$(PREFIX)/share/deadzone/profiles $(DESTDIR)$(PREFIX)/share/deadzone \
	    $(DESTDIR)$(PREFIX)/share/doc/deadzone/examples $(DESTDIR)$(PREFIX)/share/doc/deadzone 2>/dev/null || :

uninstall-wireshark: ## take away what install-wireshark put there
	@DESTDIR=$(DESTDIR) sh wireshark/install.sh --uninstall

# Built from a copy of what is tracked. The same sources give the same bytes, whenever and wherever.
ARCH ?= $(shell dpkg --print-architecture)
DEB_SOURCE := $(BUILD)/deb/deadzone-$(VERSION)
deb: deps-deb ## the Debian package, in build/deb (ARCH=arm64: for a Raspberry Pi, with its tests under qemu; as root)
	@[ "$$(dpkg-parsechangelog -S Version)" = "$(VERSION)" ] || { echo "debian/changelog does not begin with $(VERSION)" >&2; exit 1; }
	@if [ $(ARCH) = $(shell dpkg --print-architecture) ]; then $(MAKE) --no-print-directory deb-native; \
	    else sh test/packaging/cross.sh $(BUILD) $(VERSION) $(ARCH); fi
	@ls $(BUILD)/deb/*_$(VERSION)_$(ARCH).deb

deb-native:
	@rm -rf $(DEB_SOURCE) && mkdir -p $(DEB_SOURCE)
	@git ls-files -z | xargs -0 cp --parents -t $(DEB_SOURCE)
	@cd $(DEB_SOURCE) && dpkg-buildpackage -b -us -uc > ../build-$(ARCH).log 2>&1 || { tail -n 30 ../build-$(ARCH).log; exit 1; }
	@rm -rf $(DEB_SOURCE)

check-deb: deb ## lintian, reproducible, installed and removed in Debian 12 and 13, and its service under systemd (as root)
	@sh test/packaging/check.sh $(BUILD) $(VERSION)
	@sh test/packaging/service.sh $(BUILD) $(VERSION)

check-compilers: deps-deb ## no warning of gcc and clang on Debian 12 and 13 (as root)
	@sh test/packaging/compilers.sh $(BUILD)

check-container: deps-container ## build the Containerfile on a base made by debootstrap, and run it
	@sh test/packaging/container.sh $(BUILD)

clean: ## remove what was built
	rm -rf $(BUILD)

# ---- What must be there ----

deps-demo:
	@sh test/deps.sh $(DEMO_PACKAGES)
deps-check:
	@sh test/deps.sh $(CHECK_PACKAGES)
deps-browser:
	@sh test/deps.sh $(BROWSER_PACKAGES)
	@command -v npm >/dev/null || sh test/deps.sh nodejs npm
deps-pictures:
	@sh test/deps.sh $(PICTURE_PACKAGES)
deps-story:
	@sh test/deps.sh $(STORY_PACKAGES)
deps-fuzz:
	@sh test/deps.sh $(FUZZ_PACKAGES)
deps-lint:
	@sh test/deps.sh $(LINT_PACKAGES)
deps-cluster:
	@sh test/deps.sh $(CLUSTER_PACKAGES)
deps-deb:
	@sh test/deps.sh $(DEB_PACKAGES)
deps-container:
	@sh test/deps.sh buildah debootstrap python3 procps
deps-cover:
	@sh test/deps.sh $(COVER_PACKAGES)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26
