/*
 * custodians - one suite over every custodian: file, command, a root key split among
 * people, SoftHSM2 as the HSM, a stub of Vault's API, and PyKMIP, also through the helper process, as the
 * server asks it.  Then programs that lie, die and dawdle, and what the HSM refuses; a token
 * on bad days is in custody_token.h, the services are in custody_services.h.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "sov_custodian.h"
#include "tap.h"

#define PROGRAM "build/pg_sovereign"
#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

typedef enum sov_code (*open_fn) (const char *uri, struct sov_custodian **out, struct sov_error *err);

static char dir[200];
static struct sov_error err;

static int __attribute__((format(printf, 1, 2)))
shell(const char *fmt, ...)
{
	char		cmd[2000];
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof cmd, fmt, ap);
	va_end(ap);
	return system(cmd);
}

/* --- the suite --- */

static void
damage(const char *name, struct sov_custodian *c, const uint8_t *blob, size_t len)
{
	uint8_t		bad[SOV_KWP_MAX],
				key[32];
	int			wrong = 0;

	for (size_t i = 0; i < len; i++)
	{
		memcpy(bad, blob, len);
		bad[i] ^= 1;
		wrong += c->ops->unwrap(c, bad, len, key, &err) == SOV_OK;
		wrong += err.code != SOV_E_KEY || err.message[0] == '\0';
	}
	ok(wrong == 0, "%s: no flipped byte of a wrapped key goes through", name);
	wrong = 0;
	for (size_t i = 0; i < len; i++)
		wrong += c->ops->unwrap(c, blob, i, key, &err) == SOV_OK;
	ok(wrong == 0, "%s: nor a shorter one", name);
	memcpy(bad, blob, len);
	bad[len] = 0;
	ok(c->ops->unwrap(c, bad, len + 1, key, &err) != SOV_OK, "%s: nor a longer one", name);
}

static void
suite(const char *name, open_fn open, const char *ours, const char *theirs)
{
	struct sov_custodian *a = NULL,
			   *again = NULL,
			   *other = NULL;
	uint8_t		key[32],
				back[32],
				blob[SOV_KWP_MAX];
	char		text[256],
				id[37];
	size_t		len = 0;
	int			wrong = 0;

	if (!ok_rc(open(ours, &a, &err), err, "%s: opened", name) || !ok_rc(open(theirs, &other, &err), err, "%s: another root key", name))
		return;
	ok(memcmp(a->root_id, other->root_id, 16) != 0, "%s: two root keys have two ids", name);
	for (int i = 0; i < 20; i++)
	{
		wrong += sov_random(key, 32, &err) != SOV_OK || a->ops->wrap(a, key, blob, &len, &err) != SOV_OK;
		wrong += len > SOV_KWP_MAX || memmem(blob, len, key, 16) != NULL;
		wrong += a->ops->unwrap(a, blob, len, back, &err) != SOV_OK || memcmp(key, back, 32) != 0;
	}
	ok(wrong == 0, "%s: keys are wrapped and come back", name);
	memset(key, 0, sizeof key);
	ok_rc(a->ops->wrap(a, key, blob, &len, &err), err, "%s: also one of zeros", name);
	ok(other->ops->unwrap(other, blob, len, back, &err) == SOV_E_KEY && err.hint[0] && !err.retryable, "%s: another root key refuses (%s)", name, err.message);
	ok_rc(open(ours, &again, &err), err, "%s: opened once more", name);
	ok(again && memcmp(a->root_id, again->root_id, 16) == 0, "%s: under the same id", name);
	ok(again && again->ops->unwrap(again, blob, len, back, &err) == SOV_OK && memcmp(key, back, 32) == 0, "%s: opens what the first one wrapped", name);
	sov_custodian_close(again);
	damage(name, a, blob, len);
	ok(a->ops->unwrap(a, blob, len, back, &err) == SOV_OK, "%s: and goes on after all of that", name);
	a->ops->describe(a, text, sizeof text);
	sov_uuid_text(id, a->root_id);
	ok(strstr(text, id) != NULL, "%s: described: %s", name, text);
	ok(a->grade <= SOV_GRADE_DESTROY, "%s: destroys keys: %s", name, sov_custodian_grade_name(a->grade));
	sov_custodian_close(a);
	sov_custodian_close(other);
}

/* The erasable key of an epoch: made beside the root key, used, destroyed for good; the
 * root key and another epoch's do not notice. */
