# lua-resty-tandem.  `make help` lists the targets.
#
# Nothing about tools or libraries is asked while this file is read, only inside recipes: with
# `make deps demo` they do not exist before the first target has run.  For the same reason targets
# named on the command line are made one after the other, and `demo` and `test` call make again.

ifndef SUBMAKE
.NOTPARALLEL:
endif
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL = all
again = +$(MAKE) --no-print-directory SUBMAKE=1
# Programs are compiled side by side; one recipe then runs them one after the other.
compile_all = $(again) -j$$(nproc)

BUILD   ?= build
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=

# With LUA_LIB_DIR (OpenResty's lualib, say) the Lua files and the library go to that one folder.
lua_dir = $(or $(INST_LUADIR),$(LUA_LIB_DIR),$(PREFIX)/share/lua/5.1)
bin_dir = $(or $(INST_BINDIR),$(PREFIX)/bin)
lib_dir = $(or $(INST_LIBDIR),$(LUA_LIB_DIR),$(LIBDIR)/lua/5.1)

# An OpenResty that is installed is used instead of the system's LuaJIT and nginx.
OPENRESTY ?= $(wildcard /usr/local/openresty)
LUAJIT ?= $(if $(OPENRESTY),$(OPENRESTY)/luajit/bin/luajit,luajit)
# Not NGINX: under that name nginx looks for sockets that it is to inherit.
TANDEM_NGINX ?= $(if $(OPENRESTY),$(OPENRESTY)/nginx/sbin/nginx,nginx)
PATH := $(PATH):/usr/sbin:/sbin
export OPENRESTY LUAJIT TANDEM_NGINX PATH

ifeq ($(CI),true)
WERROR ?= 1
endif

# CFLAGS, CPPFLAGS, LDFLAGS and LDLIBS are the user's, after ours.
CFLAGS ?= -O2 -g
our_cppflags = -D_GNU_SOURCE -Ic/include -Ic/src
# Sentences that do not fit are meant to be cut short; clang has no such warning to turn off.
our_cflags = -std=c11 -fPIC -pthread -fvisibility=hidden \
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
    -Wno-unknown-warning-option -Wno-format-truncation \
    $(if $(filter-out 0,$(WERROR)),-Werror)
# nodelete: LuaJIT unloads a library whose handle it has collected, under the library's own thread.
our_soflags = -shared -Wl,-soname,$(@F) -Wl,-z,defs -Wl,-z,nodelete -Wl,-z,now
our_libs = -lhiredis -ldl -lpthread -lm
tls_libs = -lssl -lcrypto
compile = $(CC) $(our_cppflags) $(CPPFLAGS) $(our_cflags) $(CFLAGS)
link = $(CC) -pthread $(CFLAGS) $(LDFLAGS)

header  = c/include/tandem.h
library = $(BUILD)/libtandem.so
tls_library = $(BUILD)/libtandem_tls.so
archive = $(BUILD)/libtandem.a
cdef    = lua/resty/tandem/cdef.lua
version = $$(sed -n 's/^\#define TANDEM_VERSION "\(.*\)"/\1/p' $(header))

sources = $(filter-out c/src/tls/%,$(wildcard c/src/*.c c/src/*/*.c))
objects = $(sources:%.c=$(BUILD)/%.o)
tls_objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard c/src/tls/*.c))
tests   = $(patsubst %.c,$(BUILD)/%,$(wildcard c/test/*/*_test.c))

.PHONY: all
all: $(library) tls $(cdef) ## build the library, and the Lua declarations of it (the default)

# -- Building --------------------------------------------------------------------------------------

# What everything is compiled with: rewritten when that changes, so that everything is built anew.
.PHONY: force
$(BUILD)/flags: force
	@mkdir -p $(BUILD)
	@echo "$(subst ",\",$(compile) $(link) $(our_soflags) $(our_libs) $(LDLIBS))" >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(compile) $(object_flags) -MMD -MP -c -o $@ $<

$(BUILD)/c/src/abi.o: object_flags = -DTANDEM_ABI_FINGERPRINT='"$(shell cat $(BUILD)/abi.id)"'
$(BUILD)/c/src/abi.o: $(BUILD)/abi.id

