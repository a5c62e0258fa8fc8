#include "tls/tls.h"

#include "tandem.h"
#include "tls/session.h"

__attribute__((visibility("default"))) const struct tls_library tandem_tls = {
    .size = sizeof(struct tls_library),
    .version = TANDEM_VERSION,
    .prepare = context_prepare,
    .discard = context_discard,
    .begin = session_begin,
    .end = session_end,
    .handshake = session_handshake,
    .read = session_read,
    .write = session_write,
    .has_pending = session_has_pending,
};
