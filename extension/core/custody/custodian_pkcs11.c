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
#include "custodian_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#ifndef CKM_AES_KEY_WRAP_PAD
#define CKM_AES_KEY_WRAP_PAD 0x210aUL
#endif
#define MECH_KWP 0x210bUL		/* of PKCS#11 3.0 */
#define PIN_CAP 256

static const CK_MECHANISM_TYPE mechanisms[] = {MECH_KWP, CKM_AES_KEY_WRAP_PAD, 0x2109UL /* CKM_AES_KEY_WRAP */};
#define N_MECHANISMS ((int) (sizeof mechanisms / sizeof mechanisms[0]))

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

static CK_BBOOL yes = CK_TRUE,
			no = CK_FALSE;
static CK_OBJECT_CLASS secret_class = CKO_SECRET_KEY;
static CK_KEY_TYPE aes = CKK_AES;

/* --- what went wrong --- */

static enum sov_code
failed(struct token *t, CK_RV rv, const char *what, struct sov_error *err)
{
	enum sov_code code = SOV_E_KEY;
	const char *hint = NULL;
	bool		retry = false;

	switch (rv)
	{
		case CKR_PIN_INCORRECT:
		case CKR_PIN_INVALID:
		case CKR_PIN_LEN_RANGE:
			return sov_fail(err, SOV_E_KEY, "correct the PIN before you try again: after a few wrong ones the token locks it",
							"the PIN of token \"%s\" is wrong", t->label);
		case CKR_PIN_LOCKED:
			return sov_fail(err, SOV_E_KEY, "the token's security officer can set a new PIN", "the PIN of token \"%s\" is locked", t->label);
		case CKR_PIN_EXPIRED:
			return sov_fail(err, SOV_E_KEY, "set a new PIN with the token's own tool", "the PIN of token \"%s\" has expired", t->label);
		case CKR_DEVICE_MEMORY:
			code = SOV_E_FULL;
			hint = "the token is full: remove objects that are not needed, or sessions of other programs";
			break;
		case CKR_DEVICE_REMOVED:
		case CKR_TOKEN_NOT_PRESENT:
		case CKR_SESSION_HANDLE_INVALID:
		case CKR_SESSION_CLOSED:
			hint = "connect the HSM again: work goes on by itself";
			retry = true;
			break;
		case CKR_DEVICE_ERROR:
		case CKR_FUNCTION_FAILED:
		case CKR_GENERAL_ERROR:
		case CKR_SESSION_COUNT:
		case CKR_HOST_MEMORY:
			hint = "see the HSM's own log";
			retry = true;
			break;
		case CKR_TOKEN_WRITE_PROTECTED:
			hint = "the token is write-protected, or not for keys";
			break;
		case CKR_TEMPLATE_INCONSISTENT:
		case CKR_ATTRIBUTE_VALUE_INVALID:
			hint = "the HSM's policy must let a session key be imported, wrapped and read back (only the root key stays inside)";
			break;
	}
	sov_fail(err, code, hint, "token \"%s\": could not %s: %s", t->label, what, p11_kit_strerror(rv));
	err->retryable = retry;
	return code;
}

/* --- finding the token --- */

static void
space_trimmed(char *dst, size_t cap, const CK_UTF8CHAR *src, size_t len)
{
	while (len > 0 && (src[len - 1] == ' ' || src[len - 1] == '\0'))
		len--;
	snprintf(dst, cap, "%.*s", (int) len, (const char *) src);
}

