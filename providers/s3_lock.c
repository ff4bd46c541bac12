/*
 * s3_lock.c - object lock of S3.
 *
 * With "object-lock = 30d" every object is put with a date until which the
 * service itself refuses to remove or shorten it, whoever asks (compliance), or
 * whoever has no special right (governance).  Objects that "check" puts to try a
 * provider (class c) are not locked, nor is the beat of an audit log, which is put
 * again every few seconds.  A locked object may still be put again: that
 * is a new version, and readers see it.
 */
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "s3_lock.h"

static bool
applies(const struct sov_s3_lock *lock, const char *name)
{
	size_t		len = strlen(name);
	bool		beat = len > 5 && strcmp(name + len - 5, "/beat") == 0;

	return lock->seconds > 0 && strncmp(name, "c/", 2) != 0 && !beat;
}

void
sov_s3_lock_ask(const struct sov_s3_lock *lock, struct sov_call *c, char until[SOV_S3_UNTIL])
{
	time_t		then = time(NULL) + (time_t) lock->seconds;
	struct tm	tm;

	if (!applies(lock, c->name))
		return;
	gmtime_r(&then, &tm);
	strftime(until, SOV_S3_UNTIL, "%Y-%m-%dT%H:%M:%SZ", &tm);
	sov_call_header(c, "x-amz-object-lock-mode", lock->governance ? "GOVERNANCE" : "COMPLIANCE");
	sov_call_header(c, "x-amz-object-lock-retain-until-date", until);
}

enum sov_code
sov_s3_lock_prove(struct sov_s3_lock *lock, struct sov_store *s, const char *name, struct sov_error *err)
{
	struct sov_call c;
	struct sov_object_stat st;
	char		until[64];
	enum sov_code rc;

	if (!applies(lock, name) || lock->proven)
		return SOV_OK;
	rc = sov_store_look(s, name, &st, &c, err);
	if (rc == SOV_OK && !sov_http_header(&c.reply, "x-amz-object-lock-retain-until-date", until, sizeof until))
		rc = sov_fail(err, SOV_E_PROVIDER, SOV_S3_LOCK_HINT, "the server took object \"%s\" and does not lock it", name);
	lock->proven = rc == SOV_OK;
	sov_call_free(&c);
	return rc;
}

/* The date in our own words: what the server wrote behind it is shown to nobody. */
static void
write_until(int64_t us, char until[64])
{
	time_t		t = (time_t) (us / 1000000);
	struct tm	tm;

	gmtime_r(&t, &tm);
	strftime(until, 64, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

bool
sov_s3_locked(const struct sov_call *c, char until[64])
{
	char		date[64],
				hold[16];
	int64_t		until_us,
				now_us = sov_http_header(&c->reply, "date", date, sizeof date) ? sov_http_date_us(date) : 0;

	if (sov_http_header(&c->reply, "x-amz-object-lock-legal-hold", hold, sizeof hold) && strcasecmp(hold, "ON") == 0)
	{
		snprintf(until, 64, "its legal hold is taken off");
		return true;
	}
	if (now_us == 0)
		now_us = (int64_t) time(NULL) * 1000000;
	until[0] = '\0';
	if (!sov_http_header(&c->reply, "x-amz-object-lock-retain-until-date", date, sizeof date) || (until_us = sov_http_date_us(date)) < now_us)
		return false;
	write_until(until_us, until);
	return true;
}
