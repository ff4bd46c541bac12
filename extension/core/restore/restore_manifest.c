/*
 * restore_manifest.c - backup_manifest of what was restored, as the server's
 * documentation describes it ("Backup Manifest Format", version 1), with CRC-32C
 * of each file: pg_verifybackup then finds any later damage without our keys.
 *
 * The CRCs are those of blocks that matched their keyed hashes.  Written line by
 * line under a temporary name; the checksum at the end is over all that precedes.
 */
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "restore_private.h"

struct manifest_out
{
	FILE	   *f;
	EVP_MD_CTX *hash;
	uint64_t	n;
	char		path[SOV_PATH_MAX * 2 + 8];
};

static void
put(struct manifest_out *m, const char *text)
{
	fputs(text, m->f);
	EVP_DigestUpdate(m->hash, text, strlen(text));
}

enum sov_code
verify_begin(struct restore *r, struct sov_error *err)
{
	struct manifest_out *m = calloc(1, sizeof *m);

	r->verify = m;
	if (m == NULL || (m->hash = EVP_MD_CTX_new()) == NULL || EVP_DigestInit_ex(m->hash, EVP_sha256(), NULL) != 1)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	snprintf(m->path, sizeof m->path, "%s/backup_manifest.tmp", r->opt->target);
	m->f = fopen(m->path, "we");
	if (m->f == NULL)
		return sov_fail_errno(err, errno, NULL, "could not make %s", m->path);
	put(m, "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [");
	return SOV_OK;
}

/* A path as JSON, or hex-encoded when it is not plain ASCII. */
static void
put_path(struct manifest_out *m, const char *path)
{
	bool		plain = true;
	char		hex[3];

	for (const char *p = path; *p; p++)
		plain = plain && (unsigned char) *p >= 0x20 && (unsigned char) *p < 0x7f && *p != '"' && *p != '\\';
	put(m, plain ? "{ \"Path\": \"" : "{ \"Encoded-Path\": \"");
	if (plain)
		put(m, path);
	for (const char *p = path; !plain && *p; p++)
	{
		snprintf(hex, sizeof hex, "%02x", (unsigned char) *p);
		put(m, hex);
	}
	put(m, "\"");
}

enum sov_code
verify_add(struct restore *r, const char *path, uint64_t size, uint64_t mtime_us, uint32_t crc, struct sov_error *err)
{
	struct manifest_out *m = r->verify;
	time_t		t = (time_t) (mtime_us / 1000000);
	struct tm	tm;
	char		when[40],
				line[200];

	gmtime_r(&t, &tm);
	strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
	put(m, m->n++ ? ",\n" : "\n");
	put_path(m, path);
	/* the bytes of the CRC in memory order, as the server writes them */
	snprintf(line, sizeof line, ", \"Size\": %" PRIu64 ", \"Last-Modified\": \"%s GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"%02x%02x%02x%02x\" }",
			 size, when, crc & 0xff, crc >> 8 & 0xff, crc >> 16 & 0xff, crc >> 24);
	put(m, line);
	return ferror(m->f) ? sov_fail_errno(err, errno, "free space", "could not write %s", m->path) : SOV_OK;
}

enum sov_code
verify_end(struct restore *r, struct sov_error *err)
{
	struct manifest_out *m = r->verify;
	const struct sov_manifest *b = &r->manifest;
	char		line[200],
				path[SOV_PATH_MAX * 2],
				hex[65];
	uint8_t		digest[32];
	bool		bad;

	snprintf(line, sizeof line, "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": %u, \"Start-LSN\": \"%X/%X\", \"End-LSN\": \"%X/%X\" }\n],\n", b->timeline,
			 (unsigned) (b->start_lsn >> 32), (unsigned) b->start_lsn, (unsigned) (b->stop_lsn >> 32), (unsigned) b->stop_lsn);
	put(m, line);
	EVP_DigestFinal_ex(m->hash, digest, NULL);
	sov_hex(hex, digest, 32);
	fprintf(m->f, "\"Manifest-Checksum\": \"%s\"}\n", hex);
	bad = ferror(m->f);
	bad = fclose(m->f) != 0 || bad;
	m->f = NULL;
	snprintf(path, sizeof path, "%s/backup_manifest", r->opt->target);
	if (bad || rename(m->path, path) != 0)
		return sov_fail_errno(err, errno, "free space", "could not write %s", path);
	return SOV_OK;
}

void
verify_free(struct restore *r)
{
	if (r->verify == NULL)
		return;
	if (r->verify->f)
	{
		fclose(r->verify->f);
		(void) unlink(r->verify->path);
	}
	EVP_MD_CTX_free(r->verify->hash);
	free(r->verify);
	r->verify = NULL;
}
