/*
 * lua_yield.c: may the Lua code that is running yield?  A lua_CFunction, for package.loadlib.
 *
 * The phase that nginx is in does not tell: in a table.sort comparator, in a string.gsub callback
 * or at the top level of a module being required, a phase that may wait still cannot.  The LuaJIT
 * that has loaded this library knows, so its two functions are weak references, resolved in the
 * process; in a C program they are NULL and nobody calls this.  No Lua header is needed.
 */
struct lua_State;

#define EXPORTED __attribute__((visibility("default")))

EXPORTED __attribute__((weak)) int lua_isyieldable(struct lua_State *state);
EXPORTED __attribute__((weak)) void lua_pushboolean(struct lua_State *state, int value);

EXPORTED int tandem_lua_isyieldable(struct lua_State *state);

/* Returns one boolean, or nothing when this Lua cannot tell. */
int tandem_lua_isyieldable(struct lua_State *state)
{
    if (!lua_isyieldable || !lua_pushboolean)
        return 0;
    lua_pushboolean(state, lua_isyieldable(state));
    return 1;
}
