/*
 * custodian_pkcs11.c - the root key in an HSM, named by an RFC 7512 URI.
 *
 * The root key is made in the token, cannot be taken out (this is checked every
 * time: a key that can is refused) and wraps inside it.  What comes to this
 * process is the key that it wrapped, as a session object that ends with the call.
 *
 * Wrapped key: mechanism u8 (1 CKM_AES_KEY_WRAP_KWP, 2 CKM_AES_KEY_WRAP_PAD, 3
 * CKM_AES_KEY_WRAP) | what C_WrapKey gave.  Root id: the first 16 bytes of the
 * SHA-256 of a fixed 32-byte key wrapped with CKM_AES_KEY_WRAP*, so that the same
 * key has the same id in every copy of it, whatever its label.
 *
 * Runs in the helper (sov_custodian.h); its caller sees to the time limit.
 */
#include "pkcs11_token.h"

#include <stdio.h>
#include <string.h>

#ifndef CKM_AES_KEY_WRAP_PAD
#define CKM_AES_KEY_WRAP_PAD 0x210aUL
#endif
#define MECH_KWP 0x210bUL		/* of PKCS#11 3.0 */

static const CK_MECHANISM_TYPE mechanisms[] = {MECH_KWP, CKM_AES_KEY_WRAP_PAD, 0x2109UL /* CKM_AES_KEY_WRAP */};
#define N_MECHANISMS ((int) (sizeof mechanisms / sizeof mechanisms[0]))

static CK_BBOOL yes = CK_TRUE,
			no = CK_FALSE;
static CK_OBJECT_CLASS secret_class = CKO_SECRET_KEY;
static CK_KEY_TYPE aes = CKK_AES;

/* --- the root key --- */

static enum sov_code
count_roots(struct token *t, CK_ULONG *n, struct sov_error *err)
{
	CK_ATTRIBUTE want[8] = {{CKA_CLASS, &secret_class, sizeof secret_class}};
	CK_OBJECT_HANDLE found[2];
	CK_ATTRIBUTE *a;
	CK_ULONG	n_want = 1;
	CK_RV		rv;

	if ((a = p11_kit_uri_get_attribute(t->uri, CKA_LABEL)) != NULL)
		want[n_want++] = *a;
	if ((a = p11_kit_uri_get_attribute(t->uri, CKA_ID)) != NULL)
		want[n_want++] = *a;
	if (n_want == 1)
		return sov_fail(err, SOV_E_CONFIG, "for example: pkcs11:token=controller;object=root", "the URI names no key (object=... or id=...)");
	rv = t->p->C_FindObjectsInit(t->session, want, n_want);
	if (rv == CKR_OK)
	{
		rv = t->p->C_FindObjects(t->session, found, 2, n);
		(void) t->p->C_FindObjectsFinal(t->session);
	}
	if (rv != CKR_OK)
		return pkcs11_failed(t, rv, "look for the root key", err);
	t->root = found[0];
	return SOV_OK;
}

/* The whole worth of an HSM is that its key stays inside. */
static enum sov_code
check_root(struct token *t, struct sov_error *err)
{
	CK_BBOOL	extractable = CK_TRUE,
				sensitive = CK_FALSE;
	CK_ATTRIBUTE a[2] = {{CKA_EXTRACTABLE, &extractable, 1}, {CKA_SENSITIVE, &sensitive, 1}};
	CK_RV		rv = t->p->C_GetAttributeValue(t->session, t->root, a, 2);

	if (rv != CKR_OK)
		return pkcs11_failed(t, rv, "look at the root key", err);
	if (extractable || !sensitive)
		return sov_fail(err, SOV_E_KEY, "make one inside: \"pg_sovereign key create-root\" with the URI of a new object, then \"pg_sovereign key rotate-root\"",
						"the root key can be taken out of token \"%s\": it is extractable, or not sensitive", t->label);
	return SOV_OK;
}

static enum sov_code
choose_mechanism(struct token *t, struct sov_error *err)
{
	for (t->mechanism = 0; t->mechanism < N_MECHANISMS; t->mechanism++)
	{
		CK_MECHANISM_INFO info;

		if (t->p->C_GetMechanismInfo(t->slot, mechanisms[t->mechanism], &info) == CKR_OK &&
			(info.flags & CKF_WRAP) && (info.flags & CKF_UNWRAP))
			return SOV_OK;
	}
	return sov_fail(err, SOV_E_KEY, "use a token that has CKM_AES_KEY_WRAP_PAD", "token \"%s\" cannot wrap keys with AES", t->label);
}

