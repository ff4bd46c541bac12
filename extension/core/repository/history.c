/*
 * history.c - points in time of what the facts say: see sov_history.h.
 *
 * One process at a time appends, under the lock "history.lock".  A line that a crash
 * cut short is ended by the next writer and passed over by readers; thinning writes the
 * file anew and renames it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "repo_private.h"
#include "sov_facts.h"
#include "sov_history.h"

#define HISTORY "history"
#define SECOND_US INT64_C(1000000)
#define HOUR_US (3600 * SECOND_US)
#define DAY_US (24 * HOUR_US)
#define WHOLE_US (7 * DAY_US)	/* nothing is put together before */
#define LOOK_EVERY_US (10 * SECOND_US)	/* of a process that stays */
#define SHOWN_US (731 * DAY_US)
#define LINE_MAX_BYTES 16384
#define FILE_MAX_BYTES (2 << 20)	/* thinned before the day is over */
#define LATEST_US (INT64_C(253402300799) * SECOND_US)	/* the end of the year 9999 */

static int64_t
time_of(const json_t *point)
{
	return (int64_t) json_integer_value(json_object_get(point, "time_us"));
}

/* One line; NULL when it is none of ours. */
static json_t *
parse_line(const char *line, size_t len)
{
	json_t	   *point = json_loadb(line, len, 0, NULL);

	if (json_is_object(point) && time_of(point) > 0 && time_of(point) <= LATEST_US &&
		json_is_object(json_object_get(point, "tolerated")) && json_is_object(json_object_get(point, "providers")))
		return point;
	json_decref(point);
	return NULL;
}

/* All lines, in their order; *unreadable counts those that are passed over. */
static json_t *
parse_lines(const char *text, size_t len, size_t *unreadable)
{
	json_t	   *points = json_array();

	*unreadable = 0;
	for (const char *at = text, *end = text + len; at < end;)
	{
		const char *stop = memchr(at, '\n', (size_t) (end - at));
		size_t		n = (size_t) ((stop ? stop : end) - at);
		json_t	   *point = n > 0 ? parse_line(at, n) : NULL;

		if (point)
			json_array_append_new(points, point);
		else
			*unreadable += n > 0;
		at += n + 1;
	}
	return points;
}

/* --- putting together --- */

static void
set_worse(json_t *dst, const json_t *src, const char *name, bool least)
{
	const json_t *theirs = json_object_get(src, name);
	json_t	   *ours = json_object_get(dst, name);

	if (!json_is_integer(theirs))
		return;
	if (!json_is_integer(ours) || (json_integer_value(theirs) < json_integer_value(ours)) == least)
		json_object_set(dst, name, json_object_get(src, name));
}

static void
merge_providers(json_t *dst, const json_t *src)
{
	const char *name;
	json_t	   *theirs;

	json_object_foreach((json_t *) src, name, theirs)
	{
		json_t	   *ours = json_object_get(dst, name),
				   *state = json_object_get(theirs, "state");

		if (ours == NULL)
		{
			json_object_set(dst, name, theirs);
			continue;
		}
		set_worse(ours, theirs, "owed", false);
		if (json_object_get(ours, "bytes") == NULL && json_object_get(theirs, "bytes"))
			json_object_set(ours, "bytes", json_object_get(theirs, "bytes"));
		if (json_is_string(state) && strcmp(json_string_value(state), "down") == 0)
			json_object_set(ours, "state", state);
	}
}

/* What came before into what came after it. */
static void
merge(json_t *later, const json_t *before, const char *of)
{
	static const char *const counts[] = {"missing", "damaged", "lost"};
	json_t	   *found = json_object_get(later, "found"),
			   *old = json_object_get(before, "found"),
			   *v;
	const char *class_;

	json_object_foreach(json_object_get(before, "tolerated"), class_, v)
		set_worse(json_object_get(later, "tolerated"), json_object_get(before, "tolerated"), class_, true);
	merge_providers(json_object_get(later, "providers"), json_object_get(before, "providers"));
	if (json_is_object(old) && !json_is_object(found))
		json_object_set(later, "found", old);
	else if (json_is_object(old))
	{
		set_worse(found, old, "tolerates", true);
		for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
			set_worse(found, old, counts[i], false);
	}
	json_object_set_new(later, "of", json_string(of));
}