static void
epochs(const char *name, const char *root)
{
	static struct sov_config cfg;
	static const uint8_t one[16] = {1, 2, 3},
				two[16] = {9};
	struct sov_custodian *c = NULL,
			   *r = NULL;
	uint8_t		key[32] = {7},
				back[32],
				id[16],
				blob[SOV_KWP_MAX];
	size_t		len = 0;

	memset(&cfg, 0, sizeof cfg);
	snprintf(cfg.root, sizeof cfg.root, "%s", root);
	ok(sov_custodian_open_epoch(&cfg, one, &c, &err) == SOV_E_KEY && strstr(err.hint, "key subjects"), "%s: an epoch that is not there: %s", name, err.message);
	ok_rc(sov_custodian_create_epoch_here(&cfg, one, &err), err, "%s: an epoch's key is made", name);
	ok_rc(sov_custodian_create_epoch_here(&cfg, two, &err), err, "%s: and another one's", name);
	if (!ok_rc(sov_custodian_open_epoch(&cfg, one, &c, &err), err, "%s: opened", name))
		return;
	ok(c->grade != SOV_GRADE_NONE && c->ops->wrap(c, key, blob, &len, &err) == SOV_OK, "%s: it wraps, and can be destroyed (%s)", name, sov_custodian_grade_name(c->grade));
	memcpy(id, c->root_id, 16);
	sov_custodian_close(c);
	ok_rc(sov_custodian_create_epoch_here(&cfg, one, &err), err, "%s: made again after a kill", name);
	ok(sov_custodian_open_epoch(&cfg, one, &c, &err) == SOV_OK && memcmp(id, c->root_id, 16) == 0 &&
	   c->ops->unwrap(c, blob, len, back, &err) == SOV_OK && memcmp(key, back, 32) == 0, "%s: it is the same, and unwraps", name);
	sov_custodian_close(c);
	ok(sov_custodian_open(root, &r, &err) == SOV_OK && memcmp(id, r->root_id, 16) != 0 && r->ops->unwrap(r, blob, len, back, &err) == SOV_E_KEY, "%s: the root key does not", name);
	sov_custodian_close(r);
	ok_rc(sov_custodian_destroy_epoch_here(&cfg, one, &err), err, "%s: destroyed", name);
	ok(sov_custodian_open_epoch(&cfg, one, &c, &err) == SOV_E_KEY && !err.retryable, "%s: gone: %s", name, err.message);
	ok_rc(sov_custodian_destroy_epoch_here(&cfg, one, &err), err, "%s: destroyed again after a kill", name);
	ok(sov_custodian_create_epoch_here(&cfg, one, &err) == SOV_OK && sov_custodian_open_epoch(&cfg, one, &c, &err) == SOV_OK &&
	   c->ops->unwrap(c, blob, len, back, &err) == SOV_E_KEY, "%s: a new key of that name opens nothing of it", name);
	sov_custodian_close(c);
	(void) sov_custodian_destroy_epoch_here(&cfg, one, &err);
	ok(sov_custodian_open_epoch(&cfg, two, &c, &err) == SOV_OK && sov_custodian_open(root, &r, &err) == SOV_OK, "%s: the other epoch and the root key stay", name);
	sov_custodian_close(c);
	sov_custodian_close(r);
	ok_rc(sov_custodian_destroy_epoch_here(&cfg, two, &err), err, "%s: the other one too", name);
	snprintf(cfg.root, sizeof cfg.root, "command:/bin/false");
	ok(sov_custodian_create_epoch_here(&cfg, one, &err) == SOV_E_UNSUPPORTED && strstr(err.hint, "epochs ="), "%s: who cannot destroy is refused: %s", name, err.message);
	snprintf(cfg.epochs, sizeof cfg.epochs, "%s", root);
	ok(sov_custodian_create_epoch_here(&cfg, one, &err) == SOV_OK && sov_custodian_destroy_epoch_here(&cfg, one, &err) == SOV_OK, "%s: unless [custody] epochs says where", name);
}

/* --- programs that are no custodians --- */

static void
program(const char *what, const char *script, const char *message)
{
	struct sov_custodian *c = NULL;
	char		path[300],
				uri[320];
	uint8_t		key[32] = {0},
				blob[SOV_KWP_MAX];
	size_t		len;
	enum sov_code rc;
	FILE	   *f;

	snprintf(path, sizeof path, "%s/program", dir);
	snprintf(uri, sizeof uri, "command:%s", path);
	f = fopen(path, "w");
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	chmod(path, 0700);
	rc = sov_custodian_open(uri, &c, &err);
	if (rc == SOV_OK)
		rc = c->ops->wrap(c, key, blob, &len, &err);
	ok(rc == SOV_E_KEY && strstr(err.message, message) && err.hint[0], "%s: %s", what, err.message);
	if (c != NULL && !strstr(script, "PIN"))
		ok(c->ops->wrap(c, key, blob, &len, &err) == SOV_E_KEY && err.retryable, "%s: and stays refused", what);
	sov_custodian_close(c);
}

