/*
 * whole.c - objects that are stored whole at every provider: heads, keyrings,
 * batches of the audit log.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repository/repo_private.h"
#include "sov_verify.h"

static enum sov_code
check_keyring(struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, struct sov_error *err)
{
	struct sov_span span = {p, len};
	uint8_t		hash[32];
	char		expect[SOV_NAME_MAX];
	struct sov_keyring_info *info = calloc(1, sizeof *info);
	enum sov_code rc = info ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = sov_keyring_describe(p, len, info, err);
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, hash, err);
	if (rc == SOV_OK)
	{
		sov_keyring_object_name(info->seq, hash, expect);
		if (strcmp(expect, name) != 0)
			rc = sov_fail(err, SOV_E_AUTH, NULL, "its hash is not the one in its name");
	}
	free(info);
	return rc;
}

/* The state of persons' keys: its name is its hash. */
static enum sov_code
check_subjects(const char *name, const uint8_t *p, size_t len, struct sov_error *err)
{
	struct sov_span span = {p, len};
	uint8_t		hash[32];
	char		expect[SOV_NAME_MAX];
	enum sov_code rc = sov_sha256(&span, 1, hash, err);

	if (rc != SOV_OK)
		return rc;
	sov_keyring_subjects_name(hash, expect);
	return strcmp(expect, name) == 0 ? SOV_OK : sov_fail(err, SOV_E_AUTH, NULL, "its hash is not the one in its name");
}

enum sov_code
sov_whole_check(struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, struct sov_error *err)
{
	if (strncmp(name, "a/", 2) == 0 || strncmp(name, "h/", 2) == 0 || strncmp(name, "l/", 2) == 0)
		return repo_check_whole(repo, name, p, len, true, err);
	if (strncmp(name, SOV_SUBJECTS_PREFIX, strlen(SOV_SUBJECTS_PREFIX)) == 0)
		return check_subjects(name, p, len, err);
	if (strncmp(name, "k/", 2) == 0)
		return check_keyring(repo, name, p, len, err);
	return sov_fail(err, SOV_E_FORMAT, NULL, "%s is not an object of this repository", name);
}

static bool
collect(void *ctx, const char *name, const struct sov_object_stat *st)
{
	size_t		len = strlen(name);

	(void) st;
	/* the beat of an audit log is rewritten all the time (audit_ship.c) */
	if (strncmp(name, "l/", 2) != 0 || len < 5 || strcmp(name + len - 5, "/beat") != 0)
		sov_write_bytes(ctx, name, len + 1);
	return true;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

struct listing
{
	struct sov_repo *repo;
	struct sov_buf at[SOV_MAX_PROVIDERS];	/* NUL-terminated names */
};

static void
list_provider(int p, void *arg)
{
	static const char *const prefixes[] = {"k/", "a/", "h/", "l/"};
	struct listing *l = arg;

	for (int x = 0; x < 4 && l->repo->providers[p].known; x++)
		(void) repo_list(l->repo, p, prefixes[x], collect, &l->at[p], NULL);
}

/* The names of one list, sorted; the caller frees the index. */
static char **
sort_names(const struct sov_buf *list, size_t *n)
{
	char	  **index;
	size_t		i = 0;

	*n = 0;
	for (size_t at = 0; at < list->len; at += strlen((char *) list->data + at) + 1)
		++*n;
	index = list->bad ? NULL : malloc(sizeof *index * (*n + 1));
	for (size_t at = 0; index && at < list->len; at += strlen((char *) list->data + at) + 1)
		index[i++] = (char *) list->data + at;
	if (index)
		qsort(index, *n, sizeof *index, by_name);
	return index;
}

/* Each name once; without those that the provider "but" has, unless that is -1. */
static enum sov_code
names_but(struct sov_repo *repo, int but, struct sov_buf *names, struct sov_error *err)
{
	struct listing l = {.repo = repo};
	struct sov_buf all = {0};
	char	  **index,
			  **has = NULL;
	size_t		n,
				n_has = 0;

	sov_parallel(repo->n_providers, list_provider, &l);
	for (int p = 0; p < repo->n_providers; p++)
	{
		if (l.at[p].bad)
			all.bad = true;
		if (p != but && l.at[p].len > 0)
			sov_write_bytes(&all, l.at[p].data, l.at[p].len);
	}
	index = sort_names(&all, &n);
	if (but >= 0)
		has = sort_names(&l.at[but], &n_has);
	for (size_t i = 0; index && (has || but < 0) && i < n; i++)
		if ((i == 0 || strcmp(index[i], index[i - 1]) != 0) &&
			(n_has == 0 || bsearch(&index[i], has, n_has, sizeof *has, by_name) == NULL))
			sov_write_bytes(names, index[i], strlen(index[i]) + 1);
	names->bad = names->bad || index == NULL || (but >= 0 && has == NULL);
	free(index);
	free(has);
	for (int p = 0; p < repo->n_providers; p++)
		sov_buf_free(&l.at[p]);
	sov_buf_free(&all);
	return names->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

enum sov_code
sov_whole_names(struct sov_repo *repo, struct sov_buf *names, struct sov_error *err)
{
	return names_but(repo, -1, names, err);
}

enum sov_code
sov_whole_missing(struct sov_repo *repo, int provider, struct sov_buf *names, struct sov_error *err)
{
	return names_but(repo, provider, names, err);
}

struct one_whole
{
	struct sov_repo *repo;
	const char *name;
};

static enum sov_code
check_one(void *ctx, struct sov_buf *raw, struct sov_error *err)
{
	const struct one_whole *o = ctx;

	return sov_whole_check(o->repo, o->name, raw->data, raw->len, err);
}

enum sov_code
sov_whole_read(struct sov_repo *repo, const char *name, struct sov_buf *out, struct sov_error *err)
{
	struct one_whole o = {repo, name};
	enum sov_code rc = SOV_E_NOTFOUND;

	for (int i = 0; i < repo->n_providers; i++)
	{
		if (!repo->providers[i].known)
			continue;
		out->len = 0;
		if (repo_get(repo, i, name, 0, UINT64_MAX, out, err) != SOV_OK)
			continue;
		rc = sov_whole_check(repo, name, out->data, out->len, err);
		if (rc == SOV_OK)
			return SOV_OK;
	}
	for (int i = 0; i < repo->n_providers; i++)
		if (repo_older(repo, i, name, check_one, &o, out))
			return SOV_OK;
	return sov_fail(err, SOV_E_CORRUPT, "bring back a provider whose copy is whole", "no provider has a good copy of %s", name);
}
