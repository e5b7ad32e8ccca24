# deadzone: `make help` lists the targets.

PREFIX ?= /usr/local
DESTDIR ?=
CC = gcc
BUILD := build

VERSION := $(shell sed -n 's/^\#define DEADZONE_VERSION "\(.*\)"/\1/p' proxy/command.h)

BUILD_PACKAGES := gcc make libc6-dev libevent-dev libpcap-dev libinih-dev libjansson-dev zlib1g-dev libzstd-dev \
    libjs-dygraphs
DEMO_PACKAGES := $(BUILD_PACKAGES) libcoap3-bin python3 openssl
CHECK_PACKAGES := $(DEMO_PACKAGES) libcmocka-dev tshark tcpdump gnutls-bin mandoc valgrind iproute2 binutils \
    python3-pytest prometheus libfaketime
BROWSER_PACKAGES := $(BUILD_PACKAGES) chromium libcoap3-bin python3 tshark
STORY_PACKAGES := $(BUILD_PACKAGES) binutils tshark python3
PICTURE_PACKAGES := wireshark xvfb imagemagick
FUZZ_PACKAGES := $(BUILD_PACKAGES) clang libclang-rt-14-dev

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wvla -Wmissing-prototypes -Werror
CPPFLAGS += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DPROFILE_DIR='"$(PREFIX)/share/deadzone/profiles"'
CFLAGS ?= -O2 -g
LTO ?= $(if $(findstring gcc,$(CC)),-flto=auto -ffat-lto-objects)
# Small structs: not with `rep stos` and `rep movs`, gcc's choice, which take long to begin.
ifneq ($(and $(findstring gcc,$(CC)),$(findstring x86_64,$(shell $(CC) -dumpmachine))),)
SMALL := -mmemset-strategy=vector_loop:256:noalign,libcall:-1:noalign
SMALL += -mmemcpy-strategy=vector_loop:256:noalign,libcall:-1:noalign
endif
# What the compiler knows of these; probed once (build/hardening.mk).
HARDENING_WISHES := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE -D_FORTIFY_SOURCE=3
LINK_HARDENING := -pie -Wl,-z,relro,-z,now
ALL_CFLAGS := -std=gnu11 $(WARNINGS) $(CFLAGS) $(SMALL) -MMD -MP
LIBRARIES := -levent_core -levent_extra -levent_pthreads -lpcap -linih -ljansson -lz -lzstd -lpthread -lm
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1