#define GOOD "read r; echo 'ok 6c1f0d0e-2f53-4a73-9a3c-0c8a3a6b8c11 none a test'; read r;"

static void
programs(void)
{
	struct sov_custodian *c = NULL;

	ok(sov_custodian_open("command:/none/such", &c, &err) == SOV_E_KEY && c == NULL, "an absent program: %s", err.message);
	program("ends at once", "exit 1", "ended");
	program("dies later", GOOD "kill -9 $$", "ended");
	program("rubbish", "read r; head -c 1000 /dev/urandom; echo; sleep 1", "answered");
	program("an odd id", "read r; echo ok x none t; read r", "not of the protocol");
	program("an odd grade", "read r; echo ok 6c1f0d0e-2f53-4a73-9a3c-0c8a3a6b8c11 all t; read r", "not of the protocol");
	program("no end", "read r; yes | tr -d '\\n'", "too much");
	program("two lines", GOOD "printf 'ok 00\\nok 11\\n'; read r", "more than was asked");
	program("not hexadecimal", GOOD "echo ok zz; read r", "not of the protocol");
	program("too short", GOOD "echo ok 00; read r", "not of the protocol");
	program("too long", GOOD "echo ok $(head -c 137 /dev/zero | od -An -v -tx1 | tr -d ' \\n'); read r", "not of the protocol");
	program("an error of its own", GOOD "printf 'error key PIN is wrong\\tget the right one\\n'; read r", "PIN is wrong");
#ifndef __SANITIZE_ADDRESS__
	program("slow", GOOD "sleep 60", "within 10 seconds");
#endif
}

/* --- the HSM --- */

