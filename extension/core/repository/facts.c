/*
 * facts.c - what this host knows of the repository, kept for those who must not
 * wait for providers: see sov_facts.h.
 *
 * The file "facts" holds what only the providers tell (state, backups, WAL); what
 * the state directory tells is added when it is read, so that debt is never stale.
 * "verified" is a file of its own: another command writes it.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "repo_private.h"
#include "sov_facts.h"
#include "sov_history.h"
#include "sov_policy.h"
#include "sov_probe.h"

#define FACTS "facts"
#define VERIFIED "verified"

static json_t *
time_json(int64_t us)
{
	char		text[40];
	time_t		t = (time_t) (us / 1000000);
	struct tm	tm;

	if (us <= 0 || gmtime_r(&t, &tm) == NULL)
		return json_null();
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static json_t *
lsn_json(uint64_t lsn)
{
	return json_sprintf("%X/%X", (unsigned) (lsn >> 32), (unsigned) lsn);
}

/* Of a label that may be any bytes. */
static json_t *
text_json(const char *s)
{
	json_t	   *j = json_string(s);
	char		ascii[256];
	size_t		n = 0;

	if (j)
		return j;
	for (; *s && n < sizeof ascii - 1; s++)
		ascii[n++] = (unsigned char) *s < 0x20 || (unsigned char) *s > 0x7e ? '?' : *s;
	ascii[n] = '\0';
	return json_string(ascii);
}

/* --- keeping --- */

/* "satisfied", what it breaks, or NULL where no rule asks. */
static const char *
policy_word(const struct sov_repo *repo, int provider)
{
	const struct sov_policy_report *policy = sov_repo_policy(repo);

	for (int v = 0; v < policy->n; v++)
		if (policy->violations[v].provider == provider)
			return policy->violations[v].message;
	return policy->asked ? "satisfied" : NULL;
}

static json_t *
providers_json(const struct sov_repo *repo)
{
	json_t	   *list = json_array();

	for (int i = 0; i < repo->n_providers; i++)
	{
		const struct sov_repo_provider *p = &repo->providers[i];
		const struct sov_map_slot *pos = sov_repo_position_of(repo, i);
		char		uuid[37];

		sov_uuid_text(uuid, pos ? pos->uuid : p->uuid);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s*, s:b, s:s?, s:o}", "provider", p->cfg->name, "type", p->cfg->type,
											  "state", sov_repo_provider_state(p), "uuid", pos || p->known ? uuid : NULL, "place", pos != NULL,
											  "policy", policy_word(repo, i), "message", p->down ? text_json(p->last.message) : json_null()));
	}
	return list;
}

static json_t *
backups_json(const struct sov_catalogue *cat)
{
	json_t	   *list = json_array();

	for (uint32_t i = 0; i < cat->n; i++)
	{
		const struct sov_backup_entry *b = &cat->backups[i];

		json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "backup", b->id, "label", text_json(b->label),
											  "started", time_json((int64_t) b->start_us), "finished", time_json((int64_t) b->stop_us),
											  "timeline", (json_int_t) b->timeline, "start_lsn", lsn_json(b->start_lsn), "stop_lsn", lsn_json(b->stop_lsn),
											  "files", (json_int_t) b->files, "bytes", (json_int_t) b->bytes, "stored", (json_int_t) b->stored,
											  "bad_pages", (json_int_t) b->bad_pages, "pg_version", (json_int_t) b->pg_version));
	}
	return list;
}

/* The oldest backup of a cluster that began on a timeline; backups are sorted by age. */
static const struct sov_backup_entry *
oldest_on(const struct sov_catalogue *cat, uint64_t system_id, uint32_t timeline)
{
	for (uint32_t i = 0; i < cat->n; i++)
		if (cat->backups[i].timeline == timeline && cat->backups[i].system_id == system_id)
			return &cat->backups[i];
	return NULL;
}

