/*
 * repo_writer.c - this host as a writer: its key, and its certificate.
 */
#include <stdio.h>
#include <string.h>

#include "repo_private.h"

/* writer.key: magic 8 "SOVWRKEY" | format u16 | nonce 12 | sealed (writer u64,
 * seed 32) | tag 16, under HKDF(K_meta, "pg_sovereign writer key v1"). */
#define WRITER_MAGIC "SOVWRKEY"
#define WRITER_CLEAR 10
#define WRITER_FILE (WRITER_CLEAR + 12 + 40 + 16)

static enum sov_code
writer_aead(struct sov_repo *repo, struct sov_aead **out, struct sov_error *err)
{
	static const char info[] = "pg_sovereign writer key v1";
	uint8_t    *key = sov_secret_alloc(32, err);
	enum sov_code rc;

	if (key == NULL)
		return SOV_E_NOMEM;
	rc = sov_hkdf(NULL, 0, repo->keys->k_meta, 32, info, sizeof info - 1, key, 32, err);
	if (rc == SOV_OK)
	{
		*out = sov_aead_new(key, err);
		rc = *out ? SOV_OK : SOV_E_NOMEM;
	}
	sov_secret_free(key);
	return rc;
}

static enum sov_code
open_writer_file(struct sov_repo *repo, const struct sov_buf *file, struct sov_error *err)
{
	struct sov_aead *a = NULL;
	uint8_t    *plain = sov_secret_alloc(40, err);
	const uint8_t *p = file->data;
	enum sov_code rc;

	if (plain == NULL)
		return SOV_E_NOMEM;
	if (file->len != WRITER_FILE || memcmp(p, WRITER_MAGIC, 8) != 0 || sov_get_le16(p + 8) != 1)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "it is not a writer's key");
	else
		rc = writer_aead(repo, &a, err);
	if (rc == SOV_OK)
		rc = sov_aead_open(a, p + WRITER_CLEAR, p, WRITER_CLEAR, p + WRITER_CLEAR + 12, 40, p + WRITER_FILE - 16, plain, err);
	sov_aead_free(a);
	if (rc == SOV_OK)
	{
		repo->priv->writer = sov_get_le64(plain);
		memcpy(repo->priv->seed, plain + 8, 32);
		rc = sov_sign_public(repo->priv->seed, repo->priv->writer_pub, err);
	}
	sov_secret_free(plain);
	if (rc != SOV_OK)
		sov_error_at(err, REPO_OTHER_STATE("move it and the file 'head' away: the host is enrolled as a new writer"),
					 "%s/writer.key", repo->cfg.state_directory);
	return rc;
}

static enum sov_code
make_writer_file(struct sov_repo *repo, const char *path, struct sov_error *err)
{
	struct sov_aead *a = NULL;
	uint8_t		file[WRITER_FILE];
	uint8_t    *plain = sov_secret_alloc(40, err);
	enum sov_code rc = plain ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = sov_random(&repo->priv->writer, 8, err);
	if (rc == SOV_OK)
		rc = sov_sign_keypair(repo->priv->seed, repo->priv->writer_pub, err);
	if (rc == SOV_OK)
		rc = writer_aead(repo, &a, err);
	if (rc == SOV_OK)
		rc = sov_random(file + WRITER_CLEAR, 12, err);
	if (rc == SOV_OK)
	{
		memcpy(file, WRITER_MAGIC, 8);
		sov_put_le16(file + 8, 1);
		sov_put_le64(plain, repo->priv->writer);
		memcpy(plain + 8, repo->priv->seed, 32);
		rc = sov_aead_seal(a, file + WRITER_CLEAR, file, WRITER_CLEAR, plain, 40, file + WRITER_CLEAR + 12, file + WRITER_FILE - 16, err);
	}
	if (rc == SOV_OK)
		rc = repo_write_file(path, file, sizeof file, err);
	sov_aead_free(a);
	sov_secret_free(plain);
	return rc;
}

enum sov_code
repo_load_writer(struct sov_repo *repo, bool *have, struct sov_error *err)
{
	char		path[1200];
	struct sov_buf file = {0};
	enum sov_code rc;

	*have = repo->priv->writer_loaded;
	if (*have)
		return SOV_OK;
	if (repo->priv->seed == NULL && (repo->priv->seed = sov_secret_alloc(32, err)) == NULL)
		return SOV_E_NOMEM;
	snprintf(path, sizeof path, "%s/writer.key", repo->cfg.state_directory);
	rc = repo_read_file(path, &file, err);
	if (rc == SOV_OK)
		rc = open_writer_file(repo, &file, err);
	sov_buf_free(&file);
	if (rc == SOV_E_NOTFOUND)
		return SOV_OK;
	repo->priv->writer_loaded = *have = rc == SOV_OK;
	return rc;
}

static enum sov_code
add_writer(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	struct sov_admin_writer *w;

	(void) ctx;
	for (int i = 0; i < head->n_writers; i++)
		if (head->writers[i].writer == repo->priv->writer)
			return sov_fail(err, SOV_E_EXISTS, NULL, "this host is enrolled");
	if (head->n_writers == SOV_WRITERS_MAX)
		return sov_fail(err, SOV_E_STATE, SOV_WRITERS_FULL_HINT, "%d hosts have written to this repository, and no more can", SOV_WRITERS_MAX);
	w = &head->writers[head->n_writers++];
	memset(w, 0, sizeof *w);
	w->writer = repo->priv->writer;
	return sov_cert_issue(repo->keys->repo, repo->keys->admin_seed, SOV_CERT_WRITER, w->writer,
						  repo->priv->writer_pub, (uint64_t) repo_now_us(), &w->cert, err);
}

/* A host that writes for the first time: a key, and its certificate.  Under
 * writer.lock, so that two processes do not make two keys. */
enum sov_code
repo_need_writer(struct sov_repo *repo, struct sov_error *err)
{
	char		path[1200];
	bool		have;
	enum sov_code rc = repo_load_writer(repo, &have, err);

	if (rc != SOV_OK)
		return rc;
	if (!have)
	{
		snprintf(path, sizeof path, "%s/writer.key", repo->cfg.state_directory);
		rc = make_writer_file(repo, path, err);
		if (rc != SOV_OK)
			return rc;
		repo->priv->writer_loaded = true;
	}
	if (repo_writer_pub(repo, repo->priv->writer) != NULL)
		return SOV_OK;
	for (int i = 0; i < repo->admin.n_writers; i++)
		if (repo->admin.writers[i].writer == repo->priv->writer)
			return sov_fail(err, SOV_E_KEY, "give the host a new state directory if it may write again",
							"this host's writer key was revoked");
	rc = sov_repo_commit_admin(repo, add_writer, NULL, err);
	/* This handle's list was old. */
	return rc == SOV_E_EXISTS ? repo_need_writer(repo, err) : rc;
}
