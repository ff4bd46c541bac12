/*
 * custodian_vault.c - the root key in HashiCorp Vault or OpenBao (transit engine).
 *
 * The root key is a key of the transit engine, made there; keys are sent over TLS to be
 * encrypted and decrypted by it.  Wrapped key: Vault's own text, "vault:vN:" and base64
 * of nonce, AES-256-GCM's 32 bytes and tag, N being the key's version then.  Only that
 * form is sent back to Vault: it takes others, so that a damaged one might be opened.
 * Root id: the first 16 bytes of Vault's HMAC-SHA256, by version 1 of the key, of the
 * SHA-256 of a label: the same wherever the key has been moved to, and another for a key
 * that was deleted and made again.
 *
 * The token is read from its file for every request, since an agent renews it.  A
 * connection ends with the call: what it received of keys does not stay in its buffers.
 *
 * Runs in the helper (sov_custodian.h), which wipes the memory that libraries free.  The
 * limits here are shorter than its caller's, so that its caller is told why.
 */
#include "custodian_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "../../../providers/http.h"

#define ANSWER_CAP 16384
#define BODY_CAP 512
#define TOKEN_CAP 2048			/* batch tokens are long */
#define CIPHER_LEN 80			/* base64 of 12 + 32 + 16 bytes */
#define TYPE "aes256-gcm96"
#define KEY_GONE "key not found"	/* of encrypt and decrypt, with 400 */

struct vault
{
	struct sov_custodian base;	/* first */
	struct sov_custodian_service at;
	struct sov_provider_config *settings;
	struct sov_net *net;		/* of the call that runs, or NULL */
	char	   *token,			/* secret memory, all three */
			   *body,
			   *answer;
	int			version;		/* newest */
	bool		exportable;		/* or its backup is in the clear */
};

/* --- requests --- */

static enum sov_code
connect_again(struct vault *v, struct sov_error *err)
{
	if (v->net != NULL)
		return SOV_OK;
	return sov_net_open(v->settings, &v->net, err);
}

static void
disconnect(struct vault *v)
{
	sov_net_close(v->net);
	v->net = NULL;
	sov_wipe(v->body, BODY_CAP);
	sov_wipe(v->answer, ANSWER_CAP);
	sov_wipe(v->token, TOKEN_CAP);
}

/* v->body is sent when it is not empty; a success's body is v->answer. */
static enum sov_code
exchange(struct vault *v, const char *method, const char *path, struct sov_http_reply *reply, struct sov_error *err)
{
	char		url[600];
	struct sov_buf sink = {.data = (uint8_t *) v->answer, .cap = ANSWER_CAP};
	struct sov_put_span span = {v->body, strlen(v->body)};
	struct sov_http_request req = {.method = method, .url = url, .spans = &span, .n_spans = span.len ? 1 : -1, .sink = &sink, .sink_max = ANSWER_CAP - 1};
	enum sov_code rc = connect_again(v, err);

	memset(reply, 0, sizeof *reply);
	if (rc == SOV_OK)
		rc = sov_custodian_read_secret(v->at.token_file, "Vault token", v->token, TOKEN_CAP, err);
	if (rc != SOV_OK)
		return rc;
	snprintf(url, sizeof url, "%s/v1/%s", sov_net_endpoint(v->net), path);
	sov_http_add(&req.lines, "X-Vault-Token: %s", v->token);
	sov_http_add(&req.lines, "X-Vault-Request: true");
	if (v->at.namespace[0] != '\0')
		sov_http_add(&req.lines, "X-Vault-Namespace: %s", v->at.namespace);
	if (span.len > 0)
		sov_http_add(&req.lines, "Content-Type: application/json");
	sov_wipe(v->token, TOKEN_CAP);
	rc = sov_http_send(v->net, &req, reply, err);
	sov_http_clear(&req.lines);
	v->answer[sink.len] = '\0';
	return rc == SOV_OK ? rc : sov_custodian_unreachable(&v->at, err);
}

/* Its words are looked for and never shown: it could send back what it got. */
static bool
says(const struct sov_http_reply *reply, const char *words)
{
	return reply->body.len > 0 && memmem(reply->body.data, reply->body.len, words, strlen(words)) != NULL;
}