SOURCES := $(wildcard base/*.c rules/*.c capture/*.c report/*.c proxy/*.c)
PARTS := $(filter-out proxy/main.c,$(SOURCES))
PROFILES := $(wildcard rules/profiles/*.ini)
UNIT := $(patsubst test/unit/%.c,$(BUILD)/asan/test/%,$(wildcard test/unit/test_*.c))
FUZZ := $(patsubst test/fuzz/%.c,$(BUILD)/asan/test/%,$(wildcard test/fuzz/fuzz_*.c))

.PHONY: all check check-browser pictures demo story bench fuzz soak oom layers lint format clean install install-wireshark uninstall help
.PHONY: deps deps-demo deps-check deps-browser deps-pictures deps-story deps-fuzz binaries test-binaries
.DELETE_ON_ERROR:

all: deps ## build build/deadzone (installs what the build needs)
	@$(MAKE) --no-print-directory -j2 binaries

check: deps-check ## install what is missing, build, run all tests
	@$(MAKE) --no-print-directory -j2 binaries test-binaries ota
	@python3 test/run.py

check-browser: deps-browser ## the live page and the report's in headless Chromium
	@$(MAKE) --no-print-directory -j2 $(BUILD)/deadzone
	@mkdir -p $(BUILD)/browser
	@[ -d $(BUILD)/browser/node_modules/playwright-core ] || \
	    (cd $(BUILD)/browser && npm install --no-save --no-audit --no-fund --silent playwright-core@1.56)
	@python3 test/run.py --browser

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

.PHONY: ota FORCE
ota:
	@$(MAKE) --no-print-directory -f test/ota/Makefile

bench: all ## what it costs and how it keeps time, beside the leanest forwarder (ROWS="clean rules": only these)
	@$(MAKE) --no-print-directory $(BUILD)/bench_core $(BUILD)/bench/load $(BUILD)/bench/forward
	@python3 test/bench/bench.py $(ROWS)
	@[ -n "$(ROWS)" ] || python3 test/bench/api.py

soak: all ## ten minutes at half the greatest rate, with capture: memory must stay flat (MINUTES=10)
	@$(MAKE) --no-print-directory $(BUILD)/bench/load
	@python3 test/bench/soak.py $(MINUTES)

oom: deps-check ## every allocation fails once, in every command (make check: every 7th)
	@$(MAKE) --no-print-directory -j2 $(BUILD)/oom/deadzone
	@python3 test/oom/run.py --all

T ?= 60
fuzz: deps-fuzz ## run every fuzzer for T seconds (T=60)
	@$(MAKE) --no-print-directory -f test/fuzz/Makefile T=$(T)

layers: $(BUILD)/libdeadzone.a ## prove which folder may use what
	@sh test/layers.sh $(BUILD)

lint: ## check the format, as .clang-format says
	@sh test/deps.sh clang-format
	@clang-format --dry-run -Werror $(SOURCES) $(wildcard base/*.h rules/*.h capture/*.h report/*.h proxy/*.h)

format: ## put the sources into the house's format
	@sh test/deps.sh clang-format
	@clang-format -i $(SOURCES) $(wildcard base/*.h rules/*.h capture/*.h report/*.h proxy/*.h test/unit/*.c test/unit/*.h test/fuzz/*.c test/bench/*.c test/replay/*.c test/ota/*.[ch] doc/*.c)

# ---- Building ----

-include $(BUILD)/hardening.mk
$(BUILD)/hardening.mk: Makefile
	@mkdir -p $(@D)
	@printf 'HARDENING :=' > $@
	@for flag in $(HARDENING_WISHES); do \
	    echo '#include <stdio.h>' | $(CC) -O2 -Werror -U_FORTIFY_SOURCE $$flag -x c -c - -o /dev/null 2>/dev/null && \
	        printf ' %s' "$$flag" >> $@; done; echo >> $@

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) -U_FORTIFY_SOURCE $(ALL_CFLAGS) $(HARDENING) $(LTO) -c $< -o $@

$(BUILD)/asan/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $< (sanitized)"
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(SANITIZE) -c $< -o $@

# A page is one file: what it includes stands in it.
DYGRAPHS := /usr/share/javascript/dygraphs
$(BUILD)/%.html: report/%.html
	@mkdir -p $(@D)
	@DYGRAPHS=$(DYGRAPHS) sh report/inline.sh $< > $@

$(BUILD)/%.html: proxy/%.html
	@mkdir -p $(@D)
	@DYGRAPHS=$(DYGRAPHS) sh report/inline.sh $< > $@

$(BUILD)/obj/report/frame.o: report/frame.S $(BUILD)/page.html $(BUILD)/live.html
	@mkdir -p $(@D)
	@echo "  AS $<"
	@$(CC) -DPAGE='"$(BUILD)/page.html"' -DLIVE='"$(BUILD)/live.html"' -c $< -o $@

$(BUILD)/libdeadzone.a: $(PARTS:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/report/frame.o
	@rm -f $@
	@echo "  AR $@"
	@$(AR) rcs $@ $^

$(BUILD)/asan/libdeadzone.a: $(PARTS:%.c=$(BUILD)/asan/obj/%.o) $(BUILD)/obj/report/frame.o
	@rm -f $@
	@echo "  AR $@"
	@$(AR) rcs $@ $^

$(BUILD)/deadzone: $(BUILD)/obj/proxy/main.o $(BUILD)/libdeadzone.a
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(SMALL) $(HARDENING) $(LTO) $(LINK_HARDENING) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/asan/deadzone: $(BUILD)/asan/obj/proxy/main.o $(BUILD)/asan/libdeadzone.a
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(SANITIZE) -o $@ $^ $(LIBRARIES)

$(BUILD)/asan/test/%: $(BUILD)/asan/obj/test/unit/%.o $(BUILD)/asan/libdeadzone.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(SANITIZE) -o $@ $^ $(LIBRARIES) -lcmocka

# The corpus alone: `make fuzz` looks for more.
$(BUILD)/asan/test/fuzz_%: $(BUILD)/asan/obj/test/fuzz/fuzz_%.o $(BUILD)/asan/obj/test/fuzz/again.o $(BUILD)/asan/libdeadzone.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(SANITIZE) -o $@ $^ $(LIBRARIES)

$(BUILD)/asan/test/replay: $(BUILD)/asan/obj/test/replay/replay.o $(BUILD)/asan/libdeadzone.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(SANITIZE) -o $@ $^ $(LIBRARIES)

# The program in which allocations fail (test/oom).
WRAPPED := malloc calloc realloc aligned_alloc strdup strndup open_memstream realpath
$(BUILD)/oom/deadzone: $(BUILD)/asan/obj/proxy/main.o $(BUILD)/asan/obj/test/oom/fail.o $(BUILD)/asan/libdeadzone.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(SANITIZE) $(WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(LIBRARIES)

# Runs while building: in a cross build it is of the machine that builds, as are the libraries that it needs.
BUILD_CC ?= gcc
ifeq ($(CC),$(BUILD_CC))
$(BUILD)/manpage: $(BUILD)/obj/doc/manpage.o $(BUILD)/libdeadzone.a
	@echo "  LD $@"
	@$(CC) $(CFLAGS) -o $@ $^ $(LIBRARIES)
else
$(BUILD)/manpage: $(BUILD)/native/manpage
	@cp $< $@
$(BUILD)/native/manpage: FORCE
	@mkdir -p $(@D)
	@$(MAKE) --no-print-directory CC=$(BUILD_CC) BUILD_CC=$(BUILD_CC) BUILD=$(BUILD)/native $@
endif

$(BUILD)/deadzone.1: $(BUILD)/manpage doc/deadzone.1.in
	@$(BUILD)/manpage doc/deadzone.1.in > $@

$(BUILD)/deadzone.ini.5: $(BUILD)/manpage doc/deadzone.ini.5.in
	@$(BUILD)/manpage doc/deadzone.ini.5.in > $@

$(BUILD)/bench_core: $(BUILD)/obj/test/bench/bench_core.o $(BUILD)/libdeadzone.a
	@echo "  LD $@"
	@$(CC) $(CFLAGS) -o $@ $^ $(LIBRARIES)

# By themselves: what measures is not what is measured.
$(BUILD)/bench/%: test/bench/%.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $<

.PRECIOUS: $(BUILD)/asan/obj/%.o $(BUILD)/obj/%.o
binaries: $(BUILD)/deadzone $(BUILD)/deadzone.1 $(BUILD)/deadzone.ini.5
test-binaries: $(BUILD)/oom/deadzone $(BUILD)/deadzone $(BUILD)/asan/deadzone $(BUILD)/asan/test/replay $(UNIT) $(FUZZ)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- Installing ----

install: all ## install into PREFIX (/usr/local), below DESTDIR
	install -D -m 755 $(BUILD)/deadzone $(DESTDIR)$(PREFIX)/bin/deadzone
	install -D -m 644 $(BUILD)/deadzone.1 $(DESTDIR)$(PREFIX)/share/man/man1/deadzone.1
	install -D -m 644 $(BUILD)/deadzone.ini.5 $(DESTDIR)$(PREFIX)/share/man/man5/deadzone.ini.5
	install -d $(DESTDIR)$(PREFIX)/share/deadzone/profiles
	install -m 644 $(PROFILES) $(DESTDIR)$(PREFIX)/share/deadzone/profiles

# The installed program if there is one, else the one that was built.
INSTALLED = $(or $(wildcard $(PREFIX)/bin/deadzone),$(CURDIR)/$(BUILD)/deadzone)
install-wireshark: all ## put the extcap, the Lua script and the profile into this user's Wireshark
	@sh test/deps.sh tshark
	@DESTDIR=$(DESTDIR) sh wireshark/install.sh $(INSTALLED)

uninstall: ## take away what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/deadzone $(DESTDIR)$(PREFIX)/share/man/man1/deadzone.1 \
	    $(DESTDIR)$(PREFIX)/share/man/man5/deadzone.ini.5
	rm -rf $(DESTDIR)$(PREFIX)/share/deadzone
	-@DESTDIR=$(DESTDIR) sh wireshark/install.sh --uninstall

clean: ## remove what was built
	rm -rf $(BUILD)

# ---- What must be there ----

deps:
	@sh test/deps.sh $(BUILD_PACKAGES)
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

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
