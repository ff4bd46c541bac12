/*
 * provider.c - the adapters of this build, the rule for object names, and the
 * check of what a section of the configuration says to its adapter.
 */
#include "sov_credential.h"
#include "sov_provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters.h"
#include "sov_config.h"
#include "sov_text.h"

const struct sov_provider_ops *const sov_provider_adapters[] = {
	&sov_folder_ops,
	&sov_s3_ops,
	&sov_swift_ops,
	&sov_azure_ops,
	&sov_webdav_ops,
	&sov_sftp_ops,
	NULL
};

enum sov_code
sov_provider_no_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{
	(void) p, (void) age, (void) out;
	return sov_fail(err, SOV_E_NOTFOUND, NULL, "no older version of object \"%s\" is kept", name);
}

enum sov_code
sov_provider_no_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	(void) p, (void) prefix, (void) fn, (void) ctx, (void) err;
	return SOV_OK;
}

enum sov_code
sov_provider_no_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	(void) p, (void) fn, (void) ctx, (void) err;
	return SOV_OK;
}

/* "." as a component is refused beside what the contract names: a file system
 * would see one object under two names. */
bool
sov_object_name_ok(const char *name)
{
	size_t		len = strlen(name);
	const char *component = name;

	if (len == 0 || len > SOV_OBJECT_NAME_MAX || strstr(name, "..") != NULL ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789/._-") != len)
		return false;
	for (;;)
	{
		size_t		n = strcspn(component, "/");

		if (n == 0 || (n == 1 && component[0] == '.'))
			return false;
		if (component[n] == '\0')
			return true;
		component += n + 1;
	}
}

/* --- settings --- */

static const struct sov_provider_ops *
adapter(const char *type)
{
	for (int i = 0; sov_provider_adapters[i] != NULL; i++)
		if (strcmp(sov_provider_adapters[i]->caps.scheme, type) == 0)
			return sov_provider_adapters[i];
	return NULL;
}

int
sov_provider_key_names(const char **names, int cap)
{
	int			n = 0;

	for (int i = 0; sov_provider_adapters[i] != NULL; i++)
		for (const struct sov_provider_key *k = sov_provider_adapters[i]->keys; k->name != NULL; k++)
		{
			int			j = 0;

			while (j < n && strcmp(names[j], k->name) != 0)
				j++;
			if (j == n && n < cap - 1)
				names[n++] = k->name;
		}
	names[n] = NULL;
	return n;
}

/* "a, b, c" of the adapters. */
static void
type_names(char *dst, size_t cap)
{
	size_t		used = 0;

	for (int i = 0; sov_provider_adapters[i] != NULL && used < cap; i++)
		used += (size_t) snprintf(dst + used, cap - used, "%s%s", i ? ", " : "", sov_provider_adapters[i]->caps.scheme);
}

static enum sov_code
unknown_type(const struct sov_provider_config *cfg, struct sov_error *err)
{
	const char *types[16];
	const char *near;
	char		hint[300],
				list[200];
	int			n = 0;

	if (cfg->type[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "add for example: type = folder", "has no \"type\"");
	for (; sov_provider_adapters[n] != NULL && n < 15; n++)
		types[n] = sov_provider_adapters[n]->caps.scheme;
	types[n] = NULL;
	near = sov_nearest(cfg->type, types);
	type_names(list, sizeof list);
	if (near != NULL)
		snprintf(hint, sizeof hint, "did you mean \"type = %s\"?", near);
	else
		snprintf(hint, sizeof hint, "types in this version: %s", list);
	return sov_fail(err, SOV_E_CONFIG, hint, "has the unknown type \"%s\"", cfg->type);
}

static enum sov_code
foreign_key(const struct sov_provider_config *cfg, const struct sov_provider_key *keys, const char *name, struct sov_error *err)
{
	char		hint[500];
	size_t		used = (size_t) snprintf(hint, sizeof hint, "type %s takes", cfg->type);

	for (; keys->name != NULL && used < sizeof hint; keys++)
		used += (size_t) snprintf(hint + used, sizeof hint - used, " %s%s", keys->name, keys[1].name ? "," : "");
	return sov_fail(err, SOV_E_CONFIG, hint, "of type %s takes no \"%s\"", cfg->type, name);
}

static enum sov_code
check_number(const struct sov_provider_key *k, const char *value, struct sov_error *err)
{
	uint64_t	n = 0;
	bool		good;
	char	   *end;
	char		hint[200];

	if (k->kind == SOV_KEY_SIZE)
		good = sov_parse_size(value, &n);
	else if (k->kind == SOV_KEY_DURATION)
		good = sov_parse_duration(value, &n);
	else
	{
		n = strtoull(value, &end, 10);
		good = value[0] >= '0' && value[0] <= '9' && *end == '\0';
	}
	if (good && n >= k->min && (k->max == 0 || n <= k->max))
		return SOV_OK;
	snprintf(hint, sizeof hint, "give %s such as %s", k->kind == SOV_KEY_SIZE ? "a size (kB, MB, GB)" :
			 k->kind == SOV_KEY_DURATION ? "a time (s, min, h)" : "a whole number", k->example);
	if (good)
		snprintf(hint, sizeof hint, "the least is %llu, the most %llu%s", (unsigned long long) k->min, (unsigned long long) k->max,
				 k->kind == SOV_KEY_SIZE ? " bytes" : k->kind == SOV_KEY_DURATION ? " seconds" : "");
	return sov_fail(err, SOV_E_CONFIG, hint, "has a value that \"%s\" cannot have: %.40s", k->name, value);
}

static enum sov_code
check_value(const struct sov_provider_key *k, const char *value, struct sov_error *err)
{
	char		hint[200];

	switch (k->kind)
	{
		case SOV_KEY_TEXT:
			return SOV_OK;
		case SOV_KEY_PATH:
			if (value[0] == '/')
				return SOV_OK;
			return sov_fail(err, SOV_E_CONFIG, "write the whole path, beginning with /, without quotes", "has a \"%s\" that is not an absolute path", k->name);
		case SOV_KEY_SECRET:
			if (sov_secret_file_ok(value))
				return SOV_OK;
			return sov_fail(err, SOV_E_CONFIG, "write the whole path, beginning with /, or credential:NAME, without quotes", "has a \"%s\" that is neither an absolute path nor a credential", k->name);
		case SOV_KEY_BOOL:
			if (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0)
				return SOV_OK;
			snprintf(hint, sizeof hint, "write %s = yes or %s = no", k->name, k->name);
			break;
		case SOV_KEY_CHOICE:
			if (sov_is_choice(k->example, value))
				return SOV_OK;
			snprintf(hint, sizeof hint, "%s is one of %s", k->name, k->example);
			break;
		default:
			return check_number(k, value, err);
	}
	return sov_fail(err, SOV_E_CONFIG, hint, "has a value that \"%s\" cannot have: %.40s", k->name, value);
}

enum sov_code
sov_provider_config_check(const struct sov_provider_config *cfg, int *line, struct sov_error *err)
{
	const struct sov_provider_ops *ops = adapter(cfg->type);
	const struct sov_provider_key *k;
	char		hint[200];
	enum sov_code rc = SOV_OK;

	*line = cfg->line;
	if (ops == NULL)
		return unknown_type(cfg, err);
	for (int i = 0; i < cfg->n_options && rc == SOV_OK; i++)
	{
		const char *name = cfg->text + cfg->options[i].name;

		*line = cfg->options[i].line;
		for (k = ops->keys; k->name != NULL && strcmp(k->name, name) != 0; k++)
			;
		rc = k->name == NULL ? foreign_key(cfg, ops->keys, name, err) :
			check_value(k, cfg->text + cfg->options[i].value, err);
	}
	if (rc != SOV_OK)
		return rc;
	*line = cfg->line;
	for (k = ops->keys; k->name != NULL; k++)
	{
		bool		is_path = strcmp(k->name, "path") == 0;

		snprintf(hint, sizeof hint, "add for example: %s = %s", k->name, k->example ? k->example : "...");
		if (k->required && (is_path ? cfg->path[0] == '\0' : sov_provider_config_get(cfg, k->name, NULL) == NULL))
			return sov_fail(err, SOV_E_CONFIG, hint, "has no \"%s\"", k->name);
		if (is_path)
			return SOV_OK;		/* the folder's only setting, and nobody else's */
	}
	return cfg->path[0] ? foreign_key(cfg, ops->keys, "path", err) : SOV_OK;
}

/* --- open --- */

/* Every operation is required; a hole is a programming error in the adapter. */
static bool
complete(const struct sov_provider_ops *ops)
{
	return ops->caps.scheme && ops->keys && ops->open && ops->put && ops->get && ops->stat &&
		ops->list && ops->remove && ops->older && ops->hidden && ops->sweep && ops->close;
}

enum sov_code
sov_provider_open(const struct sov_provider_config *cfg,
				  struct sov_provider **out, struct sov_error *err)
{
	const struct sov_provider_ops *ops = adapter(cfg->type);
	struct sov_provider *p = NULL;
	char		list[200];
	int			line;
	enum sov_code rc;

	*out = NULL;
	type_names(list, sizeof list);
	if (ops == NULL)
		return sov_fail(err, SOV_E_CONFIG, list, "there is no type of provider \"%.15s\"", cfg->type);
	if (!complete(ops))
		return sov_fail(err, SOV_E_UNSUPPORTED, NULL, "the adapter \"%s\" is not complete", cfg->type);
	rc = sov_provider_config_check(cfg, &line, err);
	if (rc == SOV_OK)
		rc = ops->open(cfg, &p, err);
	if (rc == SOV_OK && getenv(SOV_FAULTS_VARIABLE) != NULL)
		return sov_provider_fault_wrap(cfg->name, p, out, err);
	*out = p;
	return rc;
}
