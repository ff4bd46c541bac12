/*
 * custody_token.h - the part of custodians.c about a token on bad days: taken out, full,
 * its PIN locked, failing in the middle (test/moody_token.c).  Included once, behind the
 * suite.
 */
#ifndef CUSTODY_TOKEN_H
#define CUSTODY_TOKEN_H

#define MOODY "build/test/moody_token.so"

static void
token_is(const char *mood)
{
	char		path[300];
	FILE	   *f;

	snprintf(path, sizeof path, "%s/mood", dir);
	f = fopen(path, "w");
	fputs(mood, f);
	fclose(f);
	setenv("TOKEN_MOOD", path, 1);
}

static const struct bad_day
{
	const char *what;
	const char *mood;
	const char *message;		/* in it or in the hint */
	enum sov_code code;
	bool		retryable;		/* keys on loan stay */
}			bad_days[] =
{
	{"taken out", "gone", "no token fits", SOV_E_KEY, true},
	{"its PIN locked", "flags 40000", "is locked", SOV_E_KEY, false},
	{"its PIN locked just now", "C_Login a4", "is locked", SOV_E_KEY, false},
	{"one try left", "flags 20000", "one try left", SOV_E_KEY, false},
	{"its PIN expired", "C_Login a3", "has expired", SOV_E_KEY, false},
	{"full", "C_CreateObject 31", "token is full", SOV_E_FULL, false},
	{"failing", "C_WrapKey 30", "HSM's own log", SOV_E_KEY, true},
};

/* The same, after it was opened. */
static const struct bad_day later[] =
{
	{"taken out in between", "C_UnwrapKey 32", "connect the HSM again", SOV_E_KEY, true},
	{"failing in between", "C_UnwrapKey 5\nC_WrapKey 5\n", "HSM's own log", SOV_E_KEY, true},
	{"failing in between, and said so", "C_UnwrapKey 6\nC_CreateObject 32\n", "connect the HSM again", SOV_E_KEY, true},
	{"well, and refusing what it is given", "C_UnwrapKey 5\n", "does not open this key", SOV_E_KEY, false},
};

static void
is_bad(const struct bad_day *b, enum sov_code rc)
{
	ok(rc == b->code && (strstr(err.message, b->message) || strstr(err.hint, b->message)) && err.hint[0] && err.retryable == b->retryable,
	   "a token %s: %s (%s)", b->what, err.message, err.hint);
}

static void
token_on_bad_days(const char *pin)
{
	struct sov_custodian *c = NULL;
	char		uri[600];
	uint8_t		key[32] = {1},
				back[32],
				blob[SOV_KWP_MAX];
	size_t		len = 0;

	if (!ok(shell("make -s " MOODY " >/dev/null 2>&1") == 0, "a moody token is built"))
		return;
	token_is("");
	snprintf(uri, sizeof uri, "pkcs11:token=one;object=root?module-path=%s/moody.so&pin-source=file:%s", dir, pin);
	shell("cp " MOODY " %s/moody.so", dir);
	if (!ok_rc(sov_custodian_open_here(uri, &c, &err), err, "a token on a good day"))
		return;
	ok_rc(c->ops->wrap(c, key, blob, &len, &err), err, "wraps");
	for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
	{
		token_is(later[i].mood);
		is_bad(&later[i], c->ops->unwrap(c, blob, len, back, &err));
	}
	token_is("");
	ok(c->ops->unwrap(c, blob, len, back, &err) == SOV_OK && memcmp(key, back, 32) == 0, "and goes on when that is over");
	sov_custodian_close(c);
	for (size_t i = 0; i < sizeof bad_days / sizeof bad_days[0]; i++)
	{
		token_is(bad_days[i].mood);
		c = NULL;
		is_bad(&bad_days[i], sov_custodian_open_here(uri, &c, &err));
		ok(c == NULL, "and is not opened");
		is_bad(&bad_days[i], sov_custodian_open(uri, &c, &err));
	}
	token_is("C_GenerateKey 31");
	snprintf(uri, sizeof uri, "pkcs11:token=one;object=more?module-path=%s/moody.so&pin-source=file:%s", dir, pin);
	ok(sov_custodian_create_here(uri, &err) == SOV_E_FULL && strstr(err.hint, "full"), "a full token takes no root key: %s (%s)", err.message, err.hint);
	token_is("");
}

#endif