/* Of a cluster on a timeline, unless the list has it. */
static void
add_wal(json_t *list, const struct sov_repo *repo, const struct sov_catalogue *cat, uint64_t system_id, uint32_t timeline)
{
	const struct sov_backup_entry *b = oldest_on(cat, system_id, timeline);
	struct sov_mark mark;
	char		cluster[24];
	json_t	   *w;
	size_t		i;

	if (!sov_repo_cluster_mark(repo, system_id, timeline, &mark) || mark.segment[0] == '\0')
		return;
	/* signed, as pg_control_system() shows it */
	snprintf(cluster, sizeof cluster, "%" PRId64, (int64_t) system_id);
	json_array_foreach(list, i, w)
		if (json_integer_value(json_object_get(w, "timeline")) == (json_int_t) timeline && strcmp(json_string_value(json_object_get(w, "cluster")), cluster) == 0)
			return;
	json_array_append_new(list, json_pack("{s:s, s:b, s:I, s:s?, s:o, s:o, s:s, s:o}", "cluster", cluster,
										  "former_cluster", system_id != sov_repo_current_cluster(repo), "timeline", (json_int_t) timeline,
										  "from_backup", b ? b->id : NULL, "from_lsn", b ? lsn_json(b->start_lsn) : json_null(),
										  "to_lsn", lsn_json(mark.lsn), "segment", mark.segment, "marked", time_json((int64_t) mark.time_us)));
}

/* Former clusters first, in the order in which they were left. */
static json_t *
wal_json(const struct sov_repo *repo, const struct sov_catalogue *cat)
{
	uint64_t	current = sov_repo_current_cluster(repo);
	json_t	   *list = json_array();

	for (int c = 0; c < repo->admin.n_clusters; c++)
	{
		const struct sov_cluster *cluster = &repo->admin.clusters[c];

		if (cluster->mark.segment[0] != '\0')
			add_wal(list, repo, cat, cluster->system_id, cluster->mark.timeline);
		for (int i = 0; i < repo->n_heads; i++)
			if (repo->heads[i].system_id == cluster->system_id)
				add_wal(list, repo, cat, cluster->system_id, repo->heads[i].mark.timeline);
	}
	for (int i = 0; i < repo->n_heads && repo->admin.n_clusters == 0; i++)
		if (repo->heads[i].system_id == current)
			add_wal(list, repo, cat, current, repo->heads[i].mark.timeline);
	return list;
}

static void
write_json(struct sov_repo *repo, const char *file, json_t *doc)
{
	char		path[1200];
	struct sov_error err;
	char	   *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

	snprintf(path, sizeof path, "%s/%s", repo->cfg.state_directory, file);
	if (text == NULL)
		repo_note(repo, "%s is not up to date: out of memory", path);
	else if (repo_write_file(path, text, strlen(text), &err) != SOV_OK)
		repo_note(repo, "%s is not up to date: %s", path, err.message);
	free(text);
	json_decref(doc);
}

static uint64_t
add_word(uint64_t h, const char *s)
{
	for (; s && *s; s++)
		h = (h ^ (unsigned char) *s) * UINT64_C(1099511628211);
	return h * UINT64_C(1099511628211);
}

/* Of all that the facts come from. */
static uint64_t
stamp_of(const struct sov_repo *repo)
{
	uint64_t	h = UINT64_C(14695981039346656037) ^ repo->admin.seq;	/* FNV-1a */

	for (int i = 0; i < repo->n_heads; i++)
		h = ((h ^ repo->heads[i].writer) * UINT64_C(1099511628211) ^ repo->heads[i].seq) * UINT64_C(1099511628211);
	for (int i = 0; i < repo->n_providers; i++)
		h = add_word(add_word(h, sov_repo_provider_state(&repo->providers[i])), policy_word(repo, i));
	return h ? h : 1;
}

