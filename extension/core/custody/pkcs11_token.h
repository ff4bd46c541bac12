/*
 * pkcs11_token.h - a token of PKCS#11, as far as being logged in (pkcs11_token.c).
 */
#ifndef PKCS11_TOKEN_H
#define PKCS11_TOKEN_H

#include "custodian_int.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

struct token
{
	struct sov_custodian base;	/* first */
	P11KitUri  *uri;
	CK_FUNCTION_LIST **modules;	/* ends with NULL */
	bool		one;			/* the URI named the module */
	CK_FUNCTION_LIST *p;		/* of the token */
	CK_SLOT_ID	slot;
	CK_TOKEN_INFO info;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE root;
	int			mechanism;		/* index */
	char		label[64];		/* of the token, for people */
};

/* Also after an error *out may be set, and is to be closed. */
extern enum sov_code pkcs11_reach(const char *uri, bool writing, struct token **out, struct sov_error *err);
extern void pkcs11_close(struct sov_custodian *c);
/* The error of a call that could not do what it was to do. */
extern enum sov_code pkcs11_failed(struct token *t, CK_RV rv, const char *what, struct sov_error *err);
/* What tokens fill up with spaces, without them. */
extern void pkcs11_trimmed(char *dst, size_t cap, const CK_UTF8CHAR *src, size_t len);

#endif
