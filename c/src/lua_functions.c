/*
 * lua_functions.c: what FFI cannot do: lua_CFunctions, for package.loadlib.
 *
 * The LuaJIT that has loaded this library has the functions of the Lua API that are used here.  They are weak
 * references, resolved in the process; in a C program they are NULL and nobody calls these.  No Lua header is
 * needed.
 */
struct lua_State;

#define EXPORTED __attribute__((visibility("default")))
#define OF_LUA EXPORTED __attribute__((weak))

OF_LUA int lua_isyieldable(struct lua_State *state);
OF_LUA void lua_pushboolean(struct lua_State *state, int value);
OF_LUA int lua_pcall(struct lua_State *state, int arguments, int results, int handler);
OF_LUA int lua_gettop(struct lua_State *state);
OF_LUA void lua_insert(struct lua_State *state, int index);

EXPORTED int tandem_lua_isyieldable(struct lua_State *state);
EXPORTED int tandem_lua_pcall(struct lua_State *state);

/* May the Lua code that is running yield?  Returns one boolean, or nothing when this Lua cannot tell.  The phase
 * that nginx is in does not say: in a table.sort comparator, in a string.gsub callback or at the top level of
 * a module being required, a phase that may wait still cannot. */
int tandem_lua_isyieldable(struct lua_State *state)
{
    if (!lua_isyieldable || !lua_pushboolean)
        return 0;
    lua_pushboolean(state, lua_isyieldable(state));
    return 1;
}

/* As Lua's pcall, but what it calls is not compiled into the caller: string.buffer.decode, raising an error in
 * compiled code, crashes LuaJIT 2.1-20230119, which is Debian 12's.  Returns nothing without a Lua. */
int tandem_lua_pcall(struct lua_State *state)
{
    const int all_results = -1;

    if (!lua_pcall || !lua_gettop || !lua_insert || !lua_pushboolean)
        return 0;
    lua_pushboolean(state, lua_pcall(state, lua_gettop(state) - 1, all_results, 0) == 0);
    lua_insert(state, 1);
    return lua_gettop(state);
}
