/*
 * custodian_kmip.c - the root key in a KMIP server, found by its name.
 *
 * The server makes an AES-256 key and is asked never to hand it out (Sensitive, not
 * Extractable); it encrypts and decrypts with AES-256-GCM (SP 800-38D), tags of 16
 * bytes, nonces of 12 random bytes that are chosen here unless the server insists on its
 * own.  Whether the key is not extractable the server is asked every time; where it does
 * not say so, that is told, and the grade is lower: it may hand the key out to whoever it
 * lets in.
 *
 * Wrapped key: form u8 = 1 | nonce 12 | ciphertext 32 | tag 16.  The length of the tag
 * is that of the form, never what a message says: servers take short ones.  Root id: the
 * first 16 bytes of the SHA-256 of a fixed 32-byte text encrypted under a nonce that is
 * kept for it, so that a key made anew under the same name has another id.
 *
 * Runs in the helper (sov_custodian.h); kmip.c has shorter limits than its caller.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kmip.h"

#define FORM_GCM 1
#define SEALED_LEN (SOV_KEY_LEN + SOV_TAG_LEN)
#define WRAPPED_LEN (1 + SOV_NONCE_LEN + SEALED_LEN)

#define OBJECT_SYMMETRIC_KEY 2
#define ALGORITHM_AES 3
#define MODE_GCM 9
#define USAGE_ENCRYPT_DECRYPT 0x0c
#define STATE_PRE_ACTIVE 1
#define STATE_ACTIVE 2
#define STATE_DESTROYED 5
#define STATE_DESTROYED_COMPROMISED 6
#define CESSATION_OF_OPERATION 5

struct kmip
{
	struct sov_custodian base;	/* first */
	struct sov_custodian_service at;
	struct sov_kmip *k;
	char		uid[100];
	uint32_t	state;
	bool		inside;			/* the server says that it is not extractable */
};

/* --- what the server refuses --- */

static enum sov_code
refused(struct kmip *c, const struct sov_kmip_answer *a, const char *what, struct sov_error *err)
{
	const char *hint = "see the KMIP server's log";
	const char *why = "it refuses";

	switch (a->reason)
	{
		case KMIP_R_NOT_FOUND:
			why = "there is no such key";
			hint = "bring the old one back: a new one opens nothing";
			break;
		case KMIP_R_AUTHENTICATION:
			why = "it does not know this client";
			hint = "is the certificate in cert-file one for clients, of a name that the server knows?";
			break;
		case KMIP_R_DENIED:
			why = "this client may not";
			hint = "let the server's operator give the client (cert-file) the right to use the key, and see that the key is active";
			break;
		case KMIP_R_MESSAGE:
		case KMIP_R_OPERATION:
			why = "it cannot do this";
			hint = "the server must speak KMIP 1.4, with Encrypt and Decrypt by AES-GCM";
			break;
	}
	sov_fail(err, SOV_E_KEY, hint, "KMIP server %s:%s: could not %s key \"%s\": %s (reason %#x)", c->at.host, c->at.port, what, c->at.key, why, (unsigned) a->reason);
	err->retryable = a->reason == KMIP_R_GENERAL || a->reason == 0;
	return SOV_E_KEY;
}

/* --- finding the key --- */

static void
put_name(struct sov_ttlv_out *o, const char *name)
{
	size_t		attribute = sov_ttlv_begin(o, KMIP_ATTRIBUTE),
				value;

	sov_ttlv_string(o, KMIP_ATTRIBUTE_NAME, TTLV_TEXT, "Name", 4);
	value = sov_ttlv_begin(o, KMIP_ATTRIBUTE_VALUE);
	sov_ttlv_string(o, KMIP_NAME_VALUE, TTLV_TEXT, name, strlen(name));
	sov_ttlv_number(o, KMIP_NAME_TYPE, TTLV_ENUM, 1);
	sov_ttlv_end(o, value);
	sov_ttlv_end(o, attribute);
}