static void
keep_facts(struct sov_repo *repo)
{
	struct sov_catalogue cat;
	struct sov_error err;
	uint64_t	stamp = stamp_of(repo);

	if (stamp == repo->priv->facts_stamp)
		return;
	if (sov_repo_catalogue(repo, &cat, &err) != SOV_OK)
	{
		repo_note(repo, "what the views show of this repository is not up to date: %s", err.message);
		return;
	}
	write_json(repo, FACTS, json_pack("{s:o, s:s, s:i, s:i, s:o, s:o, s:o}", "seen", time_json(repo_now_us()), "repository", repo->keys->repo_name,
									  "needed", (int) repo->admin.map.k, "shards", (int) repo->admin.map.n,
									  "providers", providers_json(repo), "backups", backups_json(&cat), "wal", wal_json(repo, &cat)));
	repo->priv->facts_stamp = stamp;
	sov_catalogue_free(&cat);
}

void
sov_facts_keep(struct sov_repo *repo)
{
	keep_facts(repo);
	sov_history_keep(repo);
}

void
sov_facts_keep_verified(struct sov_repo *repo, const struct sov_verify_options *opt, const struct sov_verify_result *res)
{
	/* what was mended is not left, of whatever kind it was */
	uint64_t	left = res->missing + res->damaged > res->mended ? res->missing + res->damaged - res->mended : 0,
				damaged = res->damaged < left ? res->damaged : left;

	repo->priv->found = (struct repo_found) {true, res->tolerates < 0 ? 0 : res->tolerates, left - damaged, damaged, res->lost};
	write_json(repo, VERIFIED, json_pack("{s:o, s:b, s:I, s:I, s:I, s:I, s:i}", "time", time_json(repo_now_us()), "deep", (int) opt->deep,
										 "objects", (json_int_t) res->objects, "missing", (json_int_t) res->missing, "damaged", (json_int_t) res->damaged,
										 "lost", (json_int_t) res->lost, "tolerates", res->tolerates));
}

/* --- reading --- */

static json_t *
load(const struct sov_config *cfg, const char *file, struct sov_error *err)
{
	char		path[1200];
	struct sov_buf text = {0};
	json_error_t why;
	json_t	   *doc = NULL;

	snprintf(path, sizeof path, "%s/%s", cfg->state_directory, file);
	if (repo_read_file(path, &text, err) == SOV_OK)
	{
		doc = json_loadb((const char *) text.data, text.len, 0, &why);
		if (!json_is_object(doc))
		{
			json_decref(doc);
			doc = NULL;
			sov_fail(err, SOV_E_FORMAT, "remove it: the next 'pg_sovereign list' makes it anew", "%s is no JSON object: %s", path, why.text);
		}
	}
	sov_buf_free(&text);
	return doc;
}

/* Classes of objects as people know them, by the first letter of names. */
static const struct { const char *letters, *word; } classes[] = {
	{"p", "pack"}, {"w", "WAL"}, {"m", "metadata"}, {"r", "run"}, {"hak", "head"}
};
#define N_CLASSES (sizeof classes / sizeof classes[0])

/* What the spool owes a provider, by class. */
static enum sov_code
count_owed(const struct sov_config *cfg, const char *provider, uint64_t owed[N_CLASSES], struct sov_error *err)
{
	struct sov_debt debt;
	enum sov_code rc = sov_repo_debt(cfg, provider, &debt, err);

	for (size_t c = 0; c < N_CLASSES; c++)
	{
		owed[c] = 0;
		for (const char *letter = classes[c].letters; *letter; letter++)
			owed[c] += debt.of[*letter - 'a'];
	}
	return rc;
}