/* Neighbours of the same stretch of time, those older than that behind the last. */
static json_t *
put_together(json_t *points, int64_t stretch_us, int64_t older_us, const char *of)
{
	json_t	   *out = json_array(),
			   *one;
	size_t		i,
				n = json_array_size(points);
	int64_t		last = n ? time_of(json_array_get(points, n - 1)) : 0;

	json_array_foreach(points, i, one)
	{
		json_t	   *before = json_array_size(out) ? json_array_get(out, json_array_size(out) - 1) : NULL;

		if (before && time_of(before) / stretch_us == time_of(one) / stretch_us && last - time_of(one) > older_us)
		{
			merge(one, before, of);
			json_array_set(out, json_array_size(out) - 1, one);
		}
		else
			json_array_append(out, one);
	}
	json_decref(points);
	return out;
}

bool
sov_history_thin(struct sov_buf *lines)
{
	size_t		unreadable,
				i;
	json_t	   *points = parse_lines((const char *) lines->data, lines->len, &unreadable),
			   *one;

	points = put_together(points, DAY_US, WHOLE_US, "day");
	if (json_array_size(points) > SOV_HISTORY_MAX)
		points = put_together(points, HOUR_US, INT64_MIN, "hour");
	while (json_array_size(points) > SOV_HISTORY_MAX)
		json_array_remove(points, 0);
	lines->len = 0;
	json_array_foreach(points, i, one)
	{
		char	   *text = json_dumps(one, JSON_COMPACT);

		if (text == NULL)
			lines->bad = true;
		else
			sov_write_bytes(lines, text, strlen(text));
		sov_write_bytes(lines, "\n", 1);
		free(text);
	}
	json_decref(points);
	return !lines->bad;
}

/* --- keeping --- */

static json_t *
providers_now(const struct sov_repo *repo, const json_t *facts)
{
	json_t	   *all = json_object(),
			   *p;
	size_t		i;

	json_array_foreach(json_object_get(facts, "providers"), i, p)
	{
		const char *name = json_string_value(json_object_get(p, "provider"));
		json_t	   *one = json_object();

		if (name == NULL)
		{
			json_decref(one);
			continue;
		}
		json_object_set(one, "state", json_object_get(p, "state"));
		json_object_set(one, "owed", json_object_get(p, "owed_objects"));
		for (int j = 0; j < repo->n_providers; j++)
			if (repo->priv->counted[j] && strcmp(repo->providers[j].cfg->name, name) == 0)
				json_object_set_new(one, "bytes", json_integer((json_int_t) repo->priv->counted_bytes[j]));
		json_object_set_new(all, name, one);
	}
	return all;
}

/* NULL: there are no facts. */
static json_t *
point_now(const struct sov_repo *repo)
{
	const struct repo_found *found = &repo->priv->found;
	struct sov_buf text = {0};
	json_t	   *facts = NULL,
			   *tolerated = json_object(),
			   *point = NULL,
			   *one;
	json_int_t	stored = 0;
	size_t		i;

	if (sov_facts_read(&repo->cfg, NULL, &text, NULL) == SOV_OK)
		facts = json_loads((const char *) text.data, 0, NULL);
	sov_buf_free(&text);
	json_array_foreach(json_object_get(facts, "redundancy"), i, one)
		if (json_is_string(json_object_get(one, "class")))
			json_object_set(tolerated, json_string_value(json_object_get(one, "class")), json_object_get(one, "losses_tolerated"));
	json_array_foreach(json_object_get(facts, "backups"), i, one)
		stored += json_integer_value(json_object_get(one, "stored"));
	if (facts)
		point = json_pack("{s:I, s:s, s:O, s:I, s:I, s:o}", "time_us", (json_int_t) repo_now_us(), "of", "point", "tolerated", tolerated,
						  "backups", (json_int_t) json_array_size(json_object_get(facts, "backups")), "stored", stored,
						  "providers", providers_now(repo, facts));
	if (point && found->known)
		json_object_set_new(point, "found", json_pack("{s:i, s:I, s:I, s:I}", "tolerates", found->tolerates, "missing", (json_int_t) found->missing,
													  "damaged", (json_int_t) found->damaged, "lost", (json_int_t) found->lost));
	json_decref(tolerated);
	json_decref(facts);
	return point;
}