static void
put_attribute(struct sov_ttlv_out *o, const char *name, enum sov_ttlv_type type, uint32_t v)
{
	size_t		attribute = sov_ttlv_begin(o, KMIP_ATTRIBUTE);

	sov_ttlv_string(o, KMIP_ATTRIBUTE_NAME, TTLV_TEXT, name, strlen(name));
	sov_ttlv_number(o, KMIP_ATTRIBUTE_VALUE, type, v);
	sov_ttlv_end(o, attribute);
}

/* How many keys have the name; the first one's id is kept. */
static enum sov_code
locate(struct kmip *c, int *n, struct sov_error *err)
{
	struct sov_ttlv_out *o = sov_kmip_begin(c->k, KMIP_LOCATE);
	struct sov_kmip_answer a;
	struct sov_ttlv item;
	size_t		at = 0;
	enum sov_code rc;

	put_name(o, c->at.key);
	rc = sov_kmip_call(c->k, &a, err);
	*n = 0;
	if (rc == SOV_OK && a.status != 0)
		return refused(c, &a, "look for", err);
	while (rc == SOV_OK && sov_ttlv_next(&a.payload, &at, &item))
		if (item.tag == KMIP_UNIQUE_ID && ++*n == 1 && (!sov_ttlv_copy_text(&item, c->uid, sizeof c->uid) || c->uid[0] == '\0'))
			rc = sov_custodian_rubbish(&c->at, err);
	return rc;
}

struct seen
{
	const char *name;
	enum sov_ttlv_type type;
	uint32_t	value;
	bool		there;
};

static enum sov_code
read_attributes(struct kmip *c, struct seen *seen, int n, struct sov_error *err)
{
	struct sov_ttlv_out *o = sov_kmip_begin(c->k, KMIP_GET_ATTRIBUTES);
	struct sov_kmip_answer a;
	struct sov_ttlv item,
				name;
	char		text[60];
	size_t		at = 0;
	enum sov_code rc;

	sov_ttlv_string(o, KMIP_UNIQUE_ID, TTLV_TEXT, c->uid, strlen(c->uid));
	for (int i = 0; i < n; i++)
		sov_ttlv_string(o, KMIP_ATTRIBUTE_NAME, TTLV_TEXT, seen[i].name, strlen(seen[i].name));
	rc = sov_kmip_call(c->k, &a, err);
	if (rc != SOV_OK || a.status != 0)
		return rc != SOV_OK ? rc : refused(c, &a, "look at", err);
	while (sov_ttlv_next(&a.payload, &at, &item))
		if (item.tag == KMIP_ATTRIBUTE && sov_ttlv_find(&item, KMIP_ATTRIBUTE_NAME, TTLV_TEXT, &name) && sov_ttlv_copy_text(&name, text, sizeof text))
			for (int i = 0; i < n; i++)
				if (strcmp(seen[i].name, text) == 0)
					seen[i].there = sov_ttlv_find_number(&item, KMIP_ATTRIBUTE_VALUE, seen[i].type, &seen[i].value);
	return SOV_OK;
}

static enum sov_code
look_at_key(struct kmip *c, struct sov_error *err)
{
	struct seen seen[] = {
		{"State", TTLV_ENUM, 0, false}, {"Cryptographic Algorithm", TTLV_ENUM, 0, false}, {"Cryptographic Length", TTLV_INT, 0, false},
		{"Extractable", TTLV_BOOL, 1, false}, {"Never Extractable", TTLV_BOOL, 0, false}};
	enum sov_code rc = read_attributes(c, seen, sizeof seen / sizeof seen[0], err);

	if (rc != SOV_OK)
		return rc;
	if (!seen[0].there || !seen[1].there || !seen[2].there)
		return sov_custodian_rubbish(&c->at, err);
	if (seen[1].value != ALGORITHM_AES || seen[2].value != 8 * SOV_KEY_LEN)
		return sov_fail(err, SOV_E_KEY, "make one of another name: \"pg_sovereign key create-root URI\"",
						"KMIP server %s:%s: key \"%s\" cannot be a root key: it is not of AES with 256 bits", c->at.host, c->at.port, c->at.key);
	c->state = seen[0].value;
	c->inside = seen[3].there && seen[3].value == 0 && (!seen[4].there || seen[4].value == 1);
	c->base.grade = c->inside ? SOV_GRADE_DESTROY : SOV_GRADE_EFFORT;
	return SOV_OK;
}

