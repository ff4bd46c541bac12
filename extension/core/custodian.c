/*
 * custodian.c - finds the custodian that a URI names, and refuses root keys
 * that lie where a hoster or a backup reaches them.
 */
#include "sov_custodian.h"

#include <string.h>

#include "custodian_int.h"
#include "sov_text.h"

static const struct sov_custodian_ops *const custodians[] = {&sov_custodian_file_ops, NULL};

enum sov_code
sov_custodian_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	size_t		scheme = strcspn(uri, ":");

	*out = NULL;
	for (int i = 0; custodians[i] != NULL; i++)
		if (strlen(custodians[i]->scheme) == scheme && uri[scheme] == ':' &&
			memcmp(custodians[i]->scheme, uri, scheme) == 0)
			return custodians[i]->open(uri, out, err);
	return sov_fail(err, SOV_E_CONFIG, "this version knows file:/absolute/path",
					"there is no custodian \"%.*s\"", scheme > 20 ? 20 : (int) scheme, uri);
}

void
sov_custodian_close(struct sov_custodian *c)
{
	if (c != NULL)
		c->ops->close(c);
}

enum sov_code
sov_custodian_check_place(const struct sov_config *cfg, struct sov_error *err)
{
	const char *path = cfg->root + 5;

	if (strncmp(cfg->root, "file:", 5) != 0)
		return SOV_OK;
	if (cfg->data_directory[0] != '\0' && sov_path_within(path, cfg->data_directory))
		return sov_fail(err, SOV_E_CONFIG, "move it outside, for example to /etc/pg_sovereign/root.key, and change \"root\" in [custody]",
						"%.150s:%d: the root key lies inside the data directory, where every backup and every copy of the cluster takes it along",
						cfg->file, cfg->root_line);
	for (int i = 0; i < cfg->n_providers; i++)
		if (cfg->providers[i].path[0] != '\0' && sov_path_within(path, cfg->providers[i].path))
			return sov_fail(err, SOV_E_CONFIG, "move it to a place that no provider stores, and change \"root\" in [custody]",
							"%.150s:%d: the root key lies inside provider \"%s\", which must never hold it",
							cfg->file, cfg->root_line, cfg->providers[i].name);
	return SOV_OK;
}
