/*
 * lease_worker.c - the worker's side of the lease (design: lease.h).
 *
 * The KEKs are in memory of the worker's own.  There is one call of the custodian at a
 * time; it carries all that is wanted and all that is due for renewal.  The worker never
 * waits for it: leases end on time while a custodian is slow.
 *
 * A custodian that says no ends the lease at once; one that cannot be reached, or gives
 * no sense, only when it is over.
 *
 * A domain is renewed as long as keys of it are in the vault.
 */
#include "audit.h"
#include "lease.h"

#include <sys/wait.h>

#include "storage/proc.h"

#include "sov_keyring.h"

#define RENEW_RETRY_MAX_US INT64CONST(30000000)

typedef struct Asked			/* one line of the call */
{
	int			domain;			/* -1: a new one, for */
	int			request;		/* this request */
	uint64		serial;
	uint8_t		id[16];			/* of the domain: its place may be another's by now */
} Asked;

static SovChild child;
static Asked asked[SOV_CUSTODY_LINES];
static int	n_asked;
static int64 asked_at;

static uint8_t (*keks)[SOV_KEY_LEN];	/* of each domain */
static bool *have_kek;
static struct sov_custody_answer *answers;	/* secret memory */
static char last_trouble[512];	/* logged once per state */

StaticAssertDecl(SOV_CUSTODY_LINES * sizeof(struct sov_custody_answer) <= SOV_CHILD_BYTES, "an answer fits into a pipe");
StaticAssertDecl(SOV_CUSTODY_LINES * (2 * SOV_WRAPPED_MAX + 48) <= SOV_CHILD_BYTES, "a question fits into a pipe");

static void
log_trouble(const struct sov_error *err)
{
	if (strcmp(last_trouble, err->message) == 0)
		return;
	strlcpy(last_trouble, err->message, sizeof last_trouble);
	ereport(LOG,
			(errmsg("pg_sovereign: the custodian does not give the keys: %s", err->message),
			 err->hint[0] ? errhint("%s", err->hint) : 0));
}

static void
log_good(void)
{
	if (last_trouble[0])
		ereport(LOG, (errmsg("pg_sovereign: the custodian gives the keys again")));
	last_trouble[0] = '\0';
}

/* --- KEKs --- */

static void
forget_kek(int domain)
{
	if (!have_kek[domain])
		return;
	sov_wipe(keks[domain], SOV_KEY_LEN);
	have_kek[domain] = false;
	sov_lease->keks--;
}

static void
keep_kek(int domain, const uint8_t *kek)
{
	memcpy(keks[domain], kek, SOV_KEY_LEN);
	if (!have_kek[domain])
		sov_lease->keks++;
	have_kek[domain] = true;
}

/* Backends may have ended leases, and taken all keys away. */
static void
follow_losses(void)
{
	for (int i = 0; i < sov_domains_max; i++)
		if (sov_domains[i].state != SOV_DOMAIN_HELD)
			forget_kek(i);
}

static void
hold(int domain, const struct sov_custody_answer *a)
{
	SovDomain  *d = &sov_domains[domain];
	char		text[300];

	if (d->state != SOV_DOMAIN_HELD)
	{
		snprintf(text, sizeof text, "a lease begins: %s", a->about);
		SovAuditServer(SOV_AUDIT_LEASE, SOV_AUDIT_DONE, d->db, text);
	}
	keep_kek(domain, a->key);
	d->state = SOV_DOMAIN_HELD;
	d->until = asked_at + (int64) a->lease_us;
	d->renew_at = asked_at + (int64) a->renew_us;
	sov_error_clear(&d->why);
	strlcpy(d->about, a->about, sizeof d->about);
	SovLeaseNextEnd();
}

/* A place for a domain; when there is none all are asked for again. */
static int
new_domain(Oid db, const SovDomainRow *row)
{
	int			at = -1;

	for (int i = 0; i < sov_domains_max && (at < 0 || sov_domains[at].state != SOV_DOMAIN_FREE); i++)
		if (sov_domains[i].state == SOV_DOMAIN_FREE || (sov_domains[i].state == SOV_DOMAIN_LOST && at < 0))
			at = i;
	if (at < 0)
	{
		SovVaultEmpty(-1);
		for (int i = 0; i < sov_domains_max; i++)
			sov_domains[i].state = SOV_DOMAIN_FREE;
		follow_losses();
		ereport(LOG,
				(errmsg("pg_sovereign: more databases use keys than there is room for, so they take turns"),
				 errhint("Raise sovereign.shared_keys.")));
		at = 0;
	}
	memset(&sov_domains[at], 0, sizeof sov_domains[at]);
	sov_domains[at].db = db;
	sov_domains[at].row = *row;
	return at;
}