$(BUILD)/abi.id: $(header) tools/cdef
	@mkdir -p $(@D)
	@CC='$(CC)' tools/cdef id $(header) >$@.new && mv $@.new $@

$(cdef): $(header) tools/cdef
	CC='$(CC)' tools/cdef lua $(header) >$@.new && mv $@.new $@

$(library): $(objects)
	$(link) $(our_soflags) -o $@.new $(objects) $(our_libs) $(LDLIBS) && mv $@.new $@

# It is of use with hiredis 1.0 or newer only, and needs OpenSSL's headers.
has_tls = printf '%s\n' '\#include <openssl/ssl.h>' '\#include <hiredis/hiredis.h>' \
    '\#if HIREDIS_MAJOR < 1' '\#error' '\#endif' | $(CC) $(CPPFLAGS) -E -xc - >/dev/null 2>&1

.PHONY: tls
tls:
	@if $(has_tls); then $(MAKE) --no-print-directory SUBMAKE=1 $(tls_library); else \
	    rm -f $(tls_library); \
	    echo "without TLS: rediss:// needs libssl-dev, and hiredis 1.0 or newer"; fi

$(tls_library): $(tls_objects)
	$(link) $(our_soflags) -o $@.new $(tls_objects) $(tls_libs) $(LDLIBS) && mv $@.new $@

$(archive): $(objects)
	@rm -f $@
	@$(AR) rcs $@ $(objects)

$(tests:=.o): object_flags = -Ic/test

$(BUILD)/c/test/%: $(BUILD)/c/test/%.o $(archive)
	$(link) -o $@ $< $(archive) $(our_libs) $(LDLIBS)

$(BUILD)/c/test/tls/%: $(BUILD)/c/test/tls/%.o $(tls_objects) $(archive)
	$(link) -o $@ $< $(tls_objects) $(archive) $(our_libs) $(tls_libs) $(LDLIBS)

