/*
 * leave.c - what providers that were left still hold is deleted, with receipts.
 *
 * The administrator's chain lists who was left.  Whoever is on that list, has a
 * section still (state = drain), answers, and is in no map, is emptied of what is
 * ours.  So a deletion that was interrupted, or that the provider refused for some
 * objects (object lock, no right to delete), goes on with the next apply.  A
 * receipt names every object that was deleted and every one that could not be;
 * one that was not reached at all says so.  What a provider that keeps versions only
 * hides from readers is deleted too, or named, and so is what was begun and never
 * finished (uploads in parts).  Nobody is believed that it is gone: what is listed
 * afterwards, and is there, counts as not deleted.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migrate_private.h"

static bool
collect(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct sov_buf *b = ctx;

	if (!repo_is_ours(name))
		return true;
	sov_write_u64(b, st->size);
	sov_write_bytes(b, name, strlen(name) + 1);
	return true;
}

struct emptying
{
	int			provider;
	const char **names;
	uint64_t   *sizes;
	bool		whole;			/* every name of the list was asked for */
	json_t	   *deleted,		/* names */
			   *kept,			/* names, with the reason */
			   *unfinished,		/* names of what was begun and taken back */
			   *unknown;		/* what could not be found out */
	struct sov_receipt *receipt;
};

static enum sov_code
delete_one(struct apply *a, size_t i, void *arg, struct sov_error *err)
{
	struct emptying *e = arg;
	struct sov_error why;
	enum sov_code rc;

	(void) err;
	sov_error_clear(&why);
	rc = repo_remove(a->repo, e->provider, e->names[i], &why);
	pthread_mutex_lock(&a->lock);
	if (rc == SOV_OK || rc == SOV_E_NOTFOUND)
	{
		e->receipt->deleted++;
		e->receipt->bytes += e->sizes[i];
		json_object_set_new(e->deleted, e->names[i], json_true());
	}
	else
	{
		e->receipt->failed++;
		e->receipt->locked += rc == SOV_E_LOCKED;
		json_object_set_new(e->kept, e->names[i], json_string(why.message));
	}
	pthread_mutex_unlock(&a->lock);
	return SOV_OK;
}

/* All of a list but the identity, or the identity. */
static void
empty(struct apply *a, struct emptying *e, const struct sov_buf *list, bool identity)
{
	size_t		n = 0,
				cap = list->len / 9 + 1;

	e->names = malloc(cap * sizeof *e->names);
	e->sizes = malloc(cap * sizeof *e->sizes);
	e->whole = e->names && e->sizes;
	for (size_t at = 0; e->whole && at < list->len;)
	{
		const char *name = (const char *) list->data + at + 8;

		if ((strcmp(name, SOV_IDENTITY_OBJECT) == 0) == identity)
		{
			e->names[n] = name;
			e->sizes[n++] = sov_get_le64(list->data + at);
		}
		at += 8 + strlen(name) + 1;
	}
	e->whole = e->whole && apply_crew(a, APPLY_SMALL_CREW, n, delete_one, e, NULL) == SOV_OK;
	free(e->names);
	free(e->sizes);
}

/* An object, or something that could not be found out. */
static void
keep(struct emptying *e, const char *what, const char *why)
{
	e->receipt->failed++;
	json_object_set_new(e->kept, what, json_string(why));
}

/* It was not deleted, whatever the provider said. */
static void
take_back(struct emptying *e, const char *name, uint64_t size)
{
	if (json_object_del(e->deleted, name) == 0)
	{
		e->receipt->deleted--;
		e->receipt->bytes -= size;
	}
	keep(e, name, "the provider said that it was removed, or took it meanwhile, and has it still");
}