/* --- requests --- */

static void
done(SovRequest *r, const struct sov_error *err)
{
	if (err)
		r->err = *err;
	else
		sov_error_clear(&r->err);
	r->state = SOV_REQUEST_DONE;
	ConditionVariableBroadcast(&sov_lease->changed);
}

static int
free_place(void)
{
	for (int i = 0; i < sov_places_max; i++)
		if (sov_places[i].domain == 0)
			return i;
	SovVaultEmpty(-1);
	ereport(LOG,
			(errmsg("pg_sovereign: more keys are in use than there is room for, so they take turns"),
			 errhint("Raise sovereign.shared_keys.")));
	return 0;
}

/* Open the key and put it into the vault. */
static enum sov_code
put_key(int domain, const SovWrappedKey *k, struct sov_error *err)
{
	uint8_t    *key = sov_secret_alloc_nofork(SOV_KEY_LEN, err);
	enum sov_code rc = key ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK && k->purpose != SOV_KEY_EPOCH)
		rc = SovUnwrapKey(keks[domain], &sov_domains[domain].row, k, key, err);

	if (rc == SOV_OK)
	{
		int			place = free_place();

		if (k->purpose == SOV_KEY_EQ)
			rc = sov_cmac_init_at(SovVaultAt(place), key, err);
		else if (k->purpose == SOV_KEY_EPOCH)	/* opens the groups of persons' keys, in backends */
			rc = sov_aead_init_at(SovVaultAt(place), keks[domain], err);
		else
			rc = sov_value_keys_init_at(SovVaultAt(place), key, k->version, err);
		if (rc == SOV_OK)
			sov_places[place] = (SovPlace) {.domain = domain + 1, .version = k->version, .purpose = k->purpose};
	}
	sov_secret_free(key);
	return rc;
}

static void
serve(SovRequest *r, int domain)
{
	struct sov_error err;
	enum sov_code rc = SOV_OK;

	sov_error_clear(&err);
	if (r->op == SOV_ASK_NEW_KEY)
		rc = SovWrapNewKey(keks[domain], &sov_domains[domain].row, &r->key, &err);
	else if (SovPlaceOf(domain, &r->key) < 0)
		rc = put_key(domain, &r->key, &err);
	done(r, rc == SOV_OK ? NULL : &err);
}

static void
look_at(SovRequest *r, int64 now)
{
	int			domain = SovDomainOf(r->db, &r->domain);
	SovDomain  *d;

	if (r->op == SOV_ASK_NEW_DOMAIN)
		return;					/* for the custodian */
	if (domain < 0)
		domain = new_domain(r->db, &r->domain);
	d = &sov_domains[domain];
	if (memcmp(&d->row, &r->domain, sizeof d->row) != 0)
	{
		/* Wrapped anew (another root key): the KEK is the same when its commitment is. */
		bool		same = memcmp(d->row.commitment, r->domain.commitment, sizeof d->row.commitment) == 0;

		d->row = r->domain;
		d->renew_at = now;
		if (!same && d->state == SOV_DOMAIN_HELD)
		{
			SovVaultEmpty(domain);
			d->state = SOV_DOMAIN_WANTED;
			forget_kek(domain);
		}
		else if (d->state == SOV_DOMAIN_LOST)
			d->retry_at = now;
	}
	if (d->state == SOV_DOMAIN_HELD)
		serve(r, domain);
	else if (d->state == SOV_DOMAIN_LOST && now < d->retry_at)
		done(r, &d->why);
	else
		d->state = SOV_DOMAIN_WANTED;
}

static void
look_at_requests(int64 now)
{
	for (int i = 0; i < SOV_REQUESTS; i++)
	{
		SovRequest *r = &sov_lease->requests[i];

		if (r->state == SOV_REQUEST_WAITING && SovVaultLocked())
			done(r, &(struct sov_error) {.code = SOV_E_KEY});	/* whoever asks sees it himself */
		else if (r->state == SOV_REQUEST_WAITING)
			look_at(r, now);
	}
}

/* --- the call --- */