/* 403 is the answer to a token that has ended and to one that may not. */
static enum sov_code
denied(struct vault *v, const char *what, struct sov_error *err)
{
	struct sov_http_reply reply;
	char		hint[300];
	enum sov_code rc;

	sov_wipe(v->body, BODY_CAP);
	rc = exchange(v, "GET", "auth/token/lookup-self", &reply, err);
	sov_http_reply_free(&reply);
	if (rc != SOV_OK)
		return rc;
	if (reply.status == 403)
	{
		snprintf(hint, sizeof hint, "write a new token into %.200s; a Vault agent keeps one there that does not expire", v->at.token_file);
		sov_fail(err, SOV_E_KEY, hint, "Vault at %s:%s does not take the token: it has expired, was revoked, or is of another Vault", v->at.host, v->at.port);
	}
	else
	{
		snprintf(hint, sizeof hint, "the token's policy needs read on %s/keys/%.60s, and update on %s/encrypt/..., /decrypt/... and /hmac/... of it",
				 v->at.mount, v->at.key, v->at.mount);
		sov_fail(err, SOV_E_KEY, hint, "Vault at %s:%s does not permit to %s key \"%s\"", v->at.host, v->at.port, what, v->at.key);
	}
	err->retryable = false;		/* revoking it is how to take keys back at once */
	return SOV_E_KEY;
}

/* The error record of an answer that is none of those that were expected. */
static enum sov_code
refused(struct vault *v, const struct sov_http_reply *reply, const char *what, struct sov_error *err)
{
	int			s = reply->status;
	const char *hint = NULL;
	char		why[60];

	if (s == 403)
		return denied(v, what, err);
	snprintf(why, sizeof why, "it answers %d", s);
	if (s == 503 && says(reply, "sealed"))
	{
		snprintf(why, sizeof why, "it is sealed");
		hint = "unseal it (vault operator unseal): work goes on by itself";
	}
	else if (s == 404 && says(reply, "no handler"))
		hint = "is the mount's name right, and the namespace's? (vault secrets enable transit)";
	else if (s == 404 || says(reply, KEY_GONE))
	{
		snprintf(why, sizeof why, "there is no such key");
		hint = "\"pg_sovereign key create-root URI\" makes one; for an existing repository or database bring back the old one: a new one opens nothing";
	}
	else if (s >= 300 && s < 400)
		hint = "it is a standby that sends elsewhere: name the active one, or the address before them";
	else if (says(reply, "version is too old") || says(reply, "disallowed by policy"))
	{
		snprintf(why, sizeof why, "it has retired an older version of the key");
		hint = "set min_decryption_version and min_encryption_version of the key back to 1; an old root key is taken out of use by \"pg_sovereign key rotate-root\"";
	}
	else if (s == 429 || s >= 500)
		hint = "see Vault's own log; it is asked again later";
	sov_fail(err, SOV_E_KEY, hint, "Vault at %s:%s: could not %s key \"%s\": %s", v->at.host, v->at.port, what, v->at.key, why);
	err->retryable = s == 429 || s >= 500 || s < 400;
	return SOV_E_KEY;
}

/* *data is the answer's object of this name, to be let go of by json_decref. */
static enum sov_code
data_of(struct vault *v, json_t **data, struct sov_error *err)
{
	json_t	   *whole = json_loads(v->answer, JSON_REJECT_DUPLICATES, NULL);

	*data = json_incref(json_object_get(whole, "data"));
	json_decref(whole);
	return json_is_object(*data) ? SOV_OK : sov_custodian_rubbish(&v->at, err);
}

/* Ask "MOUNT/WHAT/NAME" and get its data. */
static enum sov_code
ask(struct vault *v, const char *what, struct sov_http_reply *reply, json_t **data, struct sov_error *err)
{
	char		path[300];
	enum sov_code rc;

	*data = NULL;
	snprintf(path, sizeof path, "%s/%s/%s", v->at.mount, what, v->at.key);
	rc = exchange(v, v->body[0] ? "POST" : "GET", path, reply, err);
	if (rc == SOV_OK && reply->status == 200)
		rc = data_of(v, data, err);
	sov_wipe(v->body, BODY_CAP);
	return rc;
}