/* What is there still?  A list may be late, so that each name is looked at. */
static void
read_back(struct apply *a, struct emptying *e, bool identity)
{
	struct sov_buf list = {0};
	struct sov_object_stat st;
	struct sov_error why;
	size_t		seen;

	sov_error_clear(&why);
	if (repo_list(a->repo, e->provider, "", collect, &list, &why) != SOV_OK)
		keep(e, "what is listed there still, if anything", why.message);
	seen = list.len;
	if (repo_list_hidden(a->repo, e->provider, collect, &list, &why) != SOV_OK)
		keep(e, "what is hidden there still, if anything", why.message);
	for (size_t at = 0; !list.bad && at < list.len;)
	{
		const char *name = (const char *) list.data + at + 8;

		if ((strcmp(name, SOV_IDENTITY_OBJECT) == 0) == identity && json_object_get(e->kept, name) == NULL &&
			(at >= seen || repo_stat(a->repo, e->provider, name, &st, NULL) != SOV_E_NOTFOUND))
			take_back(e, name, at < seen ? sov_get_le64(list.data + at) : 0);
		at += 8 + strlen(name) + 1;
	}
	if (list.bad)
		keep(e, "what is there still, if anything", "out of memory");
	sov_buf_free(&list);
}

/* --- what was begun and never finished --- */

static bool
take_unfinished(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct emptying *e = ctx;

	(void) st;
	if (name[0] != '+' && !repo_is_ours(name))
		return false;
	e->receipt->unfinished++;
	json_array_append_new(e->unfinished, json_string(name));
	return true;
}

static bool
count_unfinished(void *ctx, const char *name, const struct sov_object_stat *st)
{
	(void) st;
	*(uint64_t *) ctx += name[0] == '+' || repo_is_ours(name);
	return false;
}

/* Nobody puts anything there any more, so that all of it goes, of whatever age. */
static void
take_back_unfinished(struct apply *a, struct emptying *e)
{
	static const char what[] = "what was begun there and never finished, if anything";
	struct sov_error why;
	uint64_t	left = 0;
	enum sov_code rc;

	sov_error_clear(&why);
	rc = repo_sweep(a->repo, e->provider, take_unfinished, e, &why);
	if (rc == SOV_OK && e->receipt->unfinished > 0)
		rc = repo_sweep(a->repo, e->provider, count_unfinished, &left, &why);
	if (rc == SOV_E_UNSUPPORTED)
		json_array_append_new(e->unknown, json_string("whether uploads in parts were begun there and never finished: the provider does not list them"));
	else if (rc != SOV_OK)
		keep(e, what, why.message);
	else if (left > 0)
		keep(e, what, "the provider said that it was taken back, and lists it still");
}

/* What is seen, what is hidden, and the identity last: it is how a later apply knows the
 * provider again. */
static void
empty_all(struct apply *a, struct emptying *e, const struct sov_buf *list)
{
	struct sov_buf hidden = {0};
	struct sov_error why;

	empty(a, e, list, false);
	sov_error_clear(&why);
	if (e->whole && repo_list_hidden(a->repo, e->provider, collect, &hidden, &why) == SOV_OK)
		empty(a, e, &hidden, false);
	else if (e->whole)
		keep(e, "what is hidden there, if anything", why.message);
	if (e->whole)
		take_back_unfinished(a, e);
	if (e->whole)
		read_back(a, e, false);
	if (e->whole && e->receipt->failed == 0)
		empty(a, e, list, true);
	if (e->whole && e->receipt->failed == 0)
		empty(a, e, &hidden, true);
	if (e->whole && e->receipt->failed == 0)
		read_back(a, e, true);
	if (!e->whole)
		keep(e, "what is there still, if anything", "not all of it was asked for: cancelled, or out of memory");
	sov_buf_free(&hidden);
}

