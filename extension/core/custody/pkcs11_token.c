/*
 * pkcs11_token.c - a token of PKCS#11: finding it by its URI, logging in, and what went wrong.
 *
 * What is done there with the root key is in custodian_pkcs11.c.
 */
#include "pkcs11_token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIN_CAP 256

/* --- what went wrong --- */

enum sov_code
pkcs11_failed(struct token *t, CK_RV rv, const char *what, struct sov_error *err)
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

void
pkcs11_trimmed(char *dst, size_t cap, const CK_UTF8CHAR *src, size_t len)
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
	pkcs11_trimmed(t->label, sizeof t->label, t->info.label, sizeof t->info.label);
	return SOV_OK;
}

/* --- logging in --- */

static enum sov_code
check_pin_state(struct token *t, const char *source, struct sov_error *err)
{
	if (t->info.flags & CKF_USER_PIN_LOCKED)
		return pkcs11_failed(t, CKR_PIN_LOCKED, "log in", err);
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
		return pkcs11_failed(t, rv, "open a session", err);
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
		rc = pkcs11_failed(t, rv, "log in", err);
	return rc;
}

/* --- from the URI to the session --- */

void
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

enum sov_code
pkcs11_reach(const char *uri, bool writing, struct token **out, struct sov_error *err)
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