/* --- the root key --- */

static enum sov_code
unfit(struct vault *v, const char *why, struct sov_error *err)
{
	return sov_fail(err, SOV_E_KEY, "make one of another name: \"pg_sovereign key create-root URI\"", "Vault at %s:%s: key \"%s\" cannot be a root key: %s", v->at.host, v->at.port, v->at.key, why);
}

/* *absent may be NULL: then an absent key is an error. */
static enum sov_code
look_at_key(struct vault *v, bool *absent, struct sov_error *err)
{
	struct sov_http_reply reply;
	json_t	   *data;
	const char *type;
	enum sov_code rc = ask(v, "keys", &reply, &data, err);

	if (rc == SOV_OK && reply.status != 200)
	{
		if (absent != NULL && reply.status == 404 && !says(&reply, "no handler"))
			*absent = true;
		else
			rc = refused(v, &reply, "look at", err);
	}
	else if (rc == SOV_OK)
	{
		type = json_string_value(json_object_get(data, "type"));
		v->version = (int) json_integer_value(json_object_get(data, "latest_version"));
		v->exportable = !json_is_false(json_object_get(data, "exportable")) || !json_is_false(json_object_get(data, "allow_plaintext_backup"));
		if (type == NULL || v->version < 1)
			rc = sov_custodian_rubbish(&v->at, err);
		else if (strcmp(type, TYPE) != 0)
			rc = unfit(v, "it is not of the type " TYPE, err);
		else if (json_is_true(json_object_get(data, "derived")))
			rc = unfit(v, "it is derived", err);
	}
	json_decref(data);
	sov_http_reply_free(&reply);
	v->base.grade = v->exportable ? SOV_GRADE_EFFORT : SOV_GRADE_DESTROY;
	return rc;
}

static enum sov_code
learn_id(struct vault *v, struct sov_error *err)
{
	static const char label[] = "pg_sovereign root id v1";
	struct sov_span span = {label, sizeof label - 1};
	struct sov_http_reply reply;
	uint8_t		fixed[32],
				mac[32];
	char		text[SOV_KEY_TEXT_LEN + 1] = "";
	const char *hmac;
	json_t	   *data;
	enum sov_code rc = sov_sha256(&span, 1, fixed, err);

	if (rc != SOV_OK)
		return rc;
	sov_custodian_key_text(fixed, text);
	snprintf(v->body, BODY_CAP, "{\"input\":\"%s\",\"algorithm\":\"sha2-256\",\"key_version\":1}", text);
	rc = ask(v, "hmac", &reply, &data, err);
	if (rc == SOV_OK && reply.status != 200)
		rc = refused(v, &reply, "identify", err);
	hmac = json_string_value(json_object_get(data, "hmac"));
	if (rc == SOV_OK && (hmac == NULL || strncmp(hmac, "vault:v1:", 9) != 0 || strlen(hmac) != 9 + SOV_KEY_TEXT_LEN || !sov_custodian_text_key(mac, hmac + 9)))
		rc = sov_custodian_rubbish(&v->at, err);
	if (rc == SOV_OK)
		memcpy(v->base.root_id, mac, 16);
	json_decref(data);
	sov_http_reply_free(&reply);
	return rc;
}

/* --- operations --- */

static void
vault_close(struct sov_custodian *c)
{
	struct vault *v = (struct vault *) c;

	sov_net_close(v->net);
	sov_secret_free(v->token);
	sov_secret_free(v->body);
	sov_secret_free(v->answer);
	free(v->settings);
	free(v);
}