static void
hsm_refuses(const char *pin)
{
	struct sov_custodian *c = NULL;
	char		uri[500];
	struct { const char *what, *uri, *message; } t[] = {
		{"no such token", "pkcs11:token=nowhere;object=root", "no token fits"},
		{"no such key", "pkcs11:token=one;object=absent", "no such key"},
		{"no name of a key", "pkcs11:token=one", "names no key"},
		{"a key that can be taken out", "pkcs11:token=one;object=loose", "can be taken out"},
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
	{
		snprintf(uri, sizeof uri, "%s?module-path=" MODULE "&pin-source=file:%s", t[i].uri, pin);
		ok(sov_custodian_open_here(uri, &c, &err) != SOV_OK && strstr(err.message, t[i].message) && err.hint[0], "HSM: %s: %s", t[i].what, err.message);
	}
	snprintf(uri, sizeof uri, "pkcs11:token=one;object=root?module-path=" MODULE "&pin-source=file:%s/wrong", dir);
	ok(sov_custodian_open_here(uri, &c, &err) == SOV_E_KEY && strstr(err.message, "PIN") && strstr(err.message, "wrong") && !strstr(err.message, "9999"), "HSM: wrong PIN: %s", err.message);
	shell("chmod 0644 %s/wrong", dir);
	ok(sov_custodian_open_here(uri, &c, &err) == SOV_E_KEY && strstr(err.message, "read by others"), "HSM: a PIN that others may read: %s", err.message);
	snprintf(uri, sizeof uri, "pkcs11:token=one;object=root?module-path=/none/such.so&pin-source=file:%s", pin);
	ok(sov_custodian_open_here(uri, &c, &err) == SOV_E_KEY && strstr(err.message, "module"), "HSM: an absent module: %s", err.message);
	snprintf(uri, sizeof uri, "pkcs11:token=one;object=root?module-path=" MODULE "&pin-value=1234");
	ok(sov_custodian_open(uri, &c, &err) != SOV_OK, "HSM: a PIN in the URI does not open");
	snprintf(uri, sizeof uri, "pkcs11:token=one;object=root?module-path=" MODULE "&pin-source=file:%s", pin);
	ok(sov_custodian_create_here(uri, &err) == SOV_E_EXISTS, "HSM: a root key is never made over another: %s", err.message);
}

#include "custody_token.h"

static void
hsm(void)
{
	char		uri[2][500],
				pin[300];
	int			status;

	if (access(MODULE, R_OK) != 0)
	{
		printf("ok %d - HSM # SKIP SoftHSM2 is not installed (test/setup.sh tests)\n", ++tap_n);
		return;
	}
	snprintf(pin, sizeof pin, "%s/softhsm.conf", dir);
	setenv("SOFTHSM2_CONF", pin, 1);
	snprintf(pin, sizeof pin, "%s/pin", dir);
	status = shell("cd %s && mkdir tokens && printf 'directories.tokendir = %s/tokens\\nobjectstore.backend = file\\nlog.level = ERROR\\n' > softhsm.conf && umask 077 && echo 1234 > pin && echo 9999 > wrong"
				   " && for t in one two; do softhsm2-util --init-token --free --label $t --so-pin 5678 --pin 1234; done >/dev/null"
				   " && pkcs11-tool --module " MODULE " --token-label one --login --pin 1234 --keygen --key-type AES:32 --label loose --extractable --usage-wrap >/dev/null 2>&1", dir, dir);
	ok(status == 0, "HSM: two tokens");
	for (int i = 0; i < 2; i++)
	{
		snprintf(uri[i], sizeof uri[i], "pkcs11:token=%s;object=root?module-path=" MODULE "&pin-source=file:%s", i ? "two" : "one", pin);
		ok_rc(sov_custodian_create_here(uri[i], &err), err, "HSM: a root key made inside");
	}
	suite("pkcs11", sov_custodian_open_here, uri[0], uri[1]);
	suite("pkcs11 through the helper", sov_custodian_open, uri[0], uri[1]);
	epochs("pkcs11", uri[0]);
	hsm_refuses(pin);
	token_on_bad_days(pin);
	ok(shell("pkcs11-tool --module " MODULE " --token-label one --login --pin 1234 -O 2>/dev/null | grep -A8 'label: *root' | grep -q 'never extractable'") == 0, "HSM: its tool says that the key was never extractable");
}

#include "custody_services.h"

/* --- a root key that is split among people --- */

static int
unlock(int i, const char *what)
{
	return shell("cd %s/q%d && ../pg_sovereign -c conf unlock %s >/dev/null 2>&1", dir, i, what);
}

static void
quorum(void)
{
	struct sov_custodian *c = NULL;
	char		uri[2][300];

	for (int i = 0; i < 2; i++)
	{
		snprintf(uri[i], sizeof uri[i], "quorum:%s/q%d/root", dir, i);
		ok(shell("mkdir -m 700 %s/q%d && printf '[custody]\\nroot = %s\\n' > %s/q%d/conf && " PROGRAM " -c %s/q%d/conf key split --shares 3 --threshold 2 --holder A --holder B --holder C --output %s/q%d >/dev/null 2>&1",
				 dir, i, uri[i], dir, i, dir, i, dir, i) == 0, "quorum: a root key in three shares");
		ok(sov_custodian_open(uri[i], &c, &err) == SOV_E_KEY && !err.retryable && strstr(err.message, "2 of 3"), "quorum: locked: %s", err.message);
		ok(unlock(i, "--share share-*-3.txt") == 0, "quorum: one share");
		ok(sov_custodian_open(uri[i], &c, &err) == SOV_E_KEY && strstr(err.message, "1 more"), "quorum: one is missing: %s", err.message);
		ok(unlock(i, "--share share-*-1.txt") == 0, "quorum: two shares");
	}
	suite("quorum", sov_custodian_open, uri[0], uri[1]);
	for (int i = 0; i < 2; i++)
		ok(unlock(i, "--forget") == 0 && sov_custodian_open(uri[i], &c, &err) == SOV_E_KEY && c == NULL, "quorum: forgotten");
}

int
main(void)
{
	char		uri[2][300];
	char		cmd[2][400];
	uint8_t		id[16];

	snprintf(dir, sizeof dir, "%s/sov_custodians_XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(dir) == NULL)
		return 1;
	sov_custodian_set_program(PROGRAM);
	for (int i = 0; i < 2; i++)
	{
		snprintf(uri[i], sizeof uri[i], "file:%s/%d.key", dir, i);
		ok_rc(sov_custodian_file_create(uri[i] + 5, id, &err), err, "a root key in a file");
		snprintf(cmd[i], sizeof cmd[i], "command:%s/pg_sovereign custodian %s", dir, uri[i]);
	}
	shell("ln -s \"$(pwd)/" PROGRAM "\" %s/pg_sovereign", dir);
	suite("file", sov_custodian_open, uri[0], uri[1]);
	epochs("file", uri[0]);
	suite("command", sov_custodian_open, cmd[0], cmd[1]);
	quorum();
	programs();
	hsm();
	vault();
	kmip();
	ok(tap_locked_kb() == 0, "no secret memory is left");
	ok(shell("rm -rf '%s'", dir) == 0, "cleaned up");
	return tap_done();
}
