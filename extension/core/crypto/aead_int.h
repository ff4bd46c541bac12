/*
 * aead_int.h - what the parts of cryptography share: the manager of intel-ipsec-mb,
 * and what libcrypto keeps for a thread where it serves instead.
 */
#ifndef AEAD_INT_H
#define AEAD_INT_H

#include "sov_crypto.h"

struct IMB_MGR;
/* NULL where libcrypto serves. */
extern struct IMB_MGR *aead_mb_mgr(void);
/* The thread's context of libcrypto forgets its key. */
extern void aead_forget_thread(void);

#endif