static void
add_line(StringInfo input, int domain, int request)
{
	Asked	   *a = &asked[n_asked++];

	a->domain = domain;
	a->request = request;
	if (domain < 0)
	{
		a->serial = sov_lease->requests[request].serial;
		appendStringInfoString(input, "new\n");
		return;
	}
	memcpy(a->id, sov_domains[domain].row.id, sizeof a->id);
	if (sov_domains[domain].row.epoch)
	{
		appendStringInfoString(input, "epoch ");
		for (size_t i = 0; i < sizeof a->id; i++)
			appendStringInfo(input, "%02x", a->id[i]);
		appendStringInfoChar(input, ' ');
	}
	else
		appendStringInfoString(input, "open ");
	for (size_t i = 0; i < sov_domains[domain].row.wrapped_len; i++)
		appendStringInfo(input, "%02x", sov_domains[domain].row.wrapped[i]);
	appendStringInfoChar(input, '\n');
}

static bool
has_keys(int domain)
{
	for (int i = 0; i < sov_places_max; i++)
		if (sov_places[i].domain == domain + 1)
			return true;
	return false;
}

/* What is wanted first, then what is due. */
static void
choose_lines(StringInfo input, int64 now)
{
	n_asked = 0;
	for (int i = 0; i < SOV_REQUESTS && n_asked < SOV_CUSTODY_LINES; i++)
		if (sov_lease->requests[i].state == SOV_REQUEST_WAITING && sov_lease->requests[i].op == SOV_ASK_NEW_DOMAIN)
			add_line(input, -1, i);
	for (int i = 0; i < sov_domains_max && n_asked < SOV_CUSTODY_LINES; i++)
		if (sov_domains[i].state == SOV_DOMAIN_WANTED)
			add_line(input, i, -1);
	for (int i = 0; i < sov_domains_max && n_asked < SOV_CUSTODY_LINES; i++)
	{
		SovDomain  *d = &sov_domains[i];

		if (d->state != SOV_DOMAIN_HELD || d->renew_at > now)
			continue;
		if (has_keys(i))
			add_line(input, i, -1);
		else
		{
			d->state = SOV_DOMAIN_FREE;	/* nobody needs it; it is asked for again */
			forget_kek(i);
		}
	}
	SovLeaseNextEnd();
}

/* --- its answers --- */

static void
answer_new(const Asked *a, const struct sov_custody_answer *answer)
{
	SovRequest *r = &sov_lease->requests[a->request];
	struct sov_error err;

	if (r->serial != a->serial || r->state != SOV_REQUEST_WAITING)
		return;
	if (answer->err.code != SOV_OK)
	{
		log_trouble(&answer->err);
		done(r, &answer->err);
		return;
	}
	memcpy(r->domain.wrapped, answer->blob, sizeof r->domain.wrapped);
	r->domain.wrapped_len = answer->blob_len;
	memcpy(r->root_id, answer->root_id, sizeof r->root_id);
	strlcpy(r->about, answer->about, sizeof r->about);
	if (sov_commit(answer->key, SOV_COMMIT_KEK, r->domain.commitment, &err) != SOV_OK)
	{
		done(r, &err);
		return;
	}
	hold(new_domain(r->db, &r->domain), answer);
	done(r, NULL);
}

static void
could_not_renew(int domain, const struct sov_error *err, int64 now)
{
	SovDomain  *d = &sov_domains[domain];
	int64		left = d->until - now;

	d->why = *err;
	d->renew_at = now + Min(RENEW_RETRY_MAX_US, Max(left / 10, SOV_RETRY_US));
}

static void
answer_open(const Asked *a, const struct sov_custody_answer *answer, int64 now)
{
	SovDomain  *d = &sov_domains[a->domain];
	struct sov_error err = answer->err;

	if (memcmp(d->row.id, a->id, sizeof a->id) != 0 || (d->state != SOV_DOMAIN_WANTED && d->state != SOV_DOMAIN_HELD))
		return;
	if (err.code == SOV_OK && SovCheckKek(answer->key, &d->row, &err) == SOV_OK)
	{
		log_good();
		hold(a->domain, answer);
		return;
	}
	log_trouble(&err);
	if (d->state == SOV_DOMAIN_WANTED)
	{
		d->state = SOV_DOMAIN_LOST;
		d->why = err;
		d->retry_at = now + SOV_RETRY_US;
	}
	else if (sov_custody_refused(&err))
	{
		forget_kek(a->domain);
		SovLeaseLose(a->domain, &err);
	}
	else
		could_not_renew(a->domain, &err, now);
}