/* Is there something that the last line does not say? */
static bool
due(const json_t *last, const json_t *now)
{
	static const char *const same[] = {"tolerated", "backups", "stored"};
	const json_t *then = json_object_get(last, "providers"),
			   *providers = json_object_get(now, "providers");
	const char *name;
	json_t	   *p;
	bool		differs = last == NULL || json_object_get(now, "found") || json_object_size(then) != json_object_size(providers) ||
		time_of(now) - time_of(last) >= HOUR_US || time_of(now) < time_of(last);

	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
		differs = differs || !json_equal(json_object_get(last, same[i]), json_object_get(now, same[i]));
	json_object_foreach((json_t *) providers, name, p)
		differs = differs || json_object_get(p, "bytes") || !json_equal(json_object_get(json_object_get(then, name), "state"), json_object_get(p, "state"));
	return differs;
}

/* The last line that can be read; *ended: the file is empty or ends in a line's end. */
static json_t *
last_line(int fd, off_t size, bool *ended)
{
	char		tail[2 * LINE_MAX_BYTES];
	size_t		want = (size_t) size < sizeof tail ? (size_t) size : sizeof tail,
				unreadable;
	ssize_t		n = pread(fd, tail, want, size - (off_t) want);
	json_t	   *points = parse_lines(tail, n > 0 ? (size_t) n : 0, &unreadable),
			   *last = json_incref(json_array_get(points, json_array_size(points) - 1));

	*ended = n <= 0 || tail[n - 1] == '\n';
	json_decref(points);
	return last;
}

static enum sov_code
append(int fd, const char *path, const json_t *point, bool ended, struct sov_error *err)
{
	struct sov_buf line = {0};
	char	   *text = json_dumps(point, JSON_COMPACT);
	ssize_t		n;
	enum sov_code rc = SOV_OK;

	if (!ended)
		sov_write_bytes(&line, "\n", 1);
	if (text)
		sov_write_bytes(&line, text, strlen(text));
	sov_write_bytes(&line, "\n", 1);
	if (text == NULL || line.bad || line.len > LINE_MAX_BYTES)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	else if ((n = write(fd, line.data, line.len)) != (ssize_t) line.len || fdatasync(fd) != 0)
		rc = sov_fail_errno(err, n >= 0 && n < (ssize_t) line.len ? ENOSPC : errno, NULL, "could not write %s", path);
	free(text);
	sov_buf_free(&line);
	return rc;
}

static enum sov_code
thin_file(const char *path, struct sov_error *err)
{
	struct sov_buf text = {0};
	enum sov_code rc = repo_read_file(path, &text, err);

	if (rc == SOV_OK && !sov_history_thin(&text))
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		rc = repo_write_file(path, text.data, text.len, err);
	sov_buf_free(&text);
	return rc;
}

/* Under the lock. */
static enum sov_code
keep_point(const char *path, const json_t *point, struct sov_error *err)
{
	int			fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	json_t	   *last;
	bool		ended,
				thin = false;
	enum sov_code rc = SOV_OK;

	if (fd < 0 || fstat(fd, &st) != 0)
		rc = sov_fail_errno(err, errno, NULL, "could not open %s", path);
	else
	{
		last = last_line(fd, st.st_size, &ended);
		if (due(last, point))
		{
			rc = append(fd, path, point, ended, err);
			thin = st.st_size > FILE_MAX_BYTES || (last && time_of(last) / DAY_US != time_of(point) / DAY_US);
		}
		json_decref(last);
	}
	if (fd >= 0)
		close(fd);
	return rc == SOV_OK && thin ? thin_file(path, err) : rc;
}