/* --- encrypting and decrypting --- */

static void
put_cipher(struct kmip *c, struct sov_ttlv_out *o, const uint8_t *data, const uint8_t *nonce)
{
	size_t		parameters;

	sov_ttlv_string(o, KMIP_UNIQUE_ID, TTLV_TEXT, c->uid, strlen(c->uid));
	parameters = sov_ttlv_begin(o, KMIP_PARAMETERS);
	sov_ttlv_number(o, KMIP_BLOCK_CIPHER_MODE, TTLV_ENUM, MODE_GCM);
	sov_ttlv_number(o, KMIP_ALGORITHM, TTLV_ENUM, ALGORITHM_AES);
	sov_ttlv_number(o, KMIP_TAG_LENGTH, TTLV_INT, SOV_TAG_LEN);
	sov_ttlv_end(o, parameters);
	sov_ttlv_string(o, KMIP_DATA, TTLV_BYTES, data, SOV_KEY_LEN);
	sov_ttlv_string(o, KMIP_NONCE, TTLV_BYTES, nonce, SOV_NONCE_LEN);
}

/* *own: the server took another nonce, which is in nonce now. */
static enum sov_code
encrypt(struct kmip *c, const uint8_t in[32], uint8_t nonce[12], uint8_t out[SEALED_LEN], bool *own, struct sov_error *err)
{
	struct sov_kmip_answer a;
	struct sov_ttlv data,
				tag,
				used;
	enum sov_code rc;

	put_cipher(c, sov_kmip_begin(c->k, KMIP_ENCRYPT), in, nonce);
	rc = sov_kmip_call(c->k, &a, err);
	if (rc != SOV_OK || a.status != 0)
		return rc != SOV_OK ? rc : refused(c, &a, "encrypt with", err);
	*own = sov_ttlv_find(&a.payload, KMIP_NONCE, TTLV_BYTES, &used);
	if (!sov_ttlv_find(&a.payload, KMIP_DATA, TTLV_BYTES, &data) || data.len != SOV_KEY_LEN ||
		!sov_ttlv_find(&a.payload, KMIP_AUTH_TAG, TTLV_BYTES, &tag) || tag.len != SOV_TAG_LEN || (*own && used.len != SOV_NONCE_LEN))
		return sov_custodian_rubbish(&c->at, err);
	memcpy(out, data.value, SOV_KEY_LEN);
	memcpy(out + SOV_KEY_LEN, tag.value, SOV_TAG_LEN);
	*own = *own && memcmp(nonce, used.value, SOV_NONCE_LEN) != 0;
	if (*own)
		memcpy(nonce, used.value, SOV_NONCE_LEN);
	return SOV_OK;
}

static enum sov_code
learn_id(struct kmip *c, uint8_t id[16], struct sov_error *err)
{
	static const char label[] = "pg_sovereign root id v1";
	struct sov_span span = {label, sizeof label - 1};
	uint8_t		fixed[32],
				nonce[32],
				sealed[SEALED_LEN],
				hash[32];
	bool		own = false;
	enum sov_code rc = sov_sha256(&span, 1, fixed, err);

	span = (struct sov_span) {fixed, sizeof fixed};
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, nonce, err);
	if (rc == SOV_OK)
		rc = encrypt(c, fixed, nonce, sealed, &own, err);
	if (rc == SOV_OK && own)
		rc = sov_fail(err, SOV_E_KEY, "let its operator allow nonces that the client chooses", "KMIP server %s:%s takes no nonce, so that its root key cannot be told from others", c->at.host, c->at.port);
	span = (struct sov_span) {sealed, sizeof sealed};
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, hash, err);
	if (rc == SOV_OK)
		memcpy(id, hash, 16);
	return rc;
}