int
sov_facts_tolerated_now(const struct sov_repo *repo)
{
	int			k = repo->admin.map.k,
				least = repo->admin.map.n,
				holders[N_CLASSES] = {0};

	for (int p = 0; p < repo->admin.map.n; p++)
	{
		int			i = sov_repo_provider_of(repo, repo->admin.map.pos[p].uuid);
		uint64_t	owed[N_CLASSES];

		if (i < 0 || !repo->providers[i].known || repo->providers[i].down ||
			count_owed(&repo->cfg, repo->providers[i].cfg->name, owed, NULL) != SOV_OK)
			continue;
		for (size_t c = 0; c < N_CLASSES; c++)
			holders[c] += owed[c] == 0;
	}
	for (size_t c = 0; c < N_CLASSES; c++)
	{
		int			spare = holders[c] > k ? holders[c] - k : 0;

		least = spare < least ? spare : least;
	}
	return least;
}

static enum sov_code
add_local(const struct sov_config *cfg, json_t *p, bool with_debt, struct sov_error *err)
{
	const char *name = json_string_value(json_object_get(p, "provider")),
			   *text = json_string_value(json_object_get(p, "uuid"));
	struct sov_proven proven = {0};
	struct sov_debt debt = {0};
	struct sov_probe probe;
	uint8_t		uuid[16];

	if (name && with_debt && sov_repo_debt(cfg, name, &debt, err) != SOV_OK)
		return err->code;
	if (name && sov_probe_read(cfg, name, &probe))
		json_object_set_new(p, "probe", json_pack("{s:o, s:I, s:I, s:f}", "time", time_json(probe.time_us), "put_rate", (json_int_t) probe.put_rate,
												  "get_rate", (json_int_t) probe.get_rate, "latency_ms", probe.latency_ms));
	if (text && sov_uuid_parse(uuid, text))
		(void) sov_proven_read(cfg, uuid, &proven);
	if (with_debt)
	{
		json_object_set_new(p, "owed_objects", json_integer((json_int_t) debt.objects));
		json_object_set_new(p, "owed_bytes", json_integer((json_int_t) debt.bytes));
	}
	json_object_set_new(p, "proven", time_json(proven.time_us));
	json_object_set_new(p, "proven_shards", json_integer((json_int_t) proven.shards));
	return SOV_OK;
}

static enum sov_code
add_redundancy(const struct sov_config *cfg, json_t *doc, struct sov_error *err)
{
	json_t	   *list = json_array(),
			   *p;
	size_t		i;
	int			needed = (int) json_integer_value(json_object_get(doc, "needed"));
	uint64_t	owed[N_CLASSES] = {0};
	int			holders[N_CLASSES] = {0};
	enum sov_code rc = SOV_OK;

	json_array_foreach(json_object_get(doc, "providers"), i, p)
	{
		const char *name = json_string_value(json_object_get(p, "provider")),
				   *state = json_string_value(json_object_get(p, "state"));
		uint64_t	own[N_CLASSES];

		if (name == NULL || !json_is_true(json_object_get(p, "place")))
			continue;
		rc = count_owed(cfg, name, own, err);
		if (rc != SOV_OK)
			break;
		for (size_t c = 0; c < N_CLASSES; c++)
		{
			owed[c] += own[c];
			holders[c] += own[c] == 0 && state && strcmp(state, "down") != 0;
		}
	}
	for (size_t c = 0; c < N_CLASSES; c++)
		json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:I, s:i}", "class", classes[c].word, "needed", needed, "holders", holders[c],
											  "owed_objects", (json_int_t) owed[c], "losses_tolerated", holders[c] > needed ? holders[c] - needed : 0));
	json_object_set_new(doc, "redundancy", list);
	return rc;
}

static enum sov_code
no_repository(const struct sov_config *cfg, struct sov_error *err)
{
	return sov_fail(err, SOV_E_CONFIG, "add name = ... to [repository]", "%s configures no repository", cfg->file);
}

static enum sov_code
not_yet(struct sov_error *err)
{
	return sov_fail(err, SOV_E_NOTFOUND, "run 'pg_sovereign list' as the server's user", "no command of this host has looked at the repository yet");
}

/* The lists that grow; a reader of one is spared the others. */
static const char *const lists[] = {"providers", "backups", "wal", "redundancy"};

