/*
 * admin_head.c - the administrator's chain, certificates, and the provider map:
 * sov_head.h.
 */
#include "sov_head.h"

#include <stdlib.h>
#include <string.h>

#include "objects/envelope.h"

#define MAGIC "SOVADMN1"
#define CERT_LABEL "pg_sovereign certificate v1"

/* --- certificates --- */

static void
write_cert_body(struct sov_buf *b, const struct sov_cert *c)
{
	sov_write_u8(b, c->role);
	sov_write_u64(b, c->subject);
	sov_write_bytes(b, c->pub, 32);
	sov_write_u64(b, c->not_before);
}

static enum sov_code
cert_message(const uint8_t repo[16], const struct sov_cert *c, struct sov_buf *msg, struct sov_error *err)
{
	sov_write_bytes(msg, CERT_LABEL, strlen(CERT_LABEL));
	sov_write_bytes(msg, repo, 16);
	write_cert_body(msg, c);
	return msg->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

enum sov_code
sov_cert_issue(const uint8_t repo[16], const uint8_t issuer_seed[32], enum sov_cert_role role, uint64_t subject,
			   const uint8_t pub[32], uint64_t not_before, struct sov_cert *out, struct sov_error *err)
{
	struct sov_buf msg = {0};
	enum sov_code rc;

	memset(out, 0, sizeof *out);
	out->role = (uint8_t) role;
	out->subject = subject;
	memcpy(out->pub, pub, 32);
	out->not_before = not_before;
	rc = cert_message(repo, out, &msg, err);
	if (rc == SOV_OK)
		rc = sov_sign(issuer_seed, msg.data, msg.len, out->sig, err);
	sov_buf_free(&msg);
	return rc;
}

enum sov_code
sov_cert_check(const uint8_t repo[16], const uint8_t issuer_pub[32], const struct sov_cert *cert, struct sov_error *err)
{
	struct sov_buf msg = {0};
	enum sov_code rc = cert_message(repo, cert, &msg, err);

	if (rc == SOV_OK)
		rc = sov_verify_sig(issuer_pub, msg.data, msg.len, cert->sig, err);
	sov_buf_free(&msg);
	return rc;
}

static void
write_cert(struct sov_buf *b, const struct sov_cert *c)
{
	write_cert_body(b, c);
	sov_write_bytes(b, c->sig, 64);
}

static void
read_cert(struct sov_reader *r, struct sov_cert *c)
{
	c->role = sov_read_u8(r);
	c->subject = sov_read_u64(r);
	sov_read_copy(r, c->pub, 32);
	c->not_before = sov_read_u64(r);
	sov_read_copy(r, c->sig, 64);
}

/* --- provider map --- */

static int
rotation(const struct sov_map *map, uint8_t class_, const char *id)
{
	struct sov_span spans[2] = {{&class_, 1}, {id, strlen(id)}};
	uint8_t		hash[32] = {0};

	(void) sov_sha256(spans, 2, hash, NULL);
	return hash[0] % map->n;
}

int
sov_map_position(const struct sov_map *map, uint8_t class_, const char *id, int slot)
{
	return (slot + rotation(map, class_, id)) % map->n;
}

int
sov_map_slot_at(const struct sov_map *map, uint8_t class_, const char *id, int position)
{
	return (position + map->n - rotation(map, class_, id)) % map->n;
}

static void
write_map(struct sov_buf *b, const struct sov_map *m)
{
	sov_write_u32(b, m->version);
	sov_write_u8(b, m->k);
	sov_write_u8(b, m->n);
	for (int i = 0; i < m->n; i++)
	{
		sov_write_bytes(b, m->pos[i].uuid, 16);
		sov_write_str(b, m->pos[i].alias);
		sov_write_bytes(b, m->pos[i].prev_uuid, 16);
		sov_write_str(b, m->pos[i].prev_alias);
	}
}

static void
read_map(struct sov_reader *r, struct sov_map *m)
{
	m->version = sov_read_u32(r);
	m->k = sov_read_u8(r);
	m->n = sov_read_u8(r);
	if (m->k < 1 || m->k > m->n || m->n > SOV_EC_MAX)
	{
		r->bad = true;
		m->n = 0;
	}
	for (int i = 0; i < m->n; i++)
	{
		sov_read_copy(r, m->pos[i].uuid, 16);
		sov_read_str(r, m->pos[i].alias, SOV_NAME_MAX);
		sov_read_copy(r, m->pos[i].prev_uuid, 16);
		sov_read_str(r, m->pos[i].prev_alias, SOV_NAME_MAX);
	}
}

/* --- body --- */

static void
write_body(struct sov_buf *b, const uint8_t repo[16], const struct sov_admin_head *h)
{
	sov_write_bytes(b, repo, 16);
	sov_write_u64(b, h->seq);
	sov_write_bytes(b, h->prev, 32);
	sov_write_u64(b, h->time_us);
	sov_write_u64(b, h->keyring_seq);
	sov_write_bytes(b, h->keyring_hash, 32);
	sov_write_bytes(b, h->controller_pub, 32);
	write_cert(b, &h->admin);
	write_map(b, &h->map);
	sov_write_u16(b, (uint16_t) h->n_left);
	for (int i = 0; i < h->n_left; i++)
	{
		sov_write_bytes(b, h->left[i].uuid, 16);
		sov_write_str(b, h->left[i].alias);
		sov_write_u64(b, h->left[i].time_us);
	}
	sov_write_u16(b, (uint16_t) h->n_writers);
	for (int i = 0; i < h->n_writers; i++)
	{
		sov_write_u64(b, h->writers[i].writer);
		write_cert(b, &h->writers[i].cert);
		sov_write_u8(b, h->writers[i].revoked);
	}
	sov_write_u32(b, h->n_condemned);
	for (uint32_t i = 0; i < h->n_condemned; i++)
		sov_write_str(b, h->condemned[i]);
	if (h->map.generation == 0 && h->n_clusters == 0)
		return;
	sov_write_u32(b, h->map.generation);
	sov_write_u8(b, h->superseded);
	sov_write_u8(b, h->was.n > 0);
	if (h->was.n > 0)
	{
		write_map(b, &h->was);
		sov_write_u32(b, h->was.generation);
	}
	if (h->n_clusters == 0)
		return;
	sov_write_u16(b, (uint16_t) h->n_clusters);
	for (int i = 0; i < h->n_clusters; i++)
	{
		sov_write_u64(b, h->clusters[i].system_id);
		sov_write_u8(b, h->clusters[i].plain);
		sov_write_u32(b, h->clusters[i].pg_version);
		sov_write_u64(b, h->clusters[i].since_us);
		sov_mark_write(b, &h->clusters[i].mark);
	}
}

static void
read_lists(struct sov_reader *r, struct sov_admin_head *h)
{
	h->n_left = sov_read_u16(r);
	if (h->n_left > 32)
	{
		r->bad = true;
		h->n_left = 0;
	}
	for (int i = 0; i < h->n_left; i++)
	{
		sov_read_copy(r, h->left[i].uuid, 16);
		sov_read_str(r, h->left[i].alias, SOV_NAME_MAX);
		h->left[i].time_us = sov_read_u64(r);
	}
	h->n_writers = sov_read_u16(r);
	if (h->n_writers > SOV_WRITERS_MAX)
	{
		r->bad = true;
		h->n_writers = 0;
	}
	for (int i = 0; i < h->n_writers; i++)
	{
		uint8_t		revoked;

		h->writers[i].writer = sov_read_u64(r);
		read_cert(r, &h->writers[i].cert);
		revoked = sov_read_u8(r);
		h->writers[i].revoked = revoked != 0;
		r->bad = r->bad || revoked > 1;
	}
}

static void
read_condemned(struct sov_reader *r, struct sov_admin_head *h)
{
	uint32_t	n = sov_read_u32(r);

	if (n > sov_reader_left(r) / 2)	/* a str is at least its length */
	{
		r->bad = true;
		return;
	}
	if (n == 0)
		return;
	h->condemned = calloc(n, sizeof *h->condemned);
	if (h->condemned == NULL)
	{
		r->bad = true;
		return;
	}
	h->n_condemned = n;
	for (uint32_t i = 0; i < n; i++)
		sov_read_str(r, h->condemned[i], SOV_ID_MAX);
}

/* What follows since k or n were changed for the first time. */
static void
read_generations(struct sov_reader *r, struct sov_admin_head *h)
{
	uint8_t		superseded,
				present;

	if (sov_reader_left(r) == 0)
		return;
	h->map.generation = sov_read_u32(r);
	superseded = sov_read_u8(r);
	present = sov_read_u8(r);
	h->superseded = superseded != 0;
	if (present == 1)
	{
		read_map(r, &h->was);
		h->was.generation = sov_read_u32(r);
	}
	r->bad = r->bad || superseded > 1 || present > 1 || superseded > present ||
		(h->map.generation == 0 && (present == 1 || sov_reader_left(r) == 0)) ||
		(present == 1 && h->was.generation >= h->map.generation);
}

/* What follows since another cluster was taken over for the first time. */
static void
read_clusters(struct sov_reader *r, struct sov_admin_head *h)
{
	int			n;

	if (sov_reader_left(r) == 0)
		return;
	n = sov_read_u16(r);
	if (n < 2 || n > SOV_CLUSTERS_MAX)
	{
		r->bad = true;
		return;
	}
	h->n_clusters = n;
	for (int i = 0; i < n; i++)
	{
		struct sov_cluster *c = &h->clusters[i];
		uint8_t		plain;

		c->system_id = sov_read_u64(r);
		plain = sov_read_u8(r);
		c->plain = plain != 0;
		c->pg_version = sov_read_u32(r);
		c->since_us = sov_read_u64(r);
		sov_mark_read(r, &c->mark);
		r->bad = r->bad || plain > 1 || c->system_id == 0;
		for (int j = 0; j < i; j++)
			r->bad = r->bad || h->clusters[j].system_id == c->system_id || (h->clusters[j].plain && c->plain);
	}
}

static enum sov_code
read_body(const uint8_t repo[16], const uint8_t *p, size_t len, struct sov_admin_head *h, struct sov_error *err)
{
	struct sov_reader r;
	uint8_t		theirs[16];

	sov_reader_init(&r, p, len);
	sov_read_copy(&r, theirs, 16);
	h->seq = sov_read_u64(&r);
	sov_read_copy(&r, h->prev, 32);
	h->time_us = sov_read_u64(&r);
	h->keyring_seq = sov_read_u64(&r);
	sov_read_copy(&r, h->keyring_hash, 32);
	sov_read_copy(&r, h->controller_pub, 32);
	read_cert(&r, &h->admin);
	read_map(&r, &h->map);
	if (!r.bad)
		read_lists(&r, h);
	if (!r.bad)
		read_condemned(&r, h);
	if (!r.bad)
		read_generations(&r, h);
	if (!r.bad)
		read_clusters(&r, h);
	if (r.bad || sov_reader_left(&r) != 0 || h->seq == 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "an administrator's head is malformed");
	if (memcmp(theirs, repo, 16) != 0)
		return sov_fail(err, SOV_E_AUTH, NULL, "the head belongs to another repository");
	return SOV_OK;
}

/* Controller -> administrator -> writers. */
static enum sov_code
check_certs(const uint8_t repo[16], const struct sov_admin_head *h, struct sov_error *err)
{
	if (h->admin.role != SOV_CERT_ADMIN || sov_cert_check(repo, h->controller_pub, &h->admin, NULL) != SOV_OK)
		return sov_fail(err, SOV_E_AUTH, NULL, "the administrator's certificate is not the controller's");
	for (int i = 0; i < h->n_writers; i++)
		if (h->writers[i].cert.role != SOV_CERT_WRITER || h->writers[i].cert.subject != h->writers[i].writer ||
			sov_cert_check(repo, h->admin.pub, &h->writers[i].cert, NULL) != SOV_OK)
			return sov_fail(err, SOV_E_AUTH, NULL, "a writer's certificate is not the administrator's");
	return SOV_OK;
}

enum sov_code
sov_admin_encode(const struct sov_repo_keys *keys, struct sov_admin_head *head, struct sov_buf *object, struct sov_error *err)
{
	struct sov_buf body = {0};
	struct sov_span span;
	uint8_t		clear[ENVELOPE_CLEAR];
	enum sov_code rc;

	write_body(&body, keys->repo, head);
	rc = envelope_begin(MAGIC, body.len + SOV_SIG_LEN, clear, err);
	if (rc == SOV_OK)
		rc = envelope_sign(clear, &body, keys->admin_seed, err);
	if (rc == SOV_OK)
		rc = envelope_seal(keys, clear, body.data, body.len, object, err);
	span = (struct sov_span) {object->data, object->len};
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, head->hash, err);
	sov_buf_free(&body);
	return rc;
}

enum sov_code
sov_admin_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len, struct sov_admin_head *head, struct sov_error *err)
{
	struct sov_buf body = {0};
	struct sov_span span = {obj, len};
	enum sov_code rc = envelope_open(keys, MAGIC, "an administrator's head", obj, len, &body, err);

	memset(head, 0, sizeof *head);
	if (rc == SOV_OK && body.len < SOV_SIG_LEN)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "an administrator's head is cut short");
	if (rc == SOV_OK)
		rc = read_body(keys->repo, body.data, body.len - SOV_SIG_LEN, head, err);
	if (rc == SOV_OK)
		rc = check_certs(keys->repo, head, err);
	if (rc == SOV_OK)
		rc = envelope_check_sig(obj, &body, head->admin.pub, err);
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, head->hash, err);
	sov_buf_free(&body);
	if (rc != SOV_OK)
		sov_admin_head_free(head);
	return rc;
}

void
sov_admin_head_free(struct sov_admin_head *head)
{
	free(head->condemned);
	head->condemned = NULL;
	head->n_condemned = 0;
}
