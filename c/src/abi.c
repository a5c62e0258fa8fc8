/*
 * abi.c: what the library says about itself as it was built, for a caller to compare with what it
 * was built for.
 */
#include "tandem.h"

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "lua-resty-tandem runs on Linux, on x86-64 and arm64"
#endif

const char *tandem_abi_id(void)
{
    return TANDEM_ABI_FINGERPRINT;
}

const char *tandem_version(void)
{
    return TANDEM_VERSION;
}

size_t tandem_sizeof(int which)
{
    switch (which) {
    case 0:
        return sizeof(tandem_options);
    case 1:
        return sizeof(tandem_result);
    case 2:
        return sizeof(tandem_metric);
    case 3:
        return sizeof(tandem_near);
    case 4:
        return sizeof(tandem_near_entry);
    case 5:
        return sizeof(tandem_description);
    case 6:
        return sizeof(tandem_findings);
    default:
        return 0;
    }
}