/* What the command did not say. */
static void
no_answer(struct sov_custody_answer *a)
{
	memset(a, 0, sizeof *a);
	if (child.too_long)
		sov_fail(&a->err, SOV_E_PROVIDER, "is the custodian's device or server well?", "the custodian did not answer within %d seconds", (int) (SOV_CALL_TIMEOUT_US / 1000000));
	else
		sov_fail(&a->err, SOV_E_SYSTEM, "the server's log may have its messages; sovereign.command names the command to run",
				 "the command pg_sovereign, which asks the custodian, gave no answer (%s %d)",
				 WIFSIGNALED(child.status) ? "signal" : "exit status", WIFSIGNALED(child.status) ? WTERMSIG(child.status) : WEXITSTATUS(child.status));
	a->err.retryable = true;
}

static void
take_answers(int64 now)
{
	size_t		got = SovChildRead(&child, answers, SOV_CUSTODY_LINES * sizeof *answers);

	for (int i = 0; i < n_asked; i++)
	{
		struct sov_custody_answer *a = &answers[i];

		if ((size_t) (i + 1) * sizeof *a > got || a->magic != SOV_CUSTODY_MAGIC || a->size != sizeof *a)
			no_answer(a);
		a->err.message[sizeof a->err.message - 1] = a->err.hint[sizeof a->err.hint - 1] = a->about[sizeof a->about - 1] = '\0';
		if (SovVaultLocked())
			continue;
		if (asked[i].domain < 0)
			answer_new(&asked[i], a);
		else
			answer_open(&asked[i], a, now);
	}
	sov_wipe(answers, SOV_CUSTODY_LINES * sizeof *answers);
	n_asked = 0;
}

static void
call(StringInfo input, int64 now)
{
	static const char *const args[] = {"custody-call", NULL};

	asked_at = now;
	if (SovChildStart(&child, args, input->data, input->len, SOV_CALL_TIMEOUT_US))
		return;
	for (int i = 0; i < n_asked; i++)
	{
		struct sov_custody_answer *a = &answers[i];

		memset(a, 0, sizeof *a);
		sov_fail_errno(&a->err, errno, NULL, "could not start the command pg_sovereign");
		a->err.retryable = true;
		if (asked[i].domain < 0)
			answer_new(&asked[i], a);
		else
			answer_open(&asked[i], a, now);
	}
	n_asked = 0;
}

/* --- the task --- */

static void
start(void)
{
	struct sov_error err;

	keks = sov_secret_alloc_nofork((size_t) sov_domains_max * SOV_KEY_LEN, &err);
	answers = keks ? sov_secret_alloc_nofork(SOV_CUSTODY_LINES * sizeof *answers, &err) : NULL;
	if (answers == NULL)
		SovRaise(&err);
	have_kek = MemoryContextAllocZero(TopMemoryContext, sov_domains_max * sizeof *have_kek);
	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	sov_lease->worker = MyLatch;
	sov_lease->keks = 0;
	LWLockRelease(sov_lease->lock);
}

static long
next_time(int64 now)
{
	int64		next = now + INT64CONST(60000000);

	if (child.pid != 0)
		next = Min(next, child.deadline);
	for (int i = 0; i < sov_domains_max; i++)
		if (sov_domains[i].state == SOV_DOMAIN_HELD)
		{
			next = Min(next, sov_domains[i].until);
			if (child.pid == 0)
				next = Min(next, sov_domains[i].renew_at);
		}
	return (long) ((next - now + 999) / 1000);
}

static long
tend(void)
{
	StringInfoData input;
	int64		now;
	long		next;

	initStringInfo(&input);
	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	now = SovBootNow();
	if (child.pid != 0 && SovChildEnded(&child))
		take_answers(now);
	SovLeaseExpire(now);
	follow_losses();
	look_at_requests(now);
	if (child.pid == 0)
	{
		choose_lines(&input, now);
		if (n_asked > 0)
			call(&input, now);
	}
	next = next_time(now);
	LWLockRelease(sov_lease->lock);
	pfree(input.data);
	return next;
}

/* Perhaps another custodian is meant: see at once whether it gives the keys. */
static void
reload(void)
{
	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	for (int i = 0; i < sov_domains_max; i++)
		sov_domains[i].renew_at = 0;
	LWLockRelease(sov_lease->lock);
}

static void
stop(void)
{
	LWLockReleaseAll();
	SovChildKill(&child);
	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	sov_lease->worker = NULL;
	SovVaultEmpty(-1);
	for (int i = 0; i < sov_domains_max; i++)
		sov_domains[i].state = SOV_DOMAIN_FREE;
	SovLeaseNextEnd();
	sov_lease->keks = 0;
	LWLockRelease(sov_lease->lock);
	sov_secret_free(answers);
	sov_secret_free(keks);
}

const SovWorkerTask SovLeaseTask = {.start = start, .tend = tend, .reload = reload, .stop = stop};