static enum sov_code
reach(const char *uri, struct vault **out, struct sov_error *err)
{
	struct vault *v = calloc(1, sizeof *v);
	enum sov_code rc;

	*out = v;
	if (v == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	v->base.ops = &sov_custodian_vault_ops;
	rc = sov_custodian_service(uri, &v->at, err);
	if (rc == SOV_OK)
		rc = sov_custodian_service_files(&v->at, err);
	if (rc == SOV_OK)
		rc = sov_custodian_service_settings(&v->at, &v->settings, err);
	if (rc == SOV_OK && ((v->token = sov_secret_alloc(TOKEN_CAP, err)) == NULL || (v->body = sov_secret_alloc(BODY_CAP, err)) == NULL ||
						 (v->answer = sov_secret_alloc(ANSWER_CAP, err)) == NULL))
		rc = SOV_E_NOMEM;
	return rc;
}

static enum sov_code
vault_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	struct vault *v;
	enum sov_code rc = reach(uri, &v, err);

	if (rc == SOV_OK)
		rc = look_at_key(v, NULL, err);
	if (rc == SOV_OK)
		rc = learn_id(v, err);
	if (rc == SOV_OK)
	{
		disconnect(v);
		*out = &v->base;
	}
	else if (v != NULL)
		vault_close(&v->base);
	return rc;
}