# These have a memory room with marked points, at which they kill or count (c/src/memory/fault.h).
fault_tests = $(BUILD)/c/test/memory/kill_test $(BUILD)/c/test/memory/many_test
fault_objects = $(patsubst %.c,$(BUILD)/faults/%.o,$(wildcard c/src/memory/*.c))

$(BUILD)/faults/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(compile) -DTANDEM_FAULTS -MMD -MP -c -o $@ $<

$(fault_tests): %: %.o $(fault_objects) $(archive)
	$(link) -o $@ $< $(fault_objects) $(archive) $(our_libs) $(LDLIBS)

.SECONDARY: $(tests:=.o)
-include $(objects:.o=.d) $(tls_objects:.o=.d) $(tests:=.d) $(fault_objects:.o=.d)

# -- What is needed --------------------------------------------------------------------------------

.PHONY: deps
deps: ## install what building, the demo and the tests need (Debian, Ubuntu)
	tools/deps

.PHONY: deps-dev
deps-dev: ## install what lint, model and sanitize need in addition
	tools/deps dev

# -- Running ---------------------------------------------------------------------------------------

.PHONY: demo
demo: ## run an example on a Redis and an nginx of its own (DEMO_ONCE=1: just the story)
	$(again) all
	examples/run-demo

.PHONY: test
test: ## build and run all tests
	$(compile_all) all
	@status=0; \
	$(MAKE) --no-print-directory SUBMAKE=1 -j$$(nproc) test-unit || status=1; \
	tools/test-spec || status=1; \
	exit $$status

.PHONY: test-unit
test-unit: $(tests) ## build and run the C tests
	tools/test-unit $(tests)

# -- Checking --------------------------------------------------------------------------------------

.PHONY: lint
lint: all ## check formatting, the direction of includes, and the code by analysers
	tools/lint

.PHONY: model
model: ## check the models of what processes do to each other in shared memory
	tools/model

sanitizers = -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all

.PHONY: sanitize
sanitize: ## run the C tests under ASan with UBSan, and under TSan
	$(again) -k sanitize-asan sanitize-tsan

SANITIZE_CC ?= clang

.PHONY: sanitize-asan sanitize-tsan
sanitize-asan:
	$(compile_all) BUILD=$(BUILD)/asan WERROR=0 CC='$(SANITIZE_CC)' \
	    CFLAGS='$(sanitizers) -fsanitize=address,undefined' tests-of-asan
sanitize-tsan:
	$(compile_all) BUILD=$(BUILD)/tsan WERROR=0 CC='$(SANITIZE_CC)' \
	    CFLAGS='$(sanitizers) -fsanitize=thread' tests-of-tsan

.PHONY: tests-of-asan tests-of-tsan
tests-of-asan: $(tests)
	CHECK_TIMEOUT=240 UBSAN_OPTIONS=print_stacktrace=1 tools/test-unit $(tests)
# TSan cannot have the kernel choose addresses as freely as new kernels do, and in a child of fork()
# it takes the parent's threads for the child's own.
# And some, which take long, have no threads.
threaded = $(filter-out %/memory/kill_test %/memory/policy_test,$(tests))
tests-of-tsan: $(threaded)
	CHECK_TIMEOUT=240 TSAN_OPTIONS='die_after_fork=0 report_thread_leaks=0' \
	    $$(setarch -R true 2>/dev/null && echo setarch -R) tools/test-unit $(threaded)

# Valgrind computes long doubles as doubles, and is too slow for what goes by the clock.  Helgrind knows no
# owner of a lock that has died; what has threads, and nobody dies in, is in the tier's tests.
inexact = %/base/number_test %/memory/atomic_test %/tier/api_atomic_test
slow = %/memory/kill_test %/memory/policy_test %/memory/process_test %/redis/large_value_test \
    %/redis/pipeline_test %/redis/stall_test %/tier/flights_test
valgrind = CHECK_TIMEOUT=240 TANDEM_EMULATOR="valgrind -q --error-exitcode=99 $(1)" tools/test-unit

.PHONY: valgrind
valgrind: $(tests) ## run C tests under memcheck and under helgrind (takes ten minutes)
	$(call valgrind,--leak-check=no) $(filter-out $(inexact) $(slow),$(tests))
	$(call valgrind,--tool=helgrind --history-level=none --suppressions=tools/valgrind.supp) \
	    $(filter-out $(inexact) %/api_atomic_process_test,$(filter $(BUILD)/c/test/tier/%,$(tests)))

# libFuzzer is clang's.  Each program is built from the library's own sources, with ASan and UBSan.
fuzzers = $(patsubst %.c,$(BUILD)/%,$(wildcard c/fuzz/*_fuzz.c))
$(fuzzers:=.o): object_flags = -Ic/fuzz
$(fuzzers): $(BUILD)/%: $(BUILD)/%.o $(archive)
	$(link) -fsanitize=fuzzer -o $@ $< $(archive) $(our_libs) $(LDLIBS)
-include $(fuzzers:=.d)

.PHONY: fuzz fuzz-all
fuzz: ## feed all that reads foreign bytes, and memory, at random (FUZZ_SECONDS=60, each)
	$(again) all
	$(again) BUILD=$(BUILD)/fuzz WERROR=0 CC='$(SANITIZE_CC)' \
	    CFLAGS='$(sanitizers) -fsanitize=address,undefined,fuzzer-no-link' fuzz-all
fuzz-all: $(fuzzers)
	UBSAN_OPTIONS=print_stacktrace=1 tools/fuzz $${FUZZ_SECONDS:-60} $(fuzzers) \
	    $(wildcard spec/fuzz/*_fuzz.lua)

.PHONY: coverage coverage-all
coverage: ## which part of C and Lua the tests come by (takes half an hour)
	$(again) all
	$(again) BUILD=$(BUILD)/coverage WERROR=0 CFLAGS='-O0 -g --coverage' coverage-all
coverage-all: $(tests) $(library)
	tools/coverage $(BUILD) $(tests)

.PHONY: soak
soak: ## nginxes, a Redis, and all that can happen to them (SOAK_SECONDS=300, SOAK_SEED)
	$(again) all
	tools/soak $${SOAK_SECONDS:-300} $${SOAK_SEED:-}

.PHONY: matrix
matrix: ## build and test on Debian 12 and 13, with Valkey, musl and for arm64 (root; an hour)
	tools/matrix

# -- Measuring ---------------------------------------------------------------------------------------

$(BUILD)/bench/operations: bench/guard/operations.c $(archive)
	@mkdir -p $(@D)
	$(compile) -o $@ $< $(archive) $(our_libs) $(LDLIBS)

compiler = $$($(CC) -dumpmachine) $$($(CC) -dumpfullversion -dumpversion) $(CFLAGS)

.PHONY: guard guard-update
guard: $(BUILD)/bench/operations ## count instructions of operations: not 5 % more than the baseline
	bench/guard/run compare $(BUILD)/bench/operations "$(compiler)"
guard-update: $(BUILD)/bench/operations ## make what is counted now the baseline
	bench/guard/run update $(BUILD)/bench/operations "$(compiler)"

$(BUILD)/bench/core: bench/core.c $(archive)
	@mkdir -p $(@D)
	$(compile) -o $@ $< $(archive) $(our_libs) $(LDLIBS)

$(BUILD)/bench/delay: bench/redis/delay.c
	@mkdir -p $(@D)
	$(compile) -o $@ $<

$(BUILD)/bench/coherence: bench/redis/coherence.c $(archive)
	@mkdir -p $(@D)
	$(compile) -o $@ $< $(archive) $(our_libs) $(LDLIBS)

.PHONY: bench
bench: ## measure beside the peers that are installed (BENCH_QUICK=1: in a minute)
	$(again) all $(BUILD)/bench/core $(BUILD)/bench/delay $(BUILD)/bench/coherence
	BENCH_BUILD=$(abspath $(BUILD)) bench/run

# -- Installing ------------------------------------------------------------------------------------

.PHONY: install
install: install-lua ## install below PREFIX (/usr/local), or below DESTDIR for a package
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(header) $(DESTDIR)$(PREFIX)/include/
	ln -sfr $(DESTDIR)$(lib_dir)/libtandem.so $(DESTDIR)$(LIBDIR)/libtandem.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e "s|@VERSION@|$(version)|" \
	    tools/tandem.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/tandem.pc
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 644 docs/tandem.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 tools/tandem.bash-completion \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tandem

# What require "resty.tandem" needs.
.PHONY: install-lua
install-lua: all
	install -d $(DESTDIR)$(bin_dir) $(DESTDIR)$(lib_dir) $(DESTDIR)$(lua_dir)/resty/tandem/host \
	    $(DESTDIR)$(lua_dir)/resty/tandem/tool $(DESTDIR)$(lua_dir)/resty/tandem/status
	install -m 755 $(library) $(wildcard $(tls_library)) $(DESTDIR)$(lib_dir)/
	install -m 644 lua/resty/*.lua $(DESTDIR)$(lua_dir)/resty/
	install -m 644 lua/resty/tandem/*.lua $(DESTDIR)$(lua_dir)/resty/tandem/
	install -m 644 lua/resty/tandem/host/*.lua $(DESTDIR)$(lua_dir)/resty/tandem/host/
	install -m 644 lua/resty/tandem/tool/*.lua $(DESTDIR)$(lua_dir)/resty/tandem/tool/
	install -m 644 lua/resty/tandem/status/*.lua $(DESTDIR)$(lua_dir)/resty/tandem/status/
	sed -e 's|@LUA_DIR@|$(lua_dir)|' -e 's|@LIB_DIR@|$(lib_dir)|' bin/tandem \
	    >$(DESTDIR)$(bin_dir)/tandem
	chmod 755 $(DESTDIR)$(bin_dir)/tandem

# -- Packages --------------------------------------------------------------------------------------

.PHONY: deb
deb: all ## make a Debian package of it, in build/
	VERSION=$(version) CC='$(CC)' tools/deb $(BUILD)

luarocks = luarocks --lua-version 5.1

.PHONY: rock
rock: ## make a binary rock for LuaRocks, in build/
	$(luarocks) make --tree=$(abspath $(BUILD)/rock) rockspec/lua-resty-tandem-$(version)-1.rockspec
	cd $(BUILD) && $(luarocks) pack --tree=$(abspath $(BUILD)/rock) lua-resty-tandem $(version)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD) $(cdef)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1:\2/p' Makefile | \
	    while IFS=: read -r target what; do printf '%-18s %s\n' "$$target" "$$what"; done