/* Never for long: a process that was stopped while it wrote must not stop others. */
static enum sov_code
lock_for_a_while(struct sov_repo *repo, int *lock, struct sov_error *err)
{
	enum sov_code rc;

	for (int i = 0; (rc = repo_try_lock_file(repo, HISTORY ".lock", lock, err)) == SOV_E_STATE && i < 50; i++)
		usleep(10000);
	return rc;
}

void
sov_history_keep(struct sov_repo *repo)
{
	char		path[1200];
	struct sov_error err = {0};
	json_t	   *point;
	int64_t		now = repo_mono_us();
	int			lock;

	if (repo->priv->history_us != 0 && now - repo->priv->history_us < LOOK_EVERY_US)
		return;
	repo->priv->history_us = now;
	point = point_now(repo);
	if (point == NULL)
		return;
	snprintf(path, sizeof path, "%s/" HISTORY, repo->cfg.state_directory);
	if (lock_for_a_while(repo, &lock, &err) == SOV_OK)
	{
		sov_error_clear(&err);
		(void) keep_point(path, point, &err);
		close(lock);
	}
	if (err.code != SOV_OK)
		repo_note(repo, "the history of the repository lacks a point: %s", err.message);
	json_decref(point);
}

/* --- reading --- */

static int
by_time(const void *a, const void *b)
{
	int64_t		x = time_of(*(json_t *const *) a),
				y = time_of(*(json_t *const *) b);

	return (x > y) - (x < y);
}

static void
set_time(json_t *point)
{
	time_t		t = (time_t) (time_of(point) / SECOND_US);
	char		text[40] = "";
	struct tm	tm;

	if (gmtime_r(&t, &tm))
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_object_set_new(point, "time", json_string(text));
	json_object_del(point, "time_us");
}

static json_t *
in_order(json_t *points, int64_t now_us, size_t *later, size_t *earlier)
{
	size_t		n = json_array_size(points),
				kept = 0;
	json_t	  **all = malloc(sizeof *all * (n + 1)),
			   *out = all ? json_array() : NULL;

	*later = *earlier = 0;
	for (size_t i = 0; all && i < n; i++)
		if (time_of(json_array_get(points, i)) > now_us + DAY_US)
			++*later;
		else if (time_of(json_array_get(points, i)) < now_us - SHOWN_US)
			++*earlier;
		else
			all[kept++] = json_array_get(points, i);
	if (all)
		qsort(all, kept, sizeof *all, by_time);
	for (size_t i = 0; i < kept; i++)
	{
		set_time(all[i]);
		json_array_append(out, all[i]);
	}
	free(all);
	json_decref(points);
	return out;
}

enum sov_code
sov_history_read(const struct sov_config *cfg, int64_t now_us, struct sov_buf *json, struct sov_error *err)
{
	char		path[1200];
	struct sov_buf file = {0};
	size_t		unreadable,
				later,
				earlier;
	json_t	   *points,
			   *doc;
	char	   *text;
	enum sov_code rc;

	if (cfg->state_directory[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "add name = ... to [repository]", "%s configures no repository", cfg->file);
	snprintf(path, sizeof path, "%s/" HISTORY, cfg->state_directory);
	rc = repo_read_file(path, &file, err);
	if (rc != SOV_OK && rc != SOV_E_NOTFOUND)
		return rc;
	points = in_order(parse_lines((const char *) file.data, file.len, &unreadable), now_us, &later, &earlier);
	sov_buf_free(&file);
	doc = points ? json_pack("{s:o, s:I, s:I, s:I}", "points", points, "later", (json_int_t) later, "earlier", (json_int_t) earlier, "unreadable", (json_int_t) unreadable) : NULL;
	text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	if (text)
		sov_write_bytes(json, text, strlen(text) + 1);
	rc = text && !json->bad ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	free(text);
	return rc;
}