/* --- operations --- */

static void
kmip_close(struct sov_custodian *base)
{
	struct kmip *c = (struct kmip *) base;

	sov_kmip_free(c->k);
	free(c);
}

static enum sov_code
reach(const char *uri, struct kmip **out, int *found, struct sov_error *err)
{
	struct kmip *c = calloc(1, sizeof *c);
	enum sov_code rc;

	*out = c;
	if (c == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	c->base.ops = &sov_custodian_kmip_ops;
	rc = sov_custodian_service(uri, &c->at, err);
	if (rc == SOV_OK)
		rc = sov_custodian_service_files(&c->at, err);
	if (rc == SOV_OK)
		rc = sov_kmip_new(&c->at, &c->k, err);
	if (rc == SOV_OK)
		rc = locate(c, found, err);
	return rc == SOV_OK && *found == 1 ? look_at_key(c, err) : rc;
}

static enum sov_code
kmip_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	struct kmip *c;
	int			n = 0;
	enum sov_code rc = reach(uri, &c, &n, err);

	if (rc == SOV_OK && n != 1)
		rc = sov_fail(err, SOV_E_KEY, n ? "give the root key a name of its own" :
					  "\"pg_sovereign key create-root URI\" makes one, or its operator lets this client see it; for an existing repository or database bring back the old one: a new one opens nothing",
					  n ? "KMIP server %s:%s has more than one key \"%s\"" : "KMIP server %s:%s has no key \"%s\" for this client", c->at.host, c->at.port, c->at.key);
	if (rc == SOV_OK && c->state != STATE_ACTIVE)
		rc = sov_fail(err, SOV_E_KEY, c->state == STATE_PRE_ACTIVE ? "\"pg_sovereign key create-root URI\" activates it" : "the key was deactivated or destroyed: its server's operator may bring it back",
					  "KMIP server %s:%s: key \"%s\" is not active", c->at.host, c->at.port, c->at.key);
	if (rc == SOV_OK)
		rc = learn_id(c, c->base.root_id, err);
	if (rc == SOV_OK)
	{
		sov_kmip_disconnect(c->k);
		*out = &c->base;
	}
	else if (c != NULL)
		kmip_close(&c->base);
	return rc;
}

static enum sov_code
kmip_wrap(struct sov_custodian *base, const uint8_t key[32], uint8_t blob[SOV_KWP_MAX], size_t *blob_len, struct sov_error *err)
{
	struct kmip *c = (struct kmip *) base;
	bool		own;
	enum sov_code rc = sov_random(blob + 1, SOV_NONCE_LEN, err);

	if (rc == SOV_OK)
		rc = encrypt(c, key, blob + 1, blob + 1 + SOV_NONCE_LEN, &own, err);
	blob[0] = FORM_GCM;
	*blob_len = WRAPPED_LEN;
	sov_kmip_disconnect(c->k);
	return rc;
}

/* Servers say little of why they do not decrypt.  One that still encrypts by this key is
 * well: then it is what was to be decrypted. */
static enum sov_code
not_decrypted(struct kmip *c, const struct sov_kmip_answer *a, struct sov_error *err)
{
	uint32_t	reason = a->reason;
	uint8_t		now[16];
	char		id[37];
	enum sov_code rc;

	if (reason == KMIP_R_NOT_FOUND || reason == KMIP_R_AUTHENTICATION || reason == KMIP_R_DENIED || reason == KMIP_R_OPERATION)
		return refused(c, a, "decrypt with", err);
	rc = learn_id(c, now, err);
	if (rc != SOV_OK)
		return rc;
	sov_uuid_text(id, c->base.root_id);
	return sov_fail(err, SOV_E_KEY, "point \"root\" in [custody] to the root key that was used then",
					"root key %s (KMIP key \"%s\") does not open this key: it was wrapped under another root key, or is damaged", id, c->at.key);
}

