rockspec_format = "1.1"
package = "lua-resty-tandem"
version = "0.1.0-1"

source = {
   url = "file://.", -- made in a checkout of the tag: make rock
   tag = "v0.1.0",
}

description = {
   summary = "A two-tier cache: memory that all workers of a host share, and a Redis that all hosts share",
   detailed = [[
      For nginx with lua-nginx-module, OpenResty and plain LuaJIT.  Needs LuaJIT and hiredis.
   ]],
   license = "MIT",
}

supported_platforms = { "linux" }

dependencies = {
   "lua == 5.1",
}

external_dependencies = {
   HIREDIS = { header = "hiredis/hiredis.h", library = "hiredis" },
   XXHASH = { header = "xxhash.h" },
}

build = {
   type = "make",
   build_target = "all",
   build_variables = {
      CC = "$(CC)",
      CFLAGS = "$(CFLAGS) -g",
      CPPFLAGS = "-I$(HIREDIS_INCDIR) -I$(XXHASH_INCDIR)",
      LDFLAGS = "-L$(HIREDIS_LIBDIR)",
   },
   install_target = "install-lua",
   install_variables = {
      CC = "$(CC)",
      CFLAGS = "$(CFLAGS) -g",
      CPPFLAGS = "-I$(HIREDIS_INCDIR) -I$(XXHASH_INCDIR)",
      LDFLAGS = "-L$(HIREDIS_LIBDIR)",
      INST_LUADIR = "$(LUADIR)",
      INST_LIBDIR = "$(LIBDIR)",
      INST_BINDIR = "$(BINDIR)",
   },
}

-- The tool finds LuaJIT, and its files, by itself.
deploy = {
   wrap_bin_scripts = false,
}