static void
keep_receipt(struct apply *a, struct emptying *e, uint64_t left_us)
{
	struct sov_receipt *r = e->receipt;
	char		uuid[37],
				when[32],
				left[32],
				path[1300];
	time_t		now = (time_t) (repo_now_us() / 1000000),
				then = (time_t) (left_us / 1000000);
	struct tm	tm;
	struct sov_error err;
	json_t	   *doc,
			   *deleted = json_array(),
			   *kept = json_array(),
			   *why;
	const char *name;
	char	   *text;
	enum sov_code rc;

	sov_uuid_text(uuid, r->uuid);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	strftime(left, sizeof left, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&then, &tm));
	json_object_foreach(e->deleted, name, why)
		json_array_append_new(deleted, json_string(name));
	json_object_foreach(e->kept, name, why)
		json_array_append_new(kept, json_pack("{s:s, s:O}", "object", name, "why", why));
	doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:o, s:o, s:O, s:O}", "repository", a->repo->keys->repo_name,
					"provider", r->alias, "uuid", uuid, "left", left, "time", when, "reached", r->reached,
					"bytes_deleted", (json_int_t) r->bytes, "objects_not_deleted", (json_int_t) r->failed,
					"deleted", deleted, "not_deleted", kept, "unfinished_deleted", e->unfinished, "not_known", e->unknown);
	text = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;
	json_decref(doc);
	snprintf(path, sizeof path, "%s/receipts", a->repo->cfg.state_directory);
	rc = text ? repo_mkdirs(path, &err) : sov_fail(&err, SOV_E_NOMEM, NULL, "out of memory");
	snprintf(r->file, sizeof r->file, "receipts/%.20s-%lld.json", r->alias, (long long) now);
	snprintf(path, sizeof path, "%s/%s", a->repo->cfg.state_directory, r->file);
	if (rc == SOV_OK)
		rc = repo_write_file(path, text, strlen(text), &err);
	if (rc != SOV_OK)
	{
		repo_note(a->repo, "the receipt for provider %s could not be kept: %s", r->alias, err.message);
		r->file[0] = '\0';
	}
	free(text);
}

/* Was it left by this very run? */
static bool
left_now(const struct apply *a, const uint8_t uuid[16], uint64_t time_us)
{
	for (int i = 0; i < a->res->plan.n_moves; i++)
		if (memcmp(a->res->plan.moves[i].old_uuid, uuid, 16) == 0)
			return true;
	return a->res->plan.recode.wanted && (int64_t) time_us >= a->started_us;
}

static bool
alias_used(const struct sov_repo *repo, const char *alias)
{
	for (int p = 0; p < repo->admin.map.n; p++)
		if (strcmp(repo->admin.map.pos[p].alias, alias) == 0)
			return true;
	for (int p = 0; p < repo->admin.was.n; p++)
		if (strcmp(repo->admin.was.pos[p].alias, alias) == 0)
			return true;
	return false;
}

static void
leave_one(struct apply *a, int i)
{
	const struct sov_admin_head *head = &a->repo->admin;
	int			p = -1;
	struct sov_buf list = {0};
	struct emptying e = {0};
	bool		there;

	if (repo_in_map(&head->map, head->left[i].uuid) || repo_in_map(&head->was, head->left[i].uuid) || a->res->n_receipts == 32)
		return;
	if (!alias_used(a->repo, head->left[i].alias))
		repo_spool_drop(a->repo, head->left[i].alias);
	for (int j = 0; j < a->repo->n_providers; j++)
		if (a->repo->providers[j].known && memcmp(a->repo->providers[j].uuid, head->left[i].uuid, 16) == 0)
			p = j;
	there = p >= 0 && repo_list(a->repo, p, "", collect, &list, NULL) == SOV_OK;
	if ((there && list.len == 0) || (!there && !left_now(a, head->left[i].uuid, head->left[i].time_us)))
	{
		sov_buf_free(&list);
		return;					/* done long ago, or known to be out of reach */
	}
	e.provider = p;
	e.deleted = json_object();
	e.kept = json_object();
	e.unfinished = json_array();
	e.unknown = json_array();
	e.receipt = &a->res->receipt[a->res->n_receipts++];
	memcpy(e.receipt->uuid, head->left[i].uuid, 16);
	snprintf(e.receipt->alias, sizeof e.receipt->alias, "%s", head->left[i].alias);
	e.receipt->reached = there;
	if (there)
		empty_all(a, &e, &list);
	keep_receipt(a, &e, head->left[i].time_us);
	json_decref(e.deleted);
	json_decref(e.kept);
	json_decref(e.unfinished);
	json_decref(e.unknown);
	sov_buf_free(&list);
}

void
leave_all(struct apply *a)
{
	for (int i = 0; i < a->repo->admin.n_left; i++)
		leave_one(a, i);
}