static enum sov_code
load_modules(struct token *t, struct sov_error *err)
{
	const char *path = p11_kit_uri_get_module_path(t->uri);

	if (path == NULL)
	{
		t->modules = p11_kit_modules_load_and_initialize(0);
		if (t->modules == NULL)
			return sov_fail(err, SOV_E_KEY, "see \"p11-kit list-modules\"", "could not load the PKCS#11 modules of this system: %s", p11_kit_message());
		return SOV_OK;
	}
	t->one = true;
	t->modules = calloc(2, sizeof *t->modules);
	if (t->modules == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	t->modules[0] = p11_kit_module_load(path, 0);
	if (t->modules[0] == NULL || p11_kit_module_initialize(t->modules[0]) != CKR_OK)
		return sov_fail(err, SOV_E_KEY, "is module-path right, and may this user read it?", "could not load PKCS#11 module %.200s: %s", path, p11_kit_message() ? p11_kit_message() : "it refuses to start");
	return SOV_OK;
}

/* Count the tokens that the URI fits; the last one is kept. */
static int
match_tokens(struct token *t)
{
	int			n = 0;

	for (int m = 0; t->modules[m] != NULL; m++)
	{
		CK_SLOT_ID	slots[64];
		CK_ULONG	n_slots = 64;

		if (t->modules[m]->C_GetSlotList(CK_TRUE, slots, &n_slots) != CKR_OK)
			continue;
		for (CK_ULONG s = 0; s < n_slots; s++)
		{
			CK_TOKEN_INFO info;

			if (t->modules[m]->C_GetTokenInfo(slots[s], &info) != CKR_OK ||
				!(info.flags & CKF_TOKEN_INITIALIZED) || !p11_kit_uri_match_token_info(t->uri, &info))
				continue;
			n++;
			t->p = t->modules[m];
			t->slot = slots[s];
			t->info = info;
		}
	}
	return n;
}

static enum sov_code
find_token(struct token *t, struct sov_error *err)
{
	enum sov_code rc = load_modules(t, err);
	int			n = rc == SOV_OK ? match_tokens(t) : 0;

	if (rc != SOV_OK)
		return rc;
	if (n != 1)
	{
		sov_fail(err, SOV_E_KEY, n ? "write more of it into the URI: serial=..., manufacturer=..." : "is the HSM connected, and is the token's name right? See \"p11-kit list-modules\"",
				 n ? "%d tokens fit the URI" : "no token fits the URI: it is missing, or has another name", n);
		err->retryable = n == 0;
		return SOV_E_KEY;
	}
	space_trimmed(t->label, sizeof t->label, t->info.label, sizeof t->info.label);
	return SOV_OK;
}

/* --- logging in --- */

static enum sov_code
check_pin_state(struct token *t, const char *source, struct sov_error *err)
{
	if (t->info.flags & CKF_USER_PIN_LOCKED)
		return failed(t, CKR_PIN_LOCKED, "log in", err);
	if ((t->info.flags & CKF_USER_PIN_FINAL_TRY) && source != NULL)
		return sov_fail(err, SOV_E_KEY, "log in once with the right PIN by the token's own tool, or by \"pg_sovereign key show\" with a URI without pin-source",
						"token \"%s\" has one try left before its PIN is locked, which is not spent on the PIN of a file", t->label);
	return SOV_OK;
}

static enum sov_code
log_in(struct token *t, bool writing, struct sov_error *err)
{
	const char *source = p11_kit_uri_get_pin_source(t->uri);
	char	   *pin,
				what[100];
	CK_RV		rv = t->p->C_OpenSession(t->slot, CKF_SERIAL_SESSION | (writing ? CKF_RW_SESSION : 0), NULL, NULL, &t->session);
	enum sov_code rc;

	if (rv != CKR_OK)
		return failed(t, rv, "open a session", err);
	if (!(t->info.flags & CKF_LOGIN_REQUIRED))
		return SOV_OK;
	rc = check_pin_state(t, source, err);
	if (rc != SOV_OK)
		return rc;
	pin = sov_secret_alloc(PIN_CAP, err);
	if (pin == NULL)
		return SOV_E_NOMEM;
	snprintf(what, sizeof what, "PIN of token \"%s\"", t->label);
	rc = sov_custodian_read_secret(source, what, pin, PIN_CAP, err);
	if (rc == SOV_OK)
		rv = t->p->C_Login(t->session, CKU_USER, (CK_UTF8CHAR_PTR) pin, strlen(pin));
	sov_secret_free(pin);
	if (rc == SOV_OK && rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)
		rc = failed(t, rv, "log in", err);
	return rc;
}

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
		return failed(t, rv, "look for the root key", err);
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
		return failed(t, rv, "look at the root key", err);
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
		return failed(t, rv, "take a key to wrap", err);
	rv = t->p->C_WrapKey(t->session, &mech, t->root, object, out, len);
	(void) t->p->C_DestroyObject(t->session, object);
	return rv == CKR_OK ? SOV_OK : failed(t, rv, "wrap a key", err);
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

static void
pkcs11_close(struct sov_custodian *c)
{
	struct token *t = (struct token *) c;

	/* the login ends with the last session, which may be another's */
	if (t->session)
		(void) t->p->C_CloseSession(t->session);
	if (t->one && t->modules && t->modules[0])
	{
		(void) p11_kit_module_finalize(t->modules[0]);
		p11_kit_module_release(t->modules[0]);
	}
	else if (!t->one && t->modules)
		p11_kit_modules_finalize_and_release(t->modules);
	if (t->one)
		free(t->modules);
	if (t->uri)
		p11_kit_uri_free(t->uri);
	free(t);
}

/* As far as being logged in at the token. */
static enum sov_code
reach(const char *uri, bool writing, struct token **out, struct sov_error *err)
{
	struct token *t = calloc(1, sizeof *t);
	enum sov_code rc = SOV_OK;
	int			bad;

	if (t == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	*out = t;
	t->base.ops = &sov_custodian_pkcs11_ops;
	t->base.grade = SOV_GRADE_DESTROY;
	t->uri = p11_kit_uri_new();
	if (t->uri == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	bad = p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, t->uri);
	if (bad != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(t->uri))
		return sov_fail(err, SOV_E_CONFIG, "it is written as RFC 7512 says, for example: pkcs11:token=controller;object=root?pin-source=file:/etc/pg_sovereign/pin",
						"the PKCS#11 URI cannot be used: %s", bad ? p11_kit_uri_message(bad) : "it names an attribute that is not known");
	rc = find_token(t, err);
	return rc == SOV_OK ? log_in(t, writing, err) : rc;
}

static enum sov_code
pkcs11_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	struct token *t = NULL;
	CK_ULONG	n = 0;
	enum sov_code rc = reach(uri, false, &t, err);

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
		return failed(t, rv, "unwrap a key", err);
	rv = t->p->C_GetAttributeValue(t->session, object, &value, 1);
	(void) t->p->C_DestroyObject(t->session, object);
	if (rv != CKR_OK || value.ulValueLen != SOV_KEY_LEN)
	{
		sov_wipe(key, SOV_KEY_LEN);
		return rv != CKR_OK ? failed(t, rv, "read an unwrapped key", err)
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
	space_trimmed(maker, sizeof maker, t->info.manufacturerID, sizeof t->info.manufacturerID);
	space_trimmed(serial, sizeof serial, t->info.serialNumber, sizeof t->info.serialNumber);
	if (a != NULL)
		space_trimmed(object, sizeof object, a->pValue, a->ulValueLen);
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
	return rv == CKR_OK ? SOV_OK : failed(t, rv, "make a root key", err);
}

enum sov_code
sov_custodian_pkcs11_create(const char *uri, struct sov_error *err)
{
	struct token *t = NULL;
	CK_ULONG	n = 0;
	enum sov_code rc = reach(uri, true, &t, err);

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
	enum sov_code rc = reach(uri, true, &t, err);

	if (rc == SOV_OK)
		rc = count_roots(t, &n, err);
	if (rc == SOV_OK && n != 1)
		rc = n == 0 ? sov_fail(err, SOV_E_NOTFOUND, NULL, "token \"%s\" has no such key", t->label)
			: sov_fail(err, SOV_E_KEY, "remove the one that is not needed with the token's own tool", "token \"%s\" has more than one key of this name", t->label);
	if (rc == SOV_OK && (rv = t->p->C_DestroyObject(t->session, t->root)) != CKR_OK)
		rc = failed(t, rv, "destroy a key", err);
	if (t)
		pkcs11_close(&t->base);
	return rc;
}
