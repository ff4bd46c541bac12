/*
 * custodian.c - finds the custodian that a URI names, and refuses root keys
 * that lie where a hoster or a backup reaches them.
 */
#include "sov_custodian.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "custodian_int.h"
#include "sov_credential.h"
#include "sov_quorum.h"
#include "sov_text.h"

static const struct sov_custodian_ops *const custodians[] = {&sov_custodian_file_ops, &sov_custodian_command_ops, &sov_custodian_quorum_ops, NULL};
static const char *const in_helper[] = {"pkcs11", "vault", "kmip", NULL};
static const char *program;

#define KNOWN "it is file:/absolute/path, command:/program, pkcs11:token=...;object=..., vault:https://..., kmip:HOST/... or quorum:/absolute/path"

int64_t
sov_custodian_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
sov_custodian_set_program(const char *path)
{
	program = path;
}

static bool
has_scheme(const char *uri, const char *scheme)
{
	size_t		n = strlen(scheme);

	return strncmp(uri, scheme, n) == 0 && uri[n] == ':';
}

static bool
needs_helper(const char *uri)
{
	for (int i = 0; in_helper[i] != NULL; i++)
		if (has_scheme(uri, in_helper[i]))
			return true;
	return false;
}

static bool
is_service(const char *uri)
{
	return has_scheme(uri, "vault") || has_scheme(uri, "kmip");
}

static enum sov_code
unknown(const char *uri, struct sov_error *err)
{
	size_t		scheme = strcspn(uri, ":");

	return sov_fail(err, SOV_E_CONFIG, KNOWN, "there is no custodian \"%.*s\"", scheme > 20 ? 20 : (int) scheme, uri);
}

enum sov_code
sov_custodian_check_uri(const char *uri, struct sov_error *err)
{
	if (has_scheme(uri, SOV_QUORUM_SCHEME))
	{
		const char *record;

		return sov_quorum_uri(uri, &record, err);
	}
	if (has_scheme(uri, "file") || has_scheme(uri, "command"))
	{
		const char *path = strchr(uri, ':') + 1;

		if (has_scheme(uri, "file") && sov_is_credential(path) && !sov_secret_file_ok(path))
			return sov_fail(err, SOV_E_CONFIG, "for example: root = file:credential:root.key", "\"root\" names a credential by what is no name of letters, digits and . _ -");
		if (path[0] != '/' && !(has_scheme(uri, "file") && sov_is_credential(path)))
			return sov_fail(err, SOV_E_CONFIG, "for example: root = file:/etc/pg_sovereign/root.key", "\"root\" does not hold an absolute path");
		return SOV_OK;
	}
	if (is_service(uri))
	{
		struct sov_custodian_service s;

		return sov_custodian_service(uri, &s, err);
	}
	if (!needs_helper(uri))
		return strchr(uri, ':') ? unknown(uri, err)
			: sov_fail(err, SOV_E_CONFIG, "for example: root = file:/etc/pg_sovereign/root.key", "\"root\" does not begin with a custodian's name");
	if (strstr(uri, "pin-value") != NULL)
		return sov_fail(err, SOV_E_CONFIG, "put it into a file that only the server's user may read, and write ?pin-source=file:/that/file",
						"\"root\" holds a PIN, which must not stand in a configuration");
	return SOV_OK;
}

enum sov_code
sov_custodian_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	*out = NULL;
	for (int i = 0; custodians[i] != NULL; i++)
		if (has_scheme(uri, custodians[i]->scheme))
			return custodians[i]->open(uri, out, err);
	if (!needs_helper(uri))
		return unknown(uri, err);
	if (program == NULL)
		return sov_fail(err, SOV_E_KEY, "install pg_sovereign with its command", "the program pg_sovereign, which asks this custodian, is not known");
	return sov_custodian_open_helper(program, uri, out, err);
}

const char *
sov_custodian_grade_name(enum sov_custodian_grade grade)
{
	static const char *const names[] = {"none", "effort", "destroy"};

	return names[grade];
}

void
sov_custodian_close(struct sov_custodian *c)
{
	if (c != NULL)
		c->ops->close(c);
}

enum sov_code
sov_custodian_unwrap_by(const uint8_t root[32], const uint8_t root_id[16], const char *where, const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err)
{
	uint8_t		out[SOV_KWP_MAX];
	char		id[37];
	size_t		len = 0;
	enum sov_code rc = sov_kwp_unwrap(root, blob, blob_len, out, &len, err);

	if (rc == SOV_E_AUTH || (rc == SOV_OK && len != SOV_KEY_LEN))
	{
		sov_uuid_text(id, root_id);
		rc = sov_fail(err, SOV_E_KEY, "point \"root\" in [custody] to the root key that was used then",
					  "root key %s (%s) does not open this key: it was wrapped under another root key, or is damaged", id, where);
	}
	else if (rc == SOV_OK)
		memcpy(key, out, SOV_KEY_LEN);
	sov_wipe(out, sizeof out);
	return rc;
}

/* name and line: of the setting that holds the URI. */
static enum sov_code
check_place(const struct sov_config *cfg, const char *uri, const char *name, int line, struct sov_error *err)
{
	const char *path = uri + 5;
	char		hint[160],
				given[1300];

	if (is_service(uri))
		return sov_custodian_check_host(cfg, uri, name, line, err);
	if (strncmp(uri, "file:", 5) != 0)
		return SOV_OK;
	/* without credentials there is nothing to look at, and nothing can be opened */
	if (sov_is_credential(path))
	{
		if (sov_secret_file_path(path, given, sizeof given, NULL) != SOV_OK)
			return SOV_OK;
		path = given;
	}
	snprintf(hint, sizeof hint, "move it outside, for example to /etc/pg_sovereign/%s.key, and change \"%s\" in [custody]", name, name);
	if (cfg->data_directory[0] != '\0' && sov_path_within(path, cfg->data_directory))
		return sov_fail(err, SOV_E_CONFIG, hint, "%.150s:%d: the root key lies inside the data directory, where every backup and every copy of the cluster takes it along",
						cfg->file, line);
	snprintf(hint, sizeof hint, "move it to a place that no provider stores, and change \"%s\" in [custody]", name);
	for (int i = 0; i < cfg->n_providers; i++)
		if (cfg->providers[i].path[0] != '\0' && sov_path_within(path, cfg->providers[i].path))
			return sov_fail(err, SOV_E_CONFIG, hint, "%.150s:%d: the root key lies inside provider \"%s\", which must never hold it",
							cfg->file, line, cfg->providers[i].name);
	return SOV_OK;
}

enum sov_code
sov_custodian_check_place(const struct sov_config *cfg, struct sov_error *err)
{
	enum sov_code rc = check_place(cfg, cfg->root, "root", cfg->root_line, err);

	if (rc == SOV_OK && cfg->content[0] != '\0')
		rc = check_place(cfg, cfg->content, "content", cfg->content_line, err);
	if (rc == SOV_OK && cfg->epochs[0] != '\0')
		rc = check_place(cfg, cfg->epochs, "epochs", cfg->epochs_line, err);
	return rc;
}