static enum sov_code
kmip_unwrap(struct sov_custodian *base, const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err)
{
	struct kmip *c = (struct kmip *) base;
	const uint8_t *nonce = blob + 1,
			   *sealed = nonce + SOV_NONCE_LEN;
	struct sov_kmip_answer a;
	struct sov_ttlv_out *o;
	struct sov_ttlv data;
	enum sov_code rc;

	if (blob_len != WRAPPED_LEN || blob[0] != FORM_GCM)
		return sov_fail(err, SOV_E_KEY, "point \"root\" in [custody] to the root key that was used then", "no KMIP server wrapped this key, or it is damaged");
	o = sov_kmip_begin(c->k, KMIP_DECRYPT);
	put_cipher(c, o, sealed, nonce);
	sov_ttlv_string(o, KMIP_AUTH_TAG, TTLV_BYTES, sealed + SOV_KEY_LEN, SOV_TAG_LEN);
	rc = sov_kmip_call(c->k, &a, err);
	if (rc == SOV_OK && a.status != 0)
		rc = not_decrypted(c, &a, err);
	else if (rc == SOV_OK && (!sov_ttlv_find(&a.payload, KMIP_DATA, TTLV_BYTES, &data) || data.len != SOV_KEY_LEN))
		rc = sov_custodian_rubbish(&c->at, err);
	else if (rc == SOV_OK)
		memcpy(key, data.value, SOV_KEY_LEN);
	sov_kmip_disconnect(c->k);
	return rc;
}

static void
kmip_describe(struct sov_custodian *base, char *dst, size_t cap)
{
	struct kmip *c = (struct kmip *) base;
	char		id[37];

	sov_uuid_text(id, base->root_id);
	snprintf(dst, cap, "kmip key %.60s at %.60s, %s, root %s", c->at.key, c->at.host,
			 c->inside ? "not extractable" : "EXTRACTABLE for all that the server says", id);
}

const struct sov_custodian_ops sov_custodian_kmip_ops = {
	.scheme = "kmip",
	.open = kmip_open,
	.wrap = kmip_wrap,
	.unwrap = kmip_unwrap,
	.describe = kmip_describe,
	.close = kmip_close,
};

/* --- a new root key --- */

/* The answers of servers that lack an attribute. */
static bool
does_not_know(uint32_t reason)
{
	return reason == KMIP_R_MESSAGE || reason == KMIP_R_FIELD || reason == KMIP_R_FEATURE || reason == KMIP_R_ATTRIBUTE;
}

/* strict 2: sensitive and not extractable, 1: sensitive, 0: neither is asked for. */
static enum sov_code
generate(struct kmip *c, int strict, bool *made, struct sov_error *err)
{
	struct sov_ttlv_out *o = sov_kmip_begin(c->k, KMIP_CREATE);
	struct sov_kmip_answer a;
	struct sov_ttlv item;
	size_t		template;
	enum sov_code rc;

	sov_ttlv_number(o, KMIP_OBJECT_TYPE, TTLV_ENUM, OBJECT_SYMMETRIC_KEY);
	template = sov_ttlv_begin(o, KMIP_TEMPLATE);
	put_attribute(o, "Cryptographic Algorithm", TTLV_ENUM, ALGORITHM_AES);
	put_attribute(o, "Cryptographic Length", TTLV_INT, 8 * SOV_KEY_LEN);
	put_attribute(o, "Cryptographic Usage Mask", TTLV_INT, USAGE_ENCRYPT_DECRYPT);
	put_name(o, c->at.key);
	if (strict > 0)
		put_attribute(o, "Sensitive", TTLV_BOOL, 1);
	if (strict > 1)
		put_attribute(o, "Extractable", TTLV_BOOL, 0);
	sov_ttlv_end(o, template);
	rc = sov_kmip_call(c->k, &a, err);
	*made = rc == SOV_OK && a.status == 0;
	if (rc == SOV_OK && a.status != 0 && (strict == 0 || !does_not_know(a.reason)))
		rc = refused(c, &a, "make", err);
	if (!*made)
		return rc;
	if (!sov_ttlv_find(&a.payload, KMIP_UNIQUE_ID, TTLV_TEXT, &item) || !sov_ttlv_copy_text(&item, c->uid, sizeof c->uid))
		return sov_custodian_rubbish(&c->at, err);
	return SOV_OK;
}

