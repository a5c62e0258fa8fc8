--- pairs, by another name.
--
-- LuaJIT (2.1, as of 2023) compiles loops over pairs in a way of its own.  If it records a side
-- trace of such a loop, garbage is collected at that moment, and a __gc of the application runs the
-- same loop, then that never ends.  It knows these loops by the name that is written in their head;
-- under another name they are compiled as any other.

return pairs