/* "vault:vN:" and CIPHER_LEN digits of base64; N from 1 */
static bool
is_ciphertext(const char *text, size_t len)
{
	size_t		digits;

	if (len < 9 + CIPHER_LEN || strlen(text) != len || strncmp(text, "vault:v", 7) != 0 || text[7] == '0')
		return false;
	digits = strspn(text + 7, "0123456789");
	return digits >= 1 && digits <= 9 && text[7 + digits] == ':' && len == 8 + digits + CIPHER_LEN &&
		strspn(text + 8 + digits, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == CIPHER_LEN;
}

static enum sov_code
vault_wrap(struct sov_custodian *c, const uint8_t key[32], uint8_t blob[SOV_KWP_MAX], size_t *blob_len, struct sov_error *err)
{
	struct vault *v = (struct vault *) c;
	struct sov_http_reply reply;
	const char *text;
	json_t	   *data;
	enum sov_code rc;

	memcpy(v->body, "{\"plaintext\":\"", 14);
	sov_custodian_key_text(key, v->body + 14);
	strcpy(v->body + 14 + SOV_KEY_TEXT_LEN, "\"}");
	rc = ask(v, "encrypt", &reply, &data, err);
	if (rc == SOV_OK && reply.status != 200)
		rc = refused(v, &reply, "encrypt with", err);
	text = json_string_value(json_object_get(data, "ciphertext"));
	if (rc == SOV_OK && (text == NULL || !is_ciphertext(text, strlen(text)) || strlen(text) > SOV_KWP_MAX))
		rc = sov_custodian_rubbish(&v->at, err);
	if (rc == SOV_OK)
	{
		*blob_len = strlen(text);
		memcpy(blob, text, *blob_len);
	}
	json_decref(data);
	sov_http_reply_free(&reply);
	disconnect(v);
	return rc;
}

static enum sov_code
vault_unwrap(struct sov_custodian *c, const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err)
{
	struct vault *v = (struct vault *) c;
	struct sov_http_reply reply;
	const char *text;
	char		sent[SOV_KWP_MAX + 1] = "",
				id[37];
	json_t	   *data;
	enum sov_code rc;

	memcpy(sent, blob, blob_len < SOV_KWP_MAX ? blob_len : SOV_KWP_MAX);
	if (!is_ciphertext(sent, blob_len))
		return sov_fail(err, SOV_E_KEY, "point \"root\" in [custody] to the root key that was used then", "no Vault wrapped this key, or it is damaged");
	snprintf(v->body, BODY_CAP, "{\"ciphertext\":\"%s\"}", sent);
	rc = ask(v, "decrypt", &reply, &data, err);
	sov_uuid_text(id, c->root_id);
	if (rc == SOV_OK && reply.status == 400 && !says(&reply, "disallowed by policy") && !says(&reply, KEY_GONE))
		rc = sov_fail(err, SOV_E_KEY, "point \"root\" in [custody] to the root key that was used then",
					  "root key %s (Vault's \"%s\") does not open this key: it was wrapped under another root key, or is damaged", id, v->at.key);
	else if (rc == SOV_OK && reply.status != 200)
		rc = refused(v, &reply, "decrypt with", err);
	text = json_string_value(json_object_get(data, "plaintext"));
	if (rc == SOV_OK && (text == NULL || strlen(text) != SOV_KEY_TEXT_LEN || !sov_custodian_text_key(key, text)))
	{
		sov_wipe(key, SOV_KEY_LEN);
		rc = sov_custodian_rubbish(&v->at, err);
	}
	json_decref(data);
	sov_http_reply_free(&reply);
	disconnect(v);
	return rc;
}

static void
vault_describe(struct sov_custodian *c, char *dst, size_t cap)
{
	struct vault *v = (struct vault *) c;
	char		id[37];

	sov_uuid_text(id, c->root_id);
	snprintf(dst, cap, "vault key %.60s of %.20s at %.70s, version %d, %s, root %s", v->at.key, v->at.mount, v->at.host, v->version,
			 v->exportable ? "EXPORTABLE: copies may be elsewhere" : "not exportable", id);
}

const struct sov_custodian_ops sov_custodian_vault_ops = {
	.scheme = "vault",
	.open = vault_open,
	.wrap = vault_wrap,
	.unwrap = vault_unwrap,
	.describe = vault_describe,
	.close = vault_close,
};

/* --- a new root key --- */

static enum sov_code
generate(struct vault *v, struct sov_error *err)
{
	struct sov_http_reply reply;
	char		path[300];
	enum sov_code rc;

	snprintf(path, sizeof path, "%s/keys/%s", v->at.mount, v->at.key);
	snprintf(v->body, BODY_CAP, "{\"type\":\"" TYPE "\",\"exportable\":false,\"allow_plaintext_backup\":false}");
	rc = exchange(v, "POST", path, &reply, err);
	sov_wipe(v->body, BODY_CAP);
	if (rc == SOV_OK && reply.status != 200 && reply.status != 204)
		rc = refused(v, &reply, "make", err);
	sov_http_reply_free(&reply);
	return rc;
}

enum sov_code
sov_custodian_vault_create(const char *uri, struct sov_error *err)
{
	struct vault *v;
	bool		absent = false;
	enum sov_code rc = reach(uri, &v, err);

	if (rc == SOV_OK)
		rc = look_at_key(v, &absent, err);
	if (rc == SOV_OK && !absent)
		rc = sov_fail(err, SOV_E_EXISTS, "keep it: what it sealed cannot be opened without it; to make another give another name", "Vault at %s:%s has a key \"%s\" already", v->at.host, v->at.port, v->at.key);
	if (rc == SOV_OK)
		rc = generate(v, err);
	if (rc == SOV_OK)
		rc = look_at_key(v, NULL, err);
	if (rc == SOV_OK && v->exportable)
		rc = unfit(v, "it was made exportable", err);
	if (v != NULL)
		vault_close(&v->base);
	return rc;
}

static enum sov_code
end_key(struct vault *v, const char *method, const char *more, const char *body, struct sov_error *err)
{
	struct sov_http_reply reply;
	char		path[300];
	enum sov_code rc;

	snprintf(path, sizeof path, "%s/keys/%s%s", v->at.mount, v->at.key, more);
	snprintf(v->body, BODY_CAP, "%s", body);
	rc = exchange(v, method, path, &reply, err);
	sov_wipe(v->body, BODY_CAP);
	if (rc == SOV_OK && reply.status != 200 && reply.status != 204)
		rc = refused(v, &reply, "destroy", err);
	sov_http_reply_free(&reply);
	return rc;
}

/* Vault deletes only a key that was said to be deletable. */
enum sov_code
sov_custodian_vault_destroy(const char *uri, struct sov_error *err)
{
	struct vault *v;
	bool		absent = false;
	enum sov_code rc = reach(uri, &v, err);

	if (rc == SOV_OK)
		rc = look_at_key(v, &absent, err);
	if (rc == SOV_OK && absent)
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "Vault at %s:%s has no key \"%s\"", v->at.host, v->at.port, v->at.key);
	if (rc == SOV_OK)
		rc = end_key(v, "POST", "/config", "{\"deletion_allowed\":true}", err);
	if (rc == SOV_OK)
		rc = end_key(v, "DELETE", "", "", err);
	if (v != NULL)
		vault_close(&v->base);
	return rc;
}