static enum sov_code
wrap_value(struct token *t, const uint8_t key[32], uint8_t *out, CK_ULONG *len, struct sov_error *err)
{
	CK_MECHANISM mech = {mechanisms[t->mechanism], NULL, 0};
	CK_OBJECT_HANDLE object;
	CK_ATTRIBUTE a[] = {
		{CKA_CLASS, &secret_class, sizeof secret_class}, {CKA_KEY_TYPE, &aes, sizeof aes},
		{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_EXTRACTABLE, &yes, 1}, {CKA_SENSITIVE, &no, 1},
		{CKA_VALUE, (void *) key, SOV_KEY_LEN}};
	CK_RV		rv = t->p->C_CreateObject(t->session, a, sizeof a / sizeof a[0], &object);

	if (rv != CKR_OK)
		return pkcs11_failed(t, rv, "take a key to wrap", err);
	rv = t->p->C_WrapKey(t->session, &mech, t->root, object, out, len);
	(void) t->p->C_DestroyObject(t->session, object);
	return rv == CKR_OK ? SOV_OK : pkcs11_failed(t, rv, "wrap a key", err);
}

static enum sov_code
learn_id(struct token *t, struct sov_error *err)
{
	static const char label[] = "pg_sovereign root id v1";
	struct sov_span span = {label, sizeof label - 1};
	uint8_t		fixed[32],
				out[SOV_KWP_MAX],
				hash[32];
	CK_ULONG	len = sizeof out;
	enum sov_code rc = sov_sha256(&span, 1, fixed, err);

	if (rc == SOV_OK)
		rc = wrap_value(t, fixed, out, &len, err);
	span = (struct sov_span) {out, len};
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, hash, err);
	if (rc == SOV_OK)
		memcpy(t->base.root_id, hash, 16);
	return rc;
}

/* --- operations --- */

static enum sov_code
pkcs11_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	struct token *t = NULL;
	CK_ULONG	n = 0;
	enum sov_code rc = pkcs11_reach(uri, false, &t, err);

	if (rc == SOV_OK)
		rc = count_roots(t, &n, err);
	if (rc == SOV_OK && n != 1)
		rc = sov_fail(err, SOV_E_KEY, n ? "name it by id=... too" : "\"pg_sovereign key create-root URI\" makes one; for an existing repository or database bring back the old one: a new one opens nothing",
					  n ? "token \"%s\" has more than one key of this name" : "token \"%s\" has no such key", t->label);
	if (rc == SOV_OK)
		rc = check_root(t, err);
	if (rc == SOV_OK)
		rc = choose_mechanism(t, err);
	if (rc == SOV_OK)
		rc = learn_id(t, err);
	if (rc == SOV_OK)
		*out = &t->base;
	else if (t)
		pkcs11_close(&t->base);
	return rc;
}

static enum sov_code
pkcs11_wrap(struct sov_custodian *c, const uint8_t key[32], uint8_t blob[SOV_KWP_MAX], size_t *blob_len, struct sov_error *err)
{
	struct token *t = (struct token *) c;
	CK_ULONG	len = SOV_KWP_MAX - 1;
	enum sov_code rc = wrap_value(t, key, blob + 1, &len, err);

	blob[0] = (uint8_t) (t->mechanism + 1);
	*blob_len = len + 1;
	return rc;
}

/* Tokens say little of why they do not unwrap.  One that still wraps by this key is well:
 * then it is what was to be unwrapped. */
static enum sov_code
not_unwrapped(struct token *t, CK_RV rv, struct sov_error *err)
{
	uint8_t		was[16];
	char		id[37];
	enum sov_code rc;

	memcpy(was, t->base.root_id, 16);
	sov_uuid_text(id, was);
	if ((rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED) && (rc = learn_id(t, err)) != SOV_OK)
		return rc;
	memcpy(t->base.root_id, was, 16);
	return sov_fail(err, SOV_E_KEY, "point \"root\" in [custody] to the root key that was used then",
					"root key %s (token \"%s\") does not open this key: it was wrapped under another root key, or is damaged", id, t->label);
}

static enum sov_code
pkcs11_unwrap(struct sov_custodian *c, const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err)
{
	struct token *t = (struct token *) c;
	CK_MECHANISM mech = {0, NULL, 0};
	CK_OBJECT_HANDLE object;
	CK_ATTRIBUTE a[] = {
		{CKA_CLASS, &secret_class, sizeof secret_class}, {CKA_KEY_TYPE, &aes, sizeof aes},
		{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_EXTRACTABLE, &yes, 1}, {CKA_SENSITIVE, &no, 1}};
	CK_ATTRIBUTE value = {CKA_VALUE, key, SOV_KEY_LEN};
	CK_RV		rv;

	if (blob_len < 17 || blob[0] < 1 || blob[0] > N_MECHANISMS)
		return sov_fail(err, SOV_E_KEY, "point \"root\" in [custody] to the root key that was used then", "no token wrapped this key, or it is damaged");
	mech.mechanism = mechanisms[blob[0] - 1];
	rv = t->p->C_UnwrapKey(t->session, &mech, t->root, (CK_BYTE_PTR) blob + 1, blob_len - 1, a, sizeof a / sizeof a[0], &object);
	if (rv == CKR_WRAPPED_KEY_INVALID || rv == CKR_WRAPPED_KEY_LEN_RANGE || rv == CKR_ENCRYPTED_DATA_INVALID ||
		rv == CKR_ENCRYPTED_DATA_LEN_RANGE || rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED)
		return not_unwrapped(t, rv, err);
	if (rv != CKR_OK)
		return pkcs11_failed(t, rv, "unwrap a key", err);
	rv = t->p->C_GetAttributeValue(t->session, object, &value, 1);
	(void) t->p->C_DestroyObject(t->session, object);
	if (rv != CKR_OK || value.ulValueLen != SOV_KEY_LEN)
	{
		sov_wipe(key, SOV_KEY_LEN);
		return rv != CKR_OK ? pkcs11_failed(t, rv, "read an unwrapped key", err)
			: sov_fail(err, SOV_E_KEY, NULL, "token \"%s\" unwrapped something that is not a key of 32 bytes", t->label);
	}
	return SOV_OK;
}