/* part: of the lists only this one (NULL: all). */
static json_t *
read_facts(const struct sov_config *cfg, const char *part, struct sov_error *err)
{
	bool		redundancy = part == NULL || strcmp(part, "redundancy") == 0;
	enum sov_code rc = SOV_OK;
	json_t	   *doc,
			   *verified,
			   *p;
	size_t		i;

	if (cfg->state_directory[0] == '\0')
	{
		no_repository(cfg, err);
		return NULL;
	}
	doc = load(cfg, FACTS, err);
	if (doc == NULL && err->code == SOV_E_NOTFOUND)
		not_yet(err);
	if (doc == NULL)
		return NULL;
	if (part == NULL || strcmp(part, "providers") == 0)
		json_array_foreach(json_object_get(doc, "providers"), i, p)
			rc = rc == SOV_OK ? add_local(cfg, p, part == NULL, err) : rc;
	if (rc == SOV_OK && redundancy)
		rc = add_redundancy(cfg, doc, err);
	if (rc != SOV_OK)
	{
		json_decref(doc);
		return NULL;
	}
	for (i = 0; part != NULL && i < sizeof lists / sizeof lists[0]; i++)
		if (strcmp(lists[i], part) != 0)
			json_object_del(doc, lists[i]);
	verified = load(cfg, VERIFIED, &(struct sov_error) {0});
	json_object_set_new(doc, "verified", verified ? verified : json_null());
	return doc;
}

static enum sov_code
facts_text(const struct sov_config *cfg, struct sov_buf *json, struct sov_error *err)
{
	char		path[1200];
	enum sov_code rc;

	if (cfg->state_directory[0] == '\0')
		return no_repository(cfg, err);
	snprintf(path, sizeof path, "%s/" FACTS, cfg->state_directory);
	rc = repo_read_file(path, json, err);
	if (rc == SOV_E_NOTFOUND)
		return not_yet(err);
	sov_write_u8(json, 0);
	return rc == SOV_OK && json->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : rc;
}

enum sov_code
sov_facts_read(const struct sov_config *cfg, const char *part, struct sov_buf *json, struct sov_error *err)
{
	json_t	   *doc;
	char	   *text;

	/* What the file says as it stands is not parsed here to be written again: that
	 * took half the time of a query on a thousand backups. */
	if (part && (strcmp(part, "backups") == 0 || strcmp(part, "wal") == 0))
		return facts_text(cfg, json, err);
	doc = read_facts(cfg, part, err);
	if (doc == NULL)
		return err->code;
	text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	if (text)
		sov_write_bytes(json, text, strlen(text) + 1);
	free(text);
	return text && !json->bad ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

int
sov_facts_tolerated(const struct sov_config *cfg, char *why, size_t cap)
{
	struct sov_error err;
	json_t	   *doc = read_facts(cfg, NULL, &err),
			   *p;
	size_t		i,
				used = 0;
	int			least = -1;

	why[0] = '\0';
	json_array_foreach(json_object_get(doc, "redundancy"), i, p)
	{
		int			n = (int) json_integer_value(json_object_get(p, "losses_tolerated"));

		least = least < 0 || n < least ? n : least;
	}
	json_array_foreach(json_object_get(doc, "providers"), i, p)
	{
		const char *name = json_string_value(json_object_get(p, "provider")),
				   *state = json_string_value(json_object_get(p, "state"));
		json_int_t	owed = json_integer_value(json_object_get(p, "owed_objects"));

		if (name == NULL || state == NULL || used >= cap || (owed == 0 && strcmp(state, "down") != 0))
			continue;
		used += (size_t) snprintf(why + used, cap - used, "%s%s ", used ? "; " : "", name);
		if (used < cap && strcmp(state, "down") == 0)
			used += (size_t) snprintf(why + used, cap - used, "is down");
		else if (used < cap)
			used += (size_t) snprintf(why + used, cap - used, "is owed objects");
	}
	json_decref(doc);
	return least;
}
