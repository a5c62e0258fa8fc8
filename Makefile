# lua-resty-tandem.  `make help` lists the targets.
#
# Nothing about tools or libraries is asked while this file is read, only inside recipes: with
# `make deps demo` they do not exist before the first target has run.

.NOTPARALLEL:
.DELETE_ON_ERROR:
.SUFFIXES:

BUILD  ?= build
PREFIX ?= /usr/local
DESTDIR ?=

# An OpenResty installed here is used instead of the system's LuaJIT and nginx.
OPENRESTY ?= $(wildcard /usr/local/openresty)
ifneq ($(OPENRESTY),)
LUAJIT ?= $(OPENRESTY)/luajit/bin/luajit
NGINX  ?= $(OPENRESTY)/nginx/sbin/nginx
else
LUAJIT ?= luajit
NGINX  ?= nginx
endif
export OPENRESTY LUAJIT NGINX

LUA_SHARE_DIR ?= $(PREFIX)/share/lua/5.1
LUA_LIB_DIR   ?= $(PREFIX)/lib/lua/5.1

ifeq ($(CI),true)
WERROR ?= 1
endif

# CFLAGS, CPPFLAGS and LDFLAGS are the user's; they come after ours.
CFLAGS ?= -O2 -g
our_cppflags = -D_GNU_SOURCE -Ic/include -Ic/src
our_cflags = -std=c11 -fPIC -pthread -fvisibility=hidden \
             -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
             $(if $(filter-out 0,$(WERROR)),-Werror)
our_ldflags = -pthread -Wl,-z,defs -Wl,-z,nodelete -Wl,-z,now
our_libs = -lhiredis -lpthread
compile = $(CC) $(our_cppflags) $(CPPFLAGS) $(our_cflags) $(CFLAGS)
link = $(CC) $(CFLAGS) $(our_ldflags) $(LDFLAGS)

header  = c/include/tandem.h
library = $(BUILD)/libtandem.so
archive = $(BUILD)/libtandem.a
cdef    = lua/resty/tandem/cdef.lua

sources = $(wildcard c/src/*.c c/src/*/*.c)
objects = $(sources:%.c=$(BUILD)/%.o)
tests   = $(patsubst %.c,$(BUILD)/%,$(wildcard c/test/*/*_test.c))

.PHONY: all
all: $(library) $(cdef) ## build the library and the Lua declarations (the default)

# -- Building ---------------------------------------------------------------------------------------

# What everything was compiled with; changes when that changes.
.PHONY: force
$(BUILD)/flags: force
	@mkdir -p $(BUILD)
	@echo '$(compile) / $(link) $(our_libs)' | cmp -s - $@ || echo '$(compile) / $(link) $(our_libs)' >$@

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
	$(link) -shared -Wl,-soname,libtandem.so -o $@.new $(objects) $(our_libs) && mv $@.new $@

$(archive): $(objects)
	@rm -f $@
	@$(AR) rcs $@ $(objects)

$(tests:=.o): object_flags = -Ic/test

$(BUILD)/c/test/%: $(BUILD)/c/test/%.o $(archive)
	$(link) -o $@ $< $(archive) $(our_libs)

.SECONDARY: $(tests:=.o)
-include $(objects:.o=.d) $(tests:=.d)

# -- Testing ----------------------------------------------------------------------------------------

.PHONY: test
test: ## build and run all tests
	$(MAKE) all test-unit
	tools/test-spec

.PHONY: test-unit
test-unit: $(tests) ## build and run the C tests
	tools/test-unit $(tests)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD) $(cdef)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS='	' read -r t d; do \
	    printf '  make %-10s %s\n' "$$t" "$$d"; done