static void
pkcs11_describe(struct sov_custodian *c, char *dst, size_t cap)
{
	struct token *t = (struct token *) c;
	CK_ATTRIBUTE *a = p11_kit_uri_get_attribute(t->uri, CKA_LABEL);
	char		id[37],
				maker[33],
				serial[17],
				object[64] = "?";

	sov_uuid_text(id, c->root_id);
	pkcs11_trimmed(maker, sizeof maker, t->info.manufacturerID, sizeof t->info.manufacturerID);
	pkcs11_trimmed(serial, sizeof serial, t->info.serialNumber, sizeof t->info.serialNumber);
	if (a != NULL)
		pkcs11_trimmed(object, sizeof object, a->pValue, a->ulValueLen);
	snprintf(dst, cap, "pkcs11 token %s (%s, serial %s), key %s, made inside, root %s", t->label, maker, serial, object, id);
}

const struct sov_custodian_ops sov_custodian_pkcs11_ops = {
	.scheme = "pkcs11",
	.open = pkcs11_open,
	.wrap = pkcs11_wrap,
	.unwrap = pkcs11_unwrap,
	.describe = pkcs11_describe,
	.close = pkcs11_close,
};

/* --- a new root key --- */

static enum sov_code
generate(struct token *t, struct sov_error *err)
{
	CK_MECHANISM mech = {CKM_AES_KEY_GEN, NULL, 0};
	CK_ULONG	len = SOV_KEY_LEN;
	CK_ATTRIBUTE a[14] = {
		{CKA_CLASS, &secret_class, sizeof secret_class}, {CKA_KEY_TYPE, &aes, sizeof aes}, {CKA_VALUE_LEN, &len, sizeof len},
		{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1},
		{CKA_WRAP, &yes, 1}, {CKA_UNWRAP, &yes, 1}, {CKA_ENCRYPT, &no, 1}, {CKA_DECRYPT, &no, 1}};
	CK_ULONG	n = 11;
	CK_ATTRIBUTE *name;
	CK_RV		rv;

	if ((name = p11_kit_uri_get_attribute(t->uri, CKA_LABEL)) != NULL)
		a[n++] = *name;
	if ((name = p11_kit_uri_get_attribute(t->uri, CKA_ID)) != NULL)
		a[n++] = *name;
	rv = t->p->C_GenerateKey(t->session, &mech, a, n, &t->root);
	return rv == CKR_OK ? SOV_OK : pkcs11_failed(t, rv, "make a root key", err);
}

enum sov_code
sov_custodian_pkcs11_create(const char *uri, struct sov_error *err)
{
	struct token *t = NULL;
	CK_ULONG	n = 0;
	enum sov_code rc = pkcs11_reach(uri, true, &t, err);

	if (rc == SOV_OK)
		rc = count_roots(t, &n, err);
	if (rc == SOV_OK && n > 0)
		rc = sov_fail(err, SOV_E_EXISTS, "keep it: what it sealed cannot be opened without it; to make another give another name", "token \"%s\" has a key of this name already", t->label);
	if (rc == SOV_OK)
		rc = generate(t, err);
	if (t)
		pkcs11_close(&t->base);
	return rc;
}

/* (the root key of a URI that names an epoch) */
enum sov_code
sov_custodian_pkcs11_destroy(const char *uri, struct sov_error *err)
{
	struct token *t = NULL;
	CK_ULONG	n = 0;
	CK_RV		rv;
	enum sov_code rc = pkcs11_reach(uri, true, &t, err);

	if (rc == SOV_OK)
		rc = count_roots(t, &n, err);
	if (rc == SOV_OK && n != 1)
		rc = n == 0 ? sov_fail(err, SOV_E_NOTFOUND, NULL, "token \"%s\" has no such key", t->label)
			: sov_fail(err, SOV_E_KEY, "remove the one that is not needed with the token's own tool", "token \"%s\" has more than one key of this name", t->label);
	if (rc == SOV_OK && (rv = t->p->C_DestroyObject(t->session, t->root)) != CKR_OK)
		rc = pkcs11_failed(t, rv, "destroy a key", err);
	if (t)
		pkcs11_close(&t->base);
	return rc;
}