static enum sov_code
activate(struct kmip *c, struct sov_error *err)
{
	struct sov_ttlv_out *o = sov_kmip_begin(c->k, KMIP_ACTIVATE);
	struct sov_kmip_answer a;
	enum sov_code rc;

	sov_ttlv_string(o, KMIP_UNIQUE_ID, TTLV_TEXT, c->uid, strlen(c->uid));
	rc = sov_kmip_call(c->k, &a, err);
	return rc == SOV_OK && a.status != 0 ? refused(c, &a, "activate", err) : rc;
}

/* One that was made and not activated, because this was stopped in between, is taken over. */
enum sov_code
sov_custodian_kmip_create(const char *uri, struct sov_error *err)
{
	struct kmip *c;
	int			n = 0;
	bool		made = false;
	enum sov_code rc = reach(uri, &c, &n, err);

	if (rc == SOV_OK && n > 0 && (n > 1 || c->state != STATE_PRE_ACTIVE))
		rc = sov_fail(err, SOV_E_EXISTS, "keep it: what it sealed cannot be opened without it; to make another give another name", "KMIP server %s:%s has a key \"%s\" already", c->at.host, c->at.port, c->at.key);
	for (int strict = 2; strict >= 0 && rc == SOV_OK && n == 0 && !made; strict--)
		rc = generate(c, strict, &made, err);
	if (rc == SOV_OK)
		rc = activate(c, err);
	if (c != NULL)
		kmip_close(&c->base);
	return rc;
}

static enum sov_code
end_key(struct kmip *c, enum sov_kmip_operation op, struct sov_error *err)
{
	struct sov_ttlv_out *o = sov_kmip_begin(c->k, op);
	struct sov_kmip_answer a;
	size_t		reason;
	enum sov_code rc;

	sov_ttlv_string(o, KMIP_UNIQUE_ID, TTLV_TEXT, c->uid, strlen(c->uid));
	if (op == KMIP_REVOKE)
	{
		reason = sov_ttlv_begin(o, KMIP_REVOCATION_REASON);
		sov_ttlv_number(o, KMIP_REVOCATION_CODE, TTLV_ENUM, CESSATION_OF_OPERATION);
		sov_ttlv_end(o, reason);
	}
	rc = sov_kmip_call(c->k, &a, err);
	return rc == SOV_OK && a.status != 0 ? refused(c, &a, op == KMIP_REVOKE ? "deactivate" : "destroy", err) : rc;
}

/* An active key is deactivated first, which the protocol asks for. */
enum sov_code
sov_custodian_kmip_destroy(const char *uri, struct sov_error *err)
{
	struct kmip *c;
	int			n = 0;
	enum sov_code rc = reach(uri, &c, &n, err);

	if (rc == SOV_OK && n > 1)
		rc = sov_fail(err, SOV_E_KEY, "have its operator remove the one that is not needed", "KMIP server %s:%s has more than one key \"%s\"", c->at.host, c->at.port, c->at.key);
	if (rc == SOV_OK && (n == 0 || c->state == STATE_DESTROYED || c->state == STATE_DESTROYED_COMPROMISED))
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "KMIP server %s:%s has no key \"%s\"", c->at.host, c->at.port, c->at.key);
	if (rc == SOV_OK && c->state == STATE_ACTIVE)
		rc = end_key(c, KMIP_REVOKE, err);
	if (rc == SOV_OK)
		rc = end_key(c, KMIP_DESTROY, err);
	if (c != NULL)
		kmip_close(&c->base);
	return rc;
}
